//! Floor 0: the kernel, and nothing but.
//!
//! The only modules that name `libc` or `nix`, and the only ones with `unsafe` code. Wrappers
//! take borrowed descriptors and NUL-terminated strings, return owned descriptors or an
//! [`Errno`], retry nothing but `EINTR`, and decide nothing. All of them can be called in a
//! process that was cloned from another one and may not allocate.

#![allow(unsafe_code)] // every block says why it is sound

pub mod bpf;
pub mod cred;
#[cfg(target_arch = "x86_64")]
pub mod entry;
pub mod fd;
pub mod heap;
pub mod keyring;
pub mod mount;
pub mod net;
pub mod netlink;
pub mod noalloc;
pub mod notify;
pub mod process;
pub mod resolve;
pub mod sched;
pub mod seccomp;
pub mod signal;
pub mod socket;
pub mod spawn;
pub mod thread;
pub mod tty;

pub use nix::errno::Errno;

/// The result of a system call.
pub type Result<T> = std::result::Result<T, Errno>;

/// The number behind an error of the standard library's; `EIO` for one of its own making.
pub fn errno_of(error: &std::io::Error) -> Errno {
    error.raw_os_error().map_or(Errno::EIO, Errno::from_raw)
}

/// Turns the return value of a raw system call (`-1` and `errno`) into a [`Result`].
fn check(ret: libc::c_long) -> Result<libc::c_long> {
    if ret == -1 { Err(Errno::last()) } else { Ok(ret) }
}

/// Calls `f` again for as long as a signal interrupts it.
fn retry<T>(mut f: impl FnMut() -> Result<T>) -> Result<T> {
    loop {
        match f() {
            Err(Errno::EINTR) => {}
            other => return other,
        }
    }
}
