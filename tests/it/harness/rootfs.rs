//! The root file system of the test bundles: Debian's busybox-static with a
//! link for each of its applets, and nothing that a runtime should make itself.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;
use std::sync::{OnceLock, PoisonError};

use super::command::{BIRTHS, ask};

const BUSYBOX: &str = "/bin/busybox";

/// The names of busybox's applets.
fn applets() -> &'static [String] {
    static APPLETS: OnceLock<Vec<String>> = OnceLock::new();
    APPLETS.get_or_init(|| {
        let output = ask(Command::new(BUSYBOX).arg("--list"))
            .expect("/bin/busybox is missing: `make deps` installs busybox-static");
        String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect()
    })
}

/// Copies a program into a root file system.
pub fn copy_program(from: &Path, to: &Path) {
    let _alone = BIRTHS.write().unwrap_or_else(PoisonError::into_inner);
    fs::copy(from, to).expect("copy a program");
}

/// Writes a file that nobody has open for writing afterwards.
pub fn write_closed(path: &Path, text: &str) {
    let _alone = BIRTHS.write().unwrap_or_else(PoisonError::into_inner);
    fs::write(path, text).expect("write");
}

/// Writes a program, such as a script, that a container is to run.
pub fn write_program(path: &Path, text: &str) {
    write_closed(path, text);
    fs::set_permissions(path, PermissionsExt::from_mode(0o755)).expect("make it executable");
}

/// Fills `root`, a new directory.
pub fn populate(root: &Path) {
    for dir in ["bin", "dev", "etc", "proc", "sys", "tmp", "root"] {
        fs::create_dir_all(root.join(dir)).expect("make a directory of the rootfs");
    }
    let bin = root.join("bin");
    copy_program(Path::new(BUSYBOX), &bin.join("busybox"));
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
    super::needs::demand_root();
    std::os::unix::fs::lchown(path, Some(id), Some(id)).expect("change the owner");
    if path.symlink_metadata().is_ok_and(|there| there.is_dir()) {
        for entry in fs::read_dir(path).expect("read a directory") {
            give(&entry.expect("read a directory").path(), id);
        }
    }
}
