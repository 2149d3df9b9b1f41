//! Writes manual pages and completions for shells into a directory, made from the definitions of
//! the verbs and options: `cargo run --example reference -- DIR`, which is `make reference`.

use clap_complete::Shell;
use clap_mangen::Man;
use std::error::Error;
use std::path::PathBuf;

fn main() -> Result<(), Box<dyn Error>> {
    let dir = std::env::args_os().nth(1).map(PathBuf::from).ok_or("a directory is wanted")?;
    let pages = dir.join("man8");
    std::fs::create_dir_all(&pages)?;
    let mut command = cloison::cli::command();
    for page in std::iter::once(&command).chain(command.get_subcommands()) {
        let name = page.get_display_name().unwrap_or(page.get_name()).to_owned();
        let page = page.clone().version(env!("CARGO_PKG_VERSION"));
        let mut text = Vec::new();
        Man::new(page)
            .section("8")
            .manual("Containers")
            .source(concat!("cloison ", env!("CARGO_PKG_VERSION")))
            .render(&mut text)?;
        std::fs::write(pages.join(format!("{name}.8")), text)?;
    }
    for shell in [Shell::Bash, Shell::Fish, Shell::Zsh] {
        clap_complete::generate_to(shell, &mut command, "cloison", &dir)?;
    }
    Ok(())
}
