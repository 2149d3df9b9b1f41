//! Tells the linker where the command begins (src/sys/entry.rs).

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    // How it is linked, and in which order: cargo does not see what the linker reads.
    println!("cargo::rerun-if-changed=link");
    let target = |name: &str| std::env::var(format!("CARGO_CFG_TARGET_{name}")).unwrap_or_default();
    if target("ARCH") == "x86_64" && target("OS") == "linux" {
        println!("cargo::rustc-link-arg-bins=-Wl,--entry=cloison_entry");
    }
}
