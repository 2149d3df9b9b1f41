//! The root file system of the test bundles: Debian's busybox-static with a
//! link for each of its applets, and nothing that a runtime should make itself.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;

const BUSYBOX: &str = "/bin/busybox";

/// The names of busybox's applets.
fn applets() -> &'static [String] {
    static APPLETS: OnceLock<Vec<String>> = OnceLock::new();
    APPLETS.get_or_init(|| {
        let output = Command::new(BUSYBOX)
            .arg("--list")
            .output()
            .expect("/bin/busybox is missing: `make deps` installs busybox-static");
        String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect()
    })
}

/// Fills `root`, a new directory.
pub fn populate(root: &Path) {
    for dir in ["bin", "dev", "etc", "proc", "sys", "tmp", "root"] {
        fs::create_dir_all(root.join(dir)).expect("make a directory of the rootfs");
    }
    let bin = root.join("bin");
    fs::copy(BUSYBOX, bin.join("busybox")).expect("copy busybox");
    for applet in applets().iter().filter(|name| *name != "busybox") {
        symlink("busybox", bin.join(applet)).expect("link an applet");
    }
    fs::write(
        root.join("etc/passwd"),
        "root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000::/home/user:/bin/sh\n",
    )
    .expect("write etc/passwd");
    fs::write(root.join("etc/group"), "root:x:0:\nuser:x:1000:\n").expect("write etc/group");
}

/// Makes `id` the owner of a tree.
pub fn give(path: &Path, id: u32) {
    std::os::unix::fs::lchown(path, Some(id), Some(id)).expect("change the owner");
    if path.symlink_metadata().is_ok_and(|there| there.is_dir()) {
        for entry in fs::read_dir(path).expect("read a directory") {
            give(&entry.expect("read a directory").path(), id);
        }
    }
}
