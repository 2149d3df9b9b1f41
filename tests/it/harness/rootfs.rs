//! The root file system of the test bundles: Debian's busybox-static with a
//! link for each of its applets that is called by name, and nothing that a
//! runtime should make itself.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::sync::PoisonError;

use super::command::BIRTHS;

const BUSYBOX: &str = "/bin/busybox";

/// Applets that are executed by name. busybox's own shell finds all others without a link, and
/// links for all would take longer than most tests.
const APPLETS: [&str; 58] = [
    "[", "basename", "cat", "chmod", "chown", "cp", "cut", "date", "dd", "df", "echo", "env",
    "false", "find", "free", "grep", "head", "hostname", "id", "ionice", "ip", "kill", "ln", "ls",
    "md5sum", "mkdir", "mkfifo", "mknod", "mount", "mv", "nsenter", "printf", "ps", "pwd",
    "readlink", "rm", "rmdir", "sed", "seq", "setpriv", "setsid", "sh", "sleep", "sort", "stat",
    "stty", "sync", "tail", "test", "timeout", "touch", "tr", "true", "truncate", "umount",
    "unshare", "wc", "yes",
];

/// Copies a program into a root file system.
pub fn copy_program(from: &Path, to: &Path) {
    let _alone = BIRTHS.write().unwrap_or_else(PoisonError::into_inner);
    fs::copy(from, to).unwrap_or_else(|e| panic!("copy {} (see `make deps`): {e}", from.display()));
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
    for applet in APPLETS {
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
