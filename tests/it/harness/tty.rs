//! Terminals: the engine's side of `--console-socket`, and a terminal to run
//! the runtime in.

// SAFETY of the whole module: descriptors received with SCM_RIGHTS are new and
// owned by nobody else; nix hands them over as numbers.
#![allow(unsafe_code)]

use std::fs::File;
use std::io::{IoSliceMut, Read, Write};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg};

use super::command::{PATIENCE, ask};

/// The socket on which a runtime hands over a terminal (or a pidfd).
pub struct Socket {
    listener: UnixListener,
    path: PathBuf,
}

impl Socket {
    pub fn listen(dir: &Path) -> Self {
        let path = dir.join("console.sock");
        Self { listener: UnixListener::bind(&path).expect("bind the socket"), path }
    }

    pub fn path(&self) -> &str {
        self.path.to_str().expect("utf-8")
    }

    /// The one descriptor of the one message that a runtime sends, and its payload.
    pub fn receive(&self) -> (OwnedFd, Vec<u8>) {
        await_input(&self.listener, "nobody connected to the socket");
        let (stream, _) = self.listener.accept().expect("accept");
        await_input(&stream, "nothing was sent on the socket");
        let mut payload = vec![0; 4096];
        let mut space = nix::cmsg_space!([i32; 4]);
        let (length, numbers) = {
            let mut slices = [IoSliceMut::new(&mut payload)];
            let message = recvmsg::<()>(
                stream.as_raw_fd(),
                &mut slices,
                Some(&mut space),
                MsgFlags::MSG_CMSG_CLOEXEC,
            )
            .expect("receive");
            let numbers: Vec<i32> = message
                .cmsgs()
                .expect("ancillary data")
                .filter_map(|part| match part {
                    ControlMessageOwned::ScmRights(numbers) => Some(numbers),
                    _ => None,
                })
                .flatten()
                .collect();
            (message.bytes, numbers)
        };
        payload.truncate(length);
        assert_eq!(numbers.len(), 1, "exactly one descriptor is to be sent");
        // SAFETY: see the head of the module.
        (unsafe { OwnedFd::from_raw_fd(numbers[0]) }, payload)
    }
}

fn await_input(fd: &impl AsFd, otherwise: &str) {
    let mut waiting = [PollFd::new(fd.as_fd(), PollFlags::POLLIN)];
    let timeout = PollTimeout::try_from(*PATIENCE).expect("a short time");
    assert!(poll(&mut waiting, timeout).expect("poll") > 0, "{otherwise}");
}

/// The master side of a terminal.
pub struct Terminal {
    master: File,
    seen: String,
}

impl Terminal {
    pub fn from_master(master: OwnedFd) -> Self {
        Self { master: File::from(master), seen: String::new() }
    }

    /// A new terminal and its slave side.
    pub fn open() -> (Self, Slave) {
        let pair = nix::pty::openpty(None, None).expect("open a terminal");
        (Self::from_master(pair.master), Slave(pair.slave))
    }

    pub fn type_in(&mut self, text: &str) {
        self.master.write_all(text.as_bytes()).expect("write to the terminal");
    }

    /// Types as much as is taken at once; how much that is.
    pub fn paste(&mut self, text: &str) -> usize {
        let blocking = self.set_nonblocking(true);
        let mut pasted = 0;
        while pasted < text.len() {
            match self.master.write(&text.as_bytes()[pasted..]) {
                Ok(length) => pasted += length,
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => break,
                Err(error) => panic!("write to the terminal: {error}"),
            }
        }
        self.set_nonblocking(blocking);
        pasted
    }

    /// Types all of it, as fast as it is taken.
    #[track_caller]
    pub fn paste_all(&mut self, mut text: &str) {
        let deadline = Instant::now() + *PATIENCE;
        while !text.is_empty() {
            let whole = text.len();
            text = &text[self.paste(text)..];
            assert!(Instant::now() < deadline, "{whole} bytes were not taken, saw {:?}", self.seen);
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// The earlier setting.
    fn set_nonblocking(&self, wanted: bool) -> bool {
        use nix::fcntl::{FcntlArg, OFlag, fcntl};
        let flags = fcntl(&self.master, FcntlArg::F_GETFL).expect("read the flags");
        let mut flags = OFlag::from_bits_truncate(flags);
        let before = flags.contains(OFlag::O_NONBLOCK);
        flags.set(OFlag::O_NONBLOCK, wanted);
        fcntl(&self.master, FcntlArg::F_SETFL(flags)).expect("set the flags");
        before
    }

    /// Reads, and forgets, until `enough`.
    #[track_caller]
    pub fn drain_until(&mut self, enough: impl Fn() -> bool) {
        let deadline = Instant::now() + *PATIENCE;
        while !enough() {
            assert!(Instant::now() < deadline, "waited, and the terminal went on");
            self.read_some();
            self.seen.clear();
        }
    }

    /// Reads, and forgets, until the terminal is closed.
    pub fn drain_in_background(mut self) {
        std::thread::spawn(move || {
            while self.read_some() {
                self.seen.clear();
            }
        });
    }

    /// Reads until `text` has appeared; returns all that was seen up to now.
    #[track_caller]
    pub fn expect(&mut self, text: &str) -> &str {
        let deadline = Instant::now() + *PATIENCE;
        while !self.seen.contains(text) {
            assert!(Instant::now() < deadline, "waited for {text:?}, saw {:?}", self.seen);
            if !self.read_some() {
                assert!(self.seen.contains(text), "terminal closed, saw {:?}", self.seen);
            }
        }
        &self.seen
    }

    /// Reads to the end, which comes when the slave side is closed.
    pub fn rest(mut self) -> String {
        let deadline = Instant::now() + *PATIENCE;
        while self.read_some() {
            assert!(Instant::now() < deadline, "the terminal is still open, saw {:?}", self.seen);
        }
        self.seen
    }

    /// Whether there may be more.
    fn read_some(&mut self) -> bool {
        let mut waiting = [PollFd::new(self.master.as_fd(), PollFlags::POLLIN)];
        let timeout = PollTimeout::try_from(Duration::from_millis(100)).expect("a short time");
        if poll(&mut waiting, timeout).expect("poll") == 0 {
            return true;
        }
        let mut buffer = [0; 4096];
        match self.master.read(&mut buffer) {
            Ok(0) | Err(_) => false,
            Ok(length) => {
                self.seen.push_str(&String::from_utf8_lossy(&buffer[..length]));
                true
            }
        }
    }
}

/// The slave side of a terminal, to be a program's standard streams.
pub struct Slave(OwnedFd);

impl Slave {
    pub fn stdio(&self) -> Stdio {
        self.0.try_clone().expect("duplicate").into()
    }

    /// The user that it belongs to.
    pub fn owner(&self) -> u32 {
        nix::sys::stat::fstat(&self.0).expect("stat").st_uid
    }

    /// Runs stty(1) on it.
    pub fn stty(&self, arguments: &[&str]) -> String {
        let output = ask(Command::new("stty").args(arguments).stdin(self.stdio()));
        let output = output.expect("run stty");
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }
}
