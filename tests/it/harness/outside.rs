//! What lies beside a hostile image, and must stay as it is.

use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Bundle, Sandbox};

/// A directory of the host with one file, and the promise to look later
/// whether anything has changed in it.
pub struct Outside {
    pub dir: PathBuf,
    /// Keeps the directory until then.
    _sandbox: Arc<Sandbox>,
}

impl Outside {
    pub fn of(bundle: &Bundle) -> Self {
        let dir = bundle.host_dir("outside");
        fs::write(dir.join("file"), "untouched").expect("write");
        fs::set_permissions(dir.join("file"), std::os::unix::fs::PermissionsExt::from_mode(0o640))
            .expect("chmod");
        Self { dir, _sandbox: Arc::clone(bundle.sandbox()) }
    }

    #[track_caller]
    pub fn is_untouched(&self) {
        let names: Vec<_> = fs::read_dir(&self.dir)
            .expect("list")
            .map(|entry| entry.expect("entry").file_name())
            .collect();
        assert_eq!(names, ["file"], "something was made outside");
        let file = self.dir.join("file");
        assert_eq!(fs::read_to_string(&file).expect("read"), "untouched");
        let meta = file.symlink_metadata().expect("stat");
        let here = nix::unistd::geteuid().as_raw();
        assert!(meta.is_file() && meta.mode() & 0o7777 == 0o640 && meta.uid() == here, "{meta:?}");
    }
}

/// Replaces a directory or file of the image by a link.
pub fn replace_by_link(bundle: &Bundle, path: &str, target: &Path) {
    let path = bundle.rootfs().join(path);
    let _ = fs::remove_dir_all(&path);
    let _ = fs::remove_file(&path);
    symlink(target, path).expect("symlink");
}
