//! Reading config.json without being held up by what lies in its place.

use crate::sys::fd;
use std::ffi::CStr;
use std::fs::{self, File, FileType};
use std::io::Read;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

use super::Error;

/// Largest config that is read, in bytes. Engines write some 20 kB; this bounds the memory a broken
/// one can cost.
pub const LIMIT: u64 = 64 << 20;

/// The whole of the regular file at `path`.
pub fn read(path: &Path) -> Result<Vec<u8>, Error> {
    let file = open(path).map_err(|source| Error::Open { path: path.to_owned(), source })?;
    let failed = |source| Error::Read { path: path.to_owned(), source };
    let metadata = file.metadata().map_err(failed)?;
    if !metadata.is_file() {
        return Err(Error::NotRegular { path: path.to_owned(), kind: kind(metadata.file_type()) });
    }
    let too_large = || Error::TooLarge { path: path.to_owned() };
    if metadata.len() > LIMIT {
        return Err(too_large());
    }
    // One byte more than fstat said, so that the end is seen without growing the buffer.
    let mut bytes = Vec::with_capacity(metadata.len() as usize + 1);
    let count = (&file).take(LIMIT + 1).read_to_end(&mut bytes).map_err(failed)?;
    if count as u64 > LIMIT {
        return Err(too_large());
    }
    Ok(bytes)
}

/// What is wrong with the bundle itself, if anything.
pub fn bundle_fault(bundle: &Path) -> Option<Error> {
    let path = bundle.to_owned();
    match fs::metadata(bundle) {
        Ok(metadata) if metadata.is_dir() => None,
        Ok(_) => Some(Error::BundleNotDirectory { path }),
        Err(source) => Some(Error::Bundle { path, source }),
    }
}

/// Opening a fifo would wait for its writer, and opening a device can do anything; O_NONBLOCK
/// avoids both.
fn open(path: &Path) -> std::io::Result<File> {
    let flags = fd::O_RDONLY | fd::O_NONBLOCK;
    let open = |path: &CStr| fd::openat(fd::cwd(), path, flags, 0);
    Ok(fd::with_path(&[path.as_os_str().as_encoded_bytes()], open)?.into())
}

fn kind(file_type: FileType) -> &'static str {
    if file_type.is_dir() {
        "a directory"
    } else if file_type.is_fifo() {
        "a fifo"
    } else if file_type.is_char_device() {
        "a character device"
    } else if file_type.is_block_device() {
        "a block device"
    } else {
        "a socket"
    }
}
