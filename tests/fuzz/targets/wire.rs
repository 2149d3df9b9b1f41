//! Frames between the launcher and the processes that it makes.

use std::os::fd::AsFd;

use cloison::sys::socket;
use cloison::wire::{ToInit, ToLauncher};

use super::machine::printable;

/// Whatever a stranger sends is refused or understood; what is understood can
/// be sent on and means the same.
pub fn hold(data: &[u8]) {
    let (here, there) = socket::packet_pair().expect("a socket pair");
    // An empty packet cannot be told from the end.
    let data = if data.is_empty() { &[0] } else { &data[..data.len().min(512)] };
    socket::send(here.as_fd(), data, None).expect("send");
    if let Ok(Some((message, None))) = ToLauncher::receive(there.as_fd()) {
        if let ToLauncher::Failed(failure) = message {
            assert!(failure.remark().len() <= 3 * cloison::wire::REMARK);
            printable(failure.step.action());
        }
        message.send(here.as_fd(), None).expect("send");
        let again = ToLauncher::receive(there.as_fd()).expect("receive").expect("a frame").0;
        assert_eq!(again, message);
    }
    socket::send(here.as_fd(), data, None).expect("send");
    if let Ok(Some(message)) = ToInit::receive(there.as_fd()) {
        message.send(here.as_fd()).expect("send");
        assert_eq!(ToInit::receive(there.as_fd()).expect("receive"), Some(message));
    }
}
