//! The loopback interface (netdevice(7)).

use super::fd::own;
use super::{Result, check};
use std::os::fd::AsRawFd;

/// Brings the loopback interface of the calling network namespace up.
///
/// # Errors
/// Those of socket(2) and of the `SIOCSIFFLAGS` request.
pub fn loopback_up() -> Result<()> {
    // SAFETY: takes no memory.
    let socket =
        own(
            unsafe { libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0) }.into()
        )?;
    // SAFETY: ifreq is plain data for which all zeroes is valid.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    request.ifr_name[0] = b'l' as libc::c_char;
    request.ifr_name[1] = b'o' as libc::c_char;
    request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as i16;
    // SAFETY: the request reads one ifreq, which outlives the call.
    check(
        unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS as _, &raw const request) }
            .into(),
    )
    .map(drop)
}
