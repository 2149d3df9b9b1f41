//! Network devices of the host, moved into the container's network namespace and, if the container
//! cannot be made, back (config-linux.md, Network Devices).
//!
//! A device arrives without its addresses and down: the kernel keeps all else. Once a container is
//! there its devices are nobody's concern here: they end, or return, with the namespace.

use super::Error;
use crate::plan::net_devices::{Name, NetDevice};
use crate::sys::netlink::{self, Link, Refusal, Request, Socket, attribute, flag, kind};
use crate::sys::process::{self, ns};
use crate::sys::{Errno, fd};
use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

/// Devices that are in the container's namespace.
#[derive(Debug)]
pub(super) struct Moved {
    /// The namespace that they came from.
    home: Place,
    /// The container's.
    container: Place,
    devices: Vec<Device>,
}

/// A network namespace and a connection to its configuration, which keeps it alive.
#[derive(Debug)]
struct Place {
    namespace: OwnedFd,
    socket: Socket,
}

#[derive(Debug)]
struct Device {
    /// Its number in the container.
    index: i32,
    host_name: CString,
    was_up: bool,
    addresses: Vec<Address>,
}

/// An address that outlives the change of namespace.
#[derive(Debug)]
struct Address {
    head: netlink::Address,
    attributes: Vec<(u16, Vec<u8>)>,
}

/// Moves the devices into the network namespace of process `pid`. What was moved before a failure
/// is back again.
pub(super) fn move_all(devices: &[NetDevice], pid: i32) -> Result<Moved, Error> {
    let mut moved = Moved { home: Place::own()?, container: Place::of(pid)?, devices: Vec::new() };
    for device in devices {
        if let Err((action, refusal)) = moved.take(device) {
            moved.give_back();
            return Err(refused(device, action, refusal));
        }
    }
    Ok(moved)
}

fn refused(device: &NetDevice, action: &'static str, refusal: Refusal) -> Error {
    let hint = match refusal.errno {
        Errno::EPERM => {
            Some("moving a device needs CAP_NET_ADMIN over the namespace that it is in")
        }
        Errno::EINVAL => Some("the device may belong to its namespace for good, as lo does"),
        _ => None,
    };
    let (pointer, words) = (device.pointer.clone(), refusal.words);
    let action = if words.is_empty() { action.to_owned() } else { format!("{action}: {words}") };
    Error::NetDevice { pointer, action, source: refusal.errno, hint }
}

/// What was tried, and the kernel's answer.
type Failed = (&'static str, Refusal);

fn doing<T>(action: &'static str, result: Result<T, Refusal>) -> Result<T, Failed> {
    result.map_err(|refusal| (action, refusal))
}

impl Moved {
    fn take(&mut self, device: &NetDevice) -> Result<(), Failed> {
        let (home, there) = (&self.home, &self.container);
        let link = doing("find the network device", home.find(&device.host_name))?;
        if let Name::Exact(name) = &device.name {
            match there.find(name) {
                Err(Refusal { errno: Errno::ENODEV, .. }) => {}
                Ok(_) => {
                    return Err(("name the network device in the container", Errno::EEXIST.into()));
                }
                Err(refusal) => return Err(("look for the name in the container", refusal)),
            }
        }
        let addresses = doing("read the network device's addresses", home.addresses(link.index))?;
        // A template cannot be looked for: on the way to its name the device has one that can.
        let name = match &device.name {
            Name::Exact(name) => name.clone(),
            Name::Template(_) => CString::new(format!("moved{}", link.index)).unwrap_or_default(),
        };
        let sent = doing("move the network device", home.send(link.index, there, &name));
        let arrived = match (&sent, there.find(&name)) {
            (Ok(()), found) => Some(doing("find the network device in the container", found)?),
            // Naming it, which comes second, may be what has failed.
            (Err(_), _) if home.find(&device.host_name).is_err() => {
                there.find(&device.host_name).ok()
            }
            (Err(_), _) => None,
        };
        let Some(Link { index, .. }) = arrived else { return sent };
        self.devices.push(Device {
            index,
            host_name: device.host_name.clone(),
            was_up: link.flags & netlink::UP != 0,
            addresses,
        });
        sent?;
        let Some(arrived) = self.devices.last() else { return Ok(()) };
        if let Name::Template(template) = &device.name {
            doing("name the network device in the container", there.rename(index, template))?;
        }
        let name = doing("find the network device's name", there.name_of(index))?;
        for address in &arrived.addresses {
            let added = there.add(index, address, &device.host_name, &name);
            doing("restore an address of the network device", added)?;
        }
        doing("bring the network device up", there.bring_up(index))
    }

    /// Returns all devices as they were found. What cannot be returned goes the way of the
    /// namespace that it is in.
    pub(super) fn give_back(&mut self) {
        for device in self.devices.drain(..).rev() {
            let name = self.container.name_of(device.index).unwrap_or_default();
            if self.container.send(device.index, &self.home, &device.host_name).is_err() {
                continue;
            }
            let Ok(link) = self.home.find(&device.host_name) else { continue };
            for address in &device.addresses {
                let _ = self.home.add(link.index, address, &name, &device.host_name);
            }
            if device.was_up {
                let _ = self.home.bring_up(link.index);
            }
        }
    }
}

impl Place {
    /// The namespace of the calling thread.
    fn own() -> Result<Self, Error> {
        let failed = |source| Error::Own { action: "open the own network namespace", source };
        Ok(Self {
            namespace: open(c"/proc/thread-self/ns/net").map_err(failed)?,
            socket: Socket::open().map_err(failed)?,
        })
    }

    /// The namespace of process `pid`.
    fn of(pid: i32) -> Result<Self, Error> {
        let failed =
            |source| Error::Own { action: "open the container's network namespace", source };
        let path = CString::new(format!("/proc/{pid}/ns/net")).unwrap_or_default();
        let namespace = open(&path).map_err(failed)?;
        let home = open(c"/proc/thread-self/ns/net").map_err(failed)?;
        process::setns(namespace.as_fd(), ns::NETWORK).map_err(failed)?;
        let socket = Socket::open().map_err(failed);
        process::setns(home.as_fd(), ns::NETWORK).map_err(|source| Error::Own {
            action: "return to the own network namespace",
            source,
        })?;
        Ok(Self { namespace, socket: socket? })
    }

    fn find(&self, name: &CStr) -> Result<Link, Refusal> {
        let request = Request::new(kind::GET_LINK, flag::ACK, &Link::default().bytes())
            .with(attribute::LINK_NAME, name.to_bytes_with_nul());
        let found = self.socket.ask(request)?;
        let links = found.iter().filter(|(kind, _)| *kind == kind::NEW_LINK);
        let mut links = links.filter_map(|(_, body)| Link::read(body));
        links.next().map(|(link, _)| link).ok_or_else(|| Errno::ENODEV.into())
    }

    fn name_of(&self, index: i32) -> Result<CString, Refusal> {
        let head = Link { index, ..Link::default() }.bytes();
        let found = self.socket.ask(Request::new(kind::GET_LINK, flag::ACK, &head))?;
        let names = found.iter().filter_map(|(_, body)| {
            let (_, attributes) = Link::read(body)?;
            let mut attributes = netlink::attributes(attributes);
            attributes.find(|(kind, _)| *kind == attribute::LINK_NAME)
        });
        let name = names.filter_map(|(_, name)| CStr::from_bytes_with_nul(name).ok()).next();
        name.map(CStr::to_owned).ok_or_else(|| Errno::ENODEV.into())
    }

    /// The addresses that are to be kept: permanent and valid everywhere.
    fn addresses(&self, index: i32) -> Result<Vec<Address>, Refusal> {
        let all = netlink::Address::default().bytes();
        let found = self.socket.ask(Request::new(kind::GET_ADDRESS, flag::DUMP, &all))?;
        let address = |(_, body): &(u16, Vec<u8>)| {
            let (head, attributes) = netlink::Address::read(body)?;
            let attributes = netlink::attributes(attributes).map(|(k, v)| (k, v.to_vec()));
            let address = Address { head, attributes: attributes.collect() };
            let mine = i32::try_from(head.index) == Ok(index);
            (mine && address.is_lasting()).then_some(address)
        };
        Ok(found.iter().filter_map(address).collect())
    }

    /// Sends a link to another namespace, where it has that name.
    fn send(&self, index: i32, to: &Self, name: &CStr) -> Result<(), Refusal> {
        let namespace = to.namespace.as_raw_fd().to_ne_bytes();
        let request = change(Link { index, ..Link::default() })
            .with(attribute::LINK_NAMESPACE, &namespace)
            .with(attribute::LINK_NAME, name.to_bytes_with_nul());
        self.socket.ask(request).map(drop)
    }

    fn rename(&self, index: i32, name: &CStr) -> Result<(), Refusal> {
        let request = change(Link { index, ..Link::default() });
        self.socket.ask(request.with(attribute::LINK_NAME, name.to_bytes_with_nul())).map(drop)
    }

    fn bring_up(&self, index: i32) -> Result<(), Refusal> {
        let link = Link { index, flags: netlink::UP, change: netlink::UP };
        self.socket.ask(change(link)).map(drop)
    }

    fn add(&self, index: i32, address: &Address, old: &CStr, new: &CStr) -> Result<(), Refusal> {
        let head = netlink::Address { index: index as u32, ..address.head };
        let flags = flag::ACK | flag::CREATE | flag::EXCLUSIVE;
        let mut request = Request::new(kind::NEW_ADDRESS, flags, &head.bytes());
        for (kind, value) in &address.attributes {
            request = match *kind {
                attribute::ADDRESS_LABEL => request.with(*kind, &relabelled(value, old, new)),
                _ => request.with(*kind, value),
            };
        }
        self.socket.ask(request).map(drop)
    }
}

fn open(path: &CStr) -> Result<OwnedFd, Errno> {
    fd::openat(fd::cwd(), path, fd::O_RDONLY, 0)
}

fn change(link: Link) -> Request {
    Request::new(kind::SET_LINK, flag::ACK, &link.bytes())
}

impl Address {
    fn is_lasting(&self) -> bool {
        let wide = self.attributes.iter().find(|(kind, _)| *kind == attribute::ADDRESS_FLAGS);
        let wide =
            wide.and_then(|(_, value)| Some(u32::from_ne_bytes(value.get(..4)?.try_into().ok()?)));
        let flags = wide.unwrap_or_else(|| self.head.flags.into());
        flags & netlink::PERMANENT != 0 && self.head.scope == netlink::UNIVERSE
    }
}

/// A label begins with the name of its link, as the kernel sees to when it renames one.
fn relabelled(label: &[u8], old: &CStr, new: &CStr) -> Vec<u8> {
    match label.strip_prefix(old.to_bytes()) {
        Some(rest @ ([0] | [b':', ..])) => [new.to_bytes(), rest].concat(),
        _ => label.to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_follow_the_name() {
        assert_eq!(relabelled(b"eth0\0", c"eth0", c"wan"), b"wan\0");
        assert_eq!(relabelled(b"eth0:1\0", c"eth0", c"wan"), b"wan:1\0");
        assert_eq!(relabelled(b"eth01\0", c"eth0", c"wan"), b"eth01\0");
    }

    fn address(scope: u8, flags: u32) -> Address {
        let head = netlink::Address { scope, ..Default::default() };
        let flags = flags.to_ne_bytes().to_vec();
        Address { head, attributes: vec![(attribute::ADDRESS_FLAGS, flags)] }
    }

    /// NET-3
    #[test]
    fn permanent_addresses_that_are_valid_everywhere_are_kept() {
        assert!(address(netlink::UNIVERSE, netlink::PERMANENT | 0x200).is_lasting());
        assert!(!address(netlink::UNIVERSE, 0x200).is_lasting());
        assert!(!address(253, netlink::PERMANENT).is_lasting());
    }
}
