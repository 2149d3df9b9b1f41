//! Requests to the kernel's network configuration (rtnetlink(7)): messages of attributes, and the
//! socket that carries them. Unlike the rest of `sys` this allocates.

use super::fd::own;
use super::{Errno, check, retry};
use std::os::fd::{AsRawFd, OwnedFd};

/// What a message asks for (rtnetlink(7)).
pub mod kind {
    /// A link, present or changed.
    pub const NEW_LINK: u16 = libc::RTM_NEWLINK;
    /// Asks for a link.
    pub const GET_LINK: u16 = libc::RTM_GETLINK;
    /// Changes a link.
    pub const SET_LINK: u16 = libc::RTM_SETLINK;
    /// An address, present or to be added.
    pub const NEW_ADDRESS: u16 = libc::RTM_NEWADDR;
    /// Asks for addresses.
    pub const GET_ADDRESS: u16 = libc::RTM_GETADDR;
}

/// Flags of requests (netlink(7)).
pub mod flag {
    /// Wants an answer in any case.
    pub const ACK: u16 = libc::NLM_F_ACK as u16;
    /// Wants all there are.
    pub const DUMP: u16 = libc::NLM_F_DUMP as u16;
    /// Makes it if it is not there.
    pub const CREATE: u16 = libc::NLM_F_CREATE as u16;
    /// Fails if it is there.
    pub const EXCLUSIVE: u16 = libc::NLM_F_EXCL as u16;
}

/// Attributes of links and addresses (linux/if_link.h, linux/if_addr.h).
pub mod attribute {
    /// The name of a link, NUL-terminated.
    pub const LINK_NAME: u16 = libc::IFLA_IFNAME;
    /// A descriptor of the network namespace that a link goes to.
    pub const LINK_NAMESPACE: u16 = libc::IFLA_NET_NS_FD;
    /// Flags of an address, all 32.
    pub const ADDRESS_FLAGS: u16 = libc::IFA_FLAGS;
    /// The label of an IPv4 address, NUL-terminated.
    pub const ADDRESS_LABEL: u16 = libc::IFA_LABEL;
}

/// The link flag of an interface that is up (netdevice(7)).
pub const UP: u32 = libc::IFF_UP as u32;
/// The flag of an address without an end to its life.
pub const PERMANENT: u32 = libc::IFA_F_PERMANENT;
/// The scope of addresses that are valid everywhere.
pub const UNIVERSE: u8 = libc::RT_SCOPE_UNIVERSE;

/// The head of messages about links (struct ifinfomsg).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Link {
    /// Number of the link, or 0 where attributes name it.
    pub index: i32,
    /// `IFF_*`.
    pub flags: u32,
    /// Which flags are meant.
    pub change: u32,
}

impl Link {
    const LEN: usize = 16;

    /// As it stands in a message.
    pub fn bytes(self) -> [u8; Self::LEN] {
        let mut bytes = [0; Self::LEN];
        bytes[4..8].copy_from_slice(&self.index.to_ne_bytes());
        bytes[8..12].copy_from_slice(&self.flags.to_ne_bytes());
        bytes[12..].copy_from_slice(&self.change.to_ne_bytes());
        bytes
    }

    /// Out of a message, with the attributes behind it.
    pub fn read(body: &[u8]) -> Option<(Self, &[u8])> {
        let (head, rest) = body.split_at_checked(Self::LEN)?;
        let link = Self {
            index: i32::from_ne_bytes(word(head, 4)?),
            flags: u32::from_ne_bytes(word(head, 8)?),
            change: u32::from_ne_bytes(word(head, 12)?),
        };
        Some((link, rest))
    }
}

/// The head of messages about addresses (struct ifaddrmsg).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Address {
    /// `AF_INET`, `AF_INET6`, …
    pub family: u8,
    /// Length of the network's part in bits.
    pub prefix: u8,
    /// The low bits of `IFA_F_*`.
    pub flags: u8,
    /// `RT_SCOPE_*`.
    pub scope: u8,
    /// Number of the link.
    pub index: u32,
}

impl Address {
    const LEN: usize = 8;

    /// As it stands in a message.
    pub fn bytes(self) -> [u8; Self::LEN] {
        let [a, b, c, d] = self.index.to_ne_bytes();
        [self.family, self.prefix, self.flags, self.scope, a, b, c, d]
    }

    /// Out of a message, with the attributes behind it.
    pub fn read(body: &[u8]) -> Option<(Self, &[u8])> {
        let (head, rest) = body.split_at_checked(Self::LEN)?;
        let index = u32::from_ne_bytes(word(head, 4)?);
        let (family, prefix, flags, scope) = (head[0], head[1], head[2], head[3]);
        Some((Self { family, prefix, flags, scope, index }, rest))
    }
}

fn word(bytes: &[u8], at: usize) -> Option<[u8; 4]> {
    bytes.get(at..at + 4)?.try_into().ok()
}

fn half(bytes: &[u8], at: usize) -> Option<usize> {
    Some(usize::from(u16::from_ne_bytes(bytes.get(at..at + 2)?.try_into().ok()?)))
}

/// Messages and attributes begin at multiples of this.
fn aligned(len: usize) -> usize {
    len.next_multiple_of(4)
}

/// Length of a message's header (struct nlmsghdr).
const HEADER: usize = 16;

/// A request.
#[derive(Clone, Debug)]
pub struct Request(Vec<u8>);

impl Request {
    /// A request with its head, which is [`Link::bytes`] or [`Address::bytes`].
    pub fn new(kind: u16, flags: u16, head: &[u8]) -> Self {
        let mut bytes = vec![0; HEADER];
        bytes[4..6].copy_from_slice(&kind.to_ne_bytes());
        bytes[6..8].copy_from_slice(&(flags | libc::NLM_F_REQUEST as u16).to_ne_bytes());
        bytes.extend_from_slice(head);
        Self(bytes)
    }

    /// The same with an attribute.
    #[must_use]
    pub fn with(mut self, kind: u16, payload: &[u8]) -> Self {
        // No attribute here comes near the 64 KiB that its length can tell.
        let len = (payload.len() + 4) as u16;
        self.0.extend_from_slice(&len.to_ne_bytes());
        self.0.extend_from_slice(&kind.to_ne_bytes());
        self.0.extend_from_slice(payload);
        self.0.resize(aligned(self.0.len()), 0);
        self
    }

    fn finish(mut self) -> Vec<u8> {
        let len = self.0.len() as u32;
        self.0[..4].copy_from_slice(&len.to_ne_bytes());
        self.0
    }
}

/// The attributes of a message, each with its kind.
pub fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let len = half(bytes, 0)?;
        let kind = half(bytes, 2)? as u16 & (libc::NLA_TYPE_MASK as u16);
        let payload = bytes.get(4..len)?;
        bytes = bytes.get(aligned(len)..).unwrap_or_default();
        Some((kind, payload))
    })
}

/// Why a request was not carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The errno.
    pub errno: Errno,
    /// The kernel's own words; often empty.
    pub words: String,
}

impl From<Errno> for Refusal {
    fn from(errno: Errno) -> Self {
        Self { errno, words: String::new() }
    }
}

/// A connection to the configuration of one network namespace.
#[derive(Debug)]
pub struct Socket(OwnedFd);

impl Socket {
    /// A socket in the network namespace of the calling thread, which it stays in.
    ///
    /// # Errors
    /// Those of socket(2).
    pub fn open() -> super::Result<Self> {
        let kind = libc::SOCK_RAW | libc::SOCK_CLOEXEC;
        // SAFETY: takes no memory.
        let fd = unsafe { libc::socket(libc::AF_NETLINK, kind, libc::NETLINK_ROUTE) };
        let socket = own(fd.into())?;
        for option in [libc::NETLINK_EXT_ACK, libc::NETLINK_CAP_ACK] {
            let on: i32 = 1;
            // Only the kernel's words are lost where it has none.
            // SAFETY: the value is readable for the length given.
            let _ = unsafe {
                libc::setsockopt(
                    socket.as_raw_fd(),
                    libc::SOL_NETLINK,
                    option,
                    (&raw const on).cast(),
                    size_of_val(&on) as libc::socklen_t,
                )
            };
        }
        Ok(Self(socket))
    }

    /// Carries out a request and returns the messages of the answer, each with its kind.
    ///
    /// # Errors
    /// The kernel's refusal, or those of send(2) and recv(2).
    pub fn ask(&self, request: Request) -> Result<Vec<(u16, Vec<u8>)>, Refusal> {
        // One request at a time: sequence numbers would tell nothing.
        self.send(&request.finish())?;
        let mut found = Vec::new();
        let mut buffer = vec![0; 1 << 16];
        loop {
            let len = self.receive(&mut buffer)?;
            for message in messages(&buffer[..len]) {
                match i32::from(message.kind) {
                    libc::NLMSG_ERROR | libc::NLMSG_DONE => {
                        return outcome(&message).map(|()| found);
                    }
                    libc::NLMSG_NOOP => {}
                    _ => found.push((message.kind, message.body.to_vec())),
                }
            }
        }
    }

    fn send(&self, bytes: &[u8]) -> super::Result<()> {
        retry(|| {
            // SAFETY: the buffer is readable for the length given.
            check(unsafe {
                libc::send(self.0.as_raw_fd(), bytes.as_ptr().cast(), bytes.len(), 0)
                    as libc::c_long
            })
        })
        .map(drop)
    }

    fn receive(&self, buffer: &mut [u8]) -> super::Result<usize> {
        retry(|| {
            // SAFETY: the buffer is writable for the length given.
            check(unsafe {
                libc::recv(self.0.as_raw_fd(), buffer.as_mut_ptr().cast(), buffer.len(), 0)
                    as libc::c_long
            })
        })
        .map(|len| len as usize)
    }
}

/// One message of an answer.
struct Message<'a> {
    kind: u16,
    flags: u16,
    body: &'a [u8],
}

fn messages(mut bytes: &[u8]) -> impl Iterator<Item = Message<'_>> {
    std::iter::from_fn(move || {
        let len = u32::from_ne_bytes(word(bytes, 0)?) as usize;
        let message = Message {
            kind: half(bytes, 4)? as u16,
            flags: half(bytes, 6)? as u16,
            body: bytes.get(HEADER..len)?,
        };
        bytes = bytes.get(aligned(len)..).unwrap_or_default();
        Some(message)
    })
}

/// What an NLMSG_ERROR or NLMSG_DONE says: an errno, which is 0 for success, then, after an error,
/// the header of the request and attributes, of which one kind is a text (NLMSGERR_ATTR_MSG).
fn outcome(message: &Message<'_>) -> Result<(), Refusal> {
    const TEXT: u16 = 1;
    let errno = word(message.body, 0).map_or(-libc::EBADMSG, i32::from_ne_bytes);
    if errno == 0 {
        return Ok(());
    }
    let mut words = String::new();
    if i32::from(message.flags) & libc::NLM_F_ACK_TLVS != 0 {
        let rest = message.body.get(4 + HEADER..).unwrap_or_default();
        if let Some((_, text)) = attributes(rest).find(|(kind, _)| *kind == TEXT) {
            words = String::from_utf8_lossy(text).trim_end_matches('\0').to_owned();
        }
    }
    Err(Refusal { errno: Errno::from_raw(-errno), words })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_a_header_a_head_and_attributes() {
        let head = Link { index: 7, ..Link::default() }.bytes();
        let request = Request::new(kind::SET_LINK, flag::ACK, &head);
        let bytes = request.with(attribute::LINK_NAME, b"eth0\0").finish();
        assert_eq!(bytes.len(), 16 + 16 + 12);
        assert_eq!(bytes[..4], 44_u32.to_ne_bytes());
        let message = messages(&bytes).next().unwrap();
        assert_eq!((message.kind, message.flags & flag::ACK), (kind::SET_LINK, flag::ACK));
        let (link, rest) = Link::read(message.body).unwrap();
        assert_eq!(link.index, 7);
        let found: Vec<_> = attributes(rest).collect();
        assert_eq!(found, [(attribute::LINK_NAME, &b"eth0\0"[..])]);
    }

    #[test]
    fn lengths_that_lie_end_the_reading() {
        let mut bytes = Request::new(kind::GET_LINK, 0, &[0; 16]).finish();
        bytes[0] = 0xff;
        assert_eq!(messages(&bytes).count(), 0);
        assert_eq!(attributes(&[0xff, 0xff, 1, 0, 0]).count(), 0);
        assert_eq!(attributes(&[3, 0, 1, 0]).count(), 0);
        assert_eq!(Link::read(&[0; 15]), None);
    }

    #[test]
    fn the_loopback_interface_is_found() {
        let socket = Socket::open().unwrap();
        let request = Request::new(kind::GET_LINK, flag::ACK, &Link::default().bytes());
        let found = socket.ask(request.clone().with(attribute::LINK_NAME, b"lo\0")).unwrap();
        assert_eq!(Link::read(&found[0].1).unwrap().0.index, 1);
        let none = socket.ask(request.with(attribute::LINK_NAME, b"no-such-link\0"));
        assert_eq!(none.unwrap_err().errno, Errno::ENODEV);
    }
}
