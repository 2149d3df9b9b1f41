//! What a container keeps beside its record for the processes that come later.

use super::{Entry, Error, Record, read_all};
use crate::sys::seccomp::SockFilter;
use crate::sys::{Errno, fd};
use std::ffi::CStr;
use std::os::fd::AsFd;

const PROCESS: &CStr = c"process";
const FILTER: &CStr = c"seccomp.bpf";
const INSTRUCTION: usize = 8;

impl Entry {
    /// Keeps the part of the configuration that holds for every process of the container
    /// ([`crate::spec::template`]), so that nobody has to read config.json again.
    ///
    /// # Errors
    /// [`Error::File`].
    pub fn keep_template(&self, text: &[u8]) -> Result<(), Error> {
        self.keep(PROCESS, text)
    }

    /// What [`Entry::keep_template`] has kept.
    ///
    /// # Errors
    /// [`Error::File`].
    pub fn template(&self) -> Result<Vec<u8>, Error> {
        self.kept(PROCESS)
    }

    /// Keeps a compiled seccomp filter, in the layout of the kernel (struct sock_filter).
    ///
    /// # Errors
    /// [`Error::File`].
    pub fn keep_filter(&self, filter: &[SockFilter]) -> Result<(), Error> {
        let mut bytes = Vec::with_capacity(filter.len() * INSTRUCTION);
        for SockFilter { code, jt, jf, k } in filter {
            bytes.extend_from_slice(&code.to_ne_bytes());
            bytes.extend_from_slice(&[*jt, *jf]);
            bytes.extend_from_slice(&k.to_ne_bytes());
        }
        self.keep(FILTER, &bytes)
    }

    /// The filter that every process of the container gets, and the flags of seccomp(2) for it;
    /// none when the record says that there is none.
    ///
    /// # Errors
    /// [`Error::File`] also when the filter that the record speaks of is gone;
    /// [`Error::Damaged`] when it is no program.
    pub fn filter(&self, record: &Record) -> Result<Option<(Vec<SockFilter>, u32)>, Error> {
        let Some(flags) = record.seccomp else { return Ok(None) };
        let bytes = self.kept(FILTER)?;
        let (instructions, rest) = bytes.as_chunks::<INSTRUCTION>();
        if instructions.is_empty() || !rest.is_empty() {
            let path = self.path_of(FILTER);
            return Err(Error::Damaged { path, cause: "not a filter program".to_owned() });
        }
        let filter = instructions.iter().map(|&[c0, c1, jt, jf, k0, k1, k2, k3]| SockFilter {
            code: u16::from_ne_bytes([c0, c1]),
            jt,
            jf,
            k: u32::from_ne_bytes([k0, k1, k2, k3]),
        });
        Ok(Some((filter.collect(), flags)))
    }

    fn keep(&self, name: &CStr, bytes: &[u8]) -> Result<(), Error> {
        let flags = fd::O_WRONLY | fd::O_CREAT | fd::O_TRUNC | fd::O_NOFOLLOW;
        fd::openat(self.dir.as_fd(), name, flags, 0o600)
            .and_then(|file| fd::write_all(file.as_fd(), bytes))
            .map_err(|source| self.file_error("write", name, source))
    }

    fn kept(&self, name: &CStr) -> Result<Vec<u8>, Error> {
        let flags = fd::O_RDONLY | fd::O_NOFOLLOW | fd::O_NONBLOCK;
        fd::openat(self.dir.as_fd(), name, flags, 0)
            .and_then(|file| read_all(&file))
            .map_err(|source| self.file_error("read", name, source))
    }

    fn file_error(&self, action: &'static str, name: &CStr, source: Errno) -> Error {
        Error::File { action, path: self.path_of(name), source }
    }

    fn path_of(&self, name: &CStr) -> std::path::PathBuf {
        self.path().join(&*name.to_string_lossy())
    }
}
