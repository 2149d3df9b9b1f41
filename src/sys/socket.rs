//! Local sockets: packets, connections by path, and descriptors in transit (unix(7)).

use super::fd::own;
use super::{Errno, Result, check, retry};
use std::ffi::CStr;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::ptr::null_mut;

/// A connected pair of packet sockets, close-on-exec.
///
/// # Errors
/// Those of socketpair(2).
pub fn packet_pair() -> Result<(OwnedFd, OwnedFd)> {
    let mut fds: [RawFd; 2] = [-1; 2];
    let kind = libc::SOCK_SEQPACKET | libc::SOCK_CLOEXEC;
    // SAFETY: the array is writable during the call.
    check(unsafe { libc::socketpair(libc::AF_UNIX, kind, 0, fds.as_mut_ptr()) }.into())?;
    // SAFETY: the kernel stored two new descriptors that nobody else owns.
    Ok(unsafe { (OwnedFd::from_raw_fd(fds[0]), OwnedFd::from_raw_fd(fds[1])) })
}

fn address(path: &CStr) -> Result<(libc::sockaddr_un, libc::socklen_t)> {
    // SAFETY: sockaddr_un is plain data for which all zeroes is valid.
    let mut addr: libc::sockaddr_un = unsafe { std::mem::zeroed() };
    addr.sun_family = libc::AF_UNIX as libc::sa_family_t;
    let bytes = path.to_bytes();
    if bytes.len() >= addr.sun_path.len() {
        return Err(Errno::ENAMETOOLONG);
    }
    for (to, from) in addr.sun_path.iter_mut().zip(bytes) {
        *to = *from as libc::c_char;
    }
    let len = std::mem::offset_of!(libc::sockaddr_un, sun_path) + bytes.len() + 1;
    Ok((addr, len as libc::socklen_t))
}

/// The type of a local socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A byte stream.
    Stream,
    /// Packets over a connection.
    Packet,
    /// Packets without a connection.
    Datagram,
}

fn socket(kind: Kind) -> Result<OwnedFd> {
    socket_with(kind, 0)
}

fn socket_with(kind: Kind, flags: i32) -> Result<OwnedFd> {
    let kind = match kind {
        Kind::Stream => libc::SOCK_STREAM,
        Kind::Packet => libc::SOCK_SEQPACKET,
        Kind::Datagram => libc::SOCK_DGRAM,
    };
    // SAFETY: takes no memory.
    own(unsafe { libc::socket(libc::AF_UNIX, kind | flags | libc::SOCK_CLOEXEC, 0) }.into())
}

/// Connects to the local socket at `path` (107 bytes at most). Neither that nor any sending
/// afterwards takes longer than `timeout` milliseconds (`SO_SNDTIMEO`).
///
/// # Errors
/// `EAGAIN` when the time is over, `ECONNREFUSED` when nobody listens there; others of connect(2).
pub fn connect_within(path: &CStr, kind: Kind, timeout: u32) -> Result<OwnedFd> {
    connect_to(address(path)?, kind, timeout)
}

fn connect_to(
    (addr, len): (libc::sockaddr_un, libc::socklen_t),
    kind: Kind,
    timeout: u32,
) -> Result<OwnedFd> {
    let socket = socket(kind)?;
    limit_sending(&socket, timeout)?;
    connect(&socket, &addr, len)?;
    Ok(socket)
}

fn connect(socket: &OwnedFd, addr: &libc::sockaddr_un, len: libc::socklen_t) -> Result<()> {
    retry(|| {
        // SAFETY: the address outlives the call and its length is right.
        check(unsafe { libc::connect(socket.as_raw_fd(), (&raw const *addr).cast(), len) }.into())
    })
    .map(drop)
}

fn limit_sending(socket: &OwnedFd, timeout: u32) -> Result<()> {
    let limit =
        libc::timeval { tv_sec: (timeout / 1000).into(), tv_usec: (timeout % 1000 * 1000).into() };
    // SAFETY: the value is readable for the length given.
    let ret = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_SNDTIMEO,
            (&raw const limit).cast(),
            size_of_val(&limit) as libc::socklen_t,
        )
    };
    check(ret.into()).map(drop)
}

/// What comes of a connection without waiting.
#[derive(Debug)]
pub enum AtOnce {
    /// There is one, which never waits either.
    Connected(OwnedFd),
    /// So many have connected that the next one has to wait.
    Full,
    /// Nobody listens.
    Nobody,
}

/// Connects to the packet socket at `path` if that can be had at once.
///
/// # Errors
/// Those of connect(2) that are no answer.
pub fn connect_at_once(path: &CStr) -> Result<AtOnce> {
    let (addr, len) = address(path)?;
    let socket = socket_with(Kind::Packet, libc::SOCK_NONBLOCK)?;
    match connect(&socket, &addr, len) {
        Ok(()) => Ok(AtOnce::Connected(socket)),
        Err(Errno::EAGAIN) => Ok(AtOnce::Full),
        Err(Errno::ENOENT | Errno::ECONNREFUSED | Errno::ECONNRESET) => Ok(AtOnce::Nobody),
        Err(errno) => Err(errno),
    }
}

/// A datagram socket bound to `path`, which must not exist yet.
///
/// # Errors
/// Those of bind(2).
pub fn bind_datagram(path: &CStr) -> Result<OwnedFd> {
    let (addr, len) = address(path)?;
    let socket = socket(Kind::Datagram)?;
    // SAFETY: the address outlives the call and its length is right.
    check(unsafe { libc::bind(socket.as_raw_fd(), (&raw const addr).cast(), len) }.into())?;
    Ok(socket)
}

/// As [`connect_within`], to an address as service managers name theirs: a path, or after an `@` a
/// name without one (sd_notify(3)).
///
/// # Errors
/// As [`connect_within`].
pub fn connect_by_name(name: &CStr, kind: Kind, timeout: u32) -> Result<OwnedFd> {
    let (mut addr, mut len) = address(name)?;
    if name.to_bytes().first() == Some(&b'@') {
        addr.sun_path[0] = 0;
        // Such a name has no NUL at its end (unix(7)).
        len -= 1;
    }
    connect_to((addr, len), kind, timeout)
}

/// A packet socket that listens at `path`, which must not exist yet.
///
/// # Errors
/// Those of bind(2) and listen(2).
pub fn listen(path: &CStr) -> Result<OwnedFd> {
    let (addr, len) = address(path)?;
    let socket = socket(Kind::Packet)?;
    // SAFETY: the address outlives the call and its length is right.
    check(unsafe { libc::bind(socket.as_raw_fd(), (&raw const addr).cast(), len) }.into())?;
    // SAFETY: takes no memory.
    check(unsafe { libc::listen(socket.as_raw_fd(), 16) }.into())?;
    Ok(socket)
}

/// Accepts a connection, close-on-exec.
///
/// # Errors
/// Those of accept4(2) but `EINTR`.
pub fn accept(listener: BorrowedFd<'_>) -> Result<OwnedFd> {
    let (fd, flags) = (listener.as_raw_fd(), libc::SOCK_CLOEXEC);
    retry(|| {
        // SAFETY: null address and length ask for no peer address.
        let ret = unsafe { libc::accept4(fd, null_mut(), null_mut(), flags) };
        own(ret.into())
    })
}

/// Room for one descriptor in a control message, aligned as cmsg(3) asks.
#[repr(C, align(8))]
struct Control([u8; 64]);

/// Sends a packet, with a descriptor when one is given. Never raises `SIGPIPE`.
///
/// # Errors
/// `EPIPE` when the peer is gone; others of sendmsg(2) but `EINTR`.
pub fn send(socket: BorrowedFd<'_>, data: &[u8], fd: Option<BorrowedFd<'_>>) -> Result<()> {
    let mut control = Control([0; 64]);
    let mut iov = libc::iovec { iov_base: data.as_ptr().cast_mut().cast(), iov_len: data.len() };
    // SAFETY: msghdr is plain data for which all zeroes is valid.
    let mut msg: libc::msghdr = unsafe { std::mem::zeroed() };
    msg.msg_iov = &raw mut iov;
    msg.msg_iovlen = 1;
    if let Some(fd) = fd {
        msg.msg_control = (&raw mut control).cast();
        // SAFETY: CMSG_SPACE only computes; 64 bytes hold one descriptor on every architecture.
        msg.msg_controllen = unsafe { libc::CMSG_SPACE(size_of::<RawFd>() as u32) } as _;
        // SAFETY: msg_control points to an aligned buffer that holds one header and one int.
        unsafe {
            let header = libc::CMSG_FIRSTHDR(&raw const msg);
            (*header).cmsg_level = libc::SOL_SOCKET;
            (*header).cmsg_type = libc::SCM_RIGHTS;
            (*header).cmsg_len = libc::CMSG_LEN(size_of::<RawFd>() as u32) as _;
            std::ptr::write_unaligned(libc::CMSG_DATA(header).cast(), fd.as_raw_fd());
        }
    }
    let sent = retry(|| {
        // SAFETY: everything that `msg` points to outlives the call.
        let ret = unsafe { libc::sendmsg(socket.as_raw_fd(), &raw const msg, libc::MSG_NOSIGNAL) };
        check(ret as libc::c_long)
    })?;
    if sent as usize == data.len() { Ok(()) } else { Err(Errno::EMSGSIZE) }
}

/// Receives a packet and at most one descriptor, which is made close-on-exec. A length of 0
/// means that the peer has closed.
///
/// # Errors
/// Those of recvmsg(2) but `EINTR`.
pub fn receive(socket: BorrowedFd<'_>, buf: &mut [u8]) -> Result<(usize, Option<OwnedFd>)> {
    let mut control = Control([0; 64]);
    let mut iov = libc::iovec { iov_base: buf.as_mut_ptr().cast(), iov_len: buf.len() };
    // SAFETY: msghdr is plain data for which all zeroes is valid.
    let mut msg: libc::msghdr = unsafe { std::mem::zeroed() };
    msg.msg_iov = &raw mut iov;
    msg.msg_iovlen = 1;
    msg.msg_control = (&raw mut control).cast();
    // SAFETY: CMSG_SPACE only computes.
    msg.msg_controllen = unsafe { libc::CMSG_SPACE(size_of::<RawFd>() as u32) } as _;
    let len = retry(|| {
        // SAFETY: everything that `msg` points to is writable and outlives the call.
        let ret =
            unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut msg, libc::MSG_CMSG_CLOEXEC) };
        check(ret as libc::c_long)
    })?;
    let mut fd = None;
    // SAFETY: the kernel filled the control buffer up to msg_controllen; CMSG_FIRSTHDR checks it.
    unsafe {
        let header = libc::CMSG_FIRSTHDR(&raw const msg);
        if !header.is_null()
            && (*header).cmsg_level == libc::SOL_SOCKET
            && (*header).cmsg_type == libc::SCM_RIGHTS
        {
            let raw: RawFd = std::ptr::read_unaligned(libc::CMSG_DATA(header).cast());
            fd = Some(OwnedFd::from_raw_fd(raw));
        }
    }
    Ok((len as usize, fd))
}

/// Sends a datagram to the local socket at `path`.
///
/// # Errors
/// Those of socket(2) and sendto(2).
pub fn send_to(path: &CStr, data: &[u8]) -> Result<()> {
    let (addr, len) = address(path)?;
    let socket = socket(Kind::Datagram)?;
    retry(|| {
        // SAFETY: data and address outlive the call and their lengths are right.
        let ret = unsafe {
            libc::sendto(
                socket.as_raw_fd(),
                data.as_ptr().cast(),
                data.len(),
                libc::MSG_NOSIGNAL,
                (&raw const addr).cast(),
                len,
            )
        };
        check(ret as libc::c_long)
    })
    .map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;

    #[test]
    fn a_packet_carries_a_descriptor() {
        let (a, b) = packet_pair().unwrap();
        let file = super::super::fd::memfd(c"x").unwrap();
        send(a.as_fd(), b"hello", Some(file.as_fd())).unwrap();
        let mut buf = [0; 16];
        let (len, fd) = receive(b.as_fd(), &mut buf).unwrap();
        assert_eq!(&buf[..len], b"hello");
        let got = super::super::fd::fstat(fd.unwrap().as_fd()).unwrap();
        assert_eq!(got.ino, super::super::fd::fstat(file.as_fd()).unwrap().ino);
    }

    #[test]
    fn a_closed_peer_is_seen_by_both_directions() {
        let (a, b) = packet_pair().unwrap();
        drop(b);
        assert_eq!(send(a.as_fd(), b"x", None), Err(Errno::EPIPE));
        assert_eq!(receive(a.as_fd(), &mut [0; 4]).unwrap().0, 0);
    }
}
