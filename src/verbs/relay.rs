//! Between the caller's standard streams and the master of a process's terminal.
//!
//! Nothing here waits: what cannot be passed on yet is kept, one buffer for each direction, and
//! no more is read until it has gone. So a program that does not read holds up neither what it
//! writes itself nor the caller's signals, and the other way round.

use super::keyboard::Keyboard;
use crate::sys::notify::{Edges, News};
use crate::sys::{Errno, fd, tty};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// The most that is shown after the process's end: as much as a terminal holds, and then some.
/// Others may have it open and write forever.
const LAST_WORDS: usize = 256 * 1024;

/// How often a program is told that its input is at the end. More than a shell needs, whose reads
/// of the terminal are as many as its prompts, and no loop with one that answers each time.
const TELLINGS: u8 = 64;

/// See the module's description.
#[derive(Debug)]
pub(super) struct Relay {
    master: OwnedFd,
    /// News of the master. It cannot be polled: while nobody has the other side open, which may
    /// be for good or until somebody opens it again, poll(2) would return at once.
    edges: Edges,
    /// Whether reading the master, or writing to it, is worth a try.
    readable: bool,
    writable: bool,
    stdin: Stream,
    stdout: Stream,
    typed: Buffer,
    shown: Buffer,
    input: Input,
    /// How often the end of the input has been told.
    told: u8,
    /// How much may still be read from the master; none for any amount.
    left: Option<usize>,
}

/// How far the caller's input is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Input {
    Open,
    /// At its end, which the program has not been told.
    Ended,
    /// It has been told.
    Told,
    /// It has been told, and the program has written since, so that it may ask for more.
    Stale,
    Closed,
}

/// Which of [`Relay::interests`] have news.
pub(super) type Ready = [bool; 3];

/// What comes of one round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Round {
    /// There will be more to do when there is news.
    Rest,
    /// There is more to do at once.
    Busy,
    /// Nobody takes the output any more.
    Deaf,
}

impl Relay {
    /// Between the standard streams and this master, which does not block.
    pub(super) fn of(master: OwnedFd) -> Result<Self, Errno> {
        Ok(Self {
            edges: Edges::of(master.as_fd())?,
            master,
            readable: true,
            writable: true,
            stdin: Stream::of(fd::STDIO[0], fd::O_RDONLY),
            stdout: Stream::of(fd::STDIO[1], fd::O_WRONLY),
            typed: Buffer::new(),
            shown: Buffer::new(),
            input: Input::Open,
            told: 0,
            left: None,
        })
    }

    /// The window has the size of the caller's.
    pub(super) fn resize(&self) {
        if let Some(size) = tty::window_size_of_caller() {
            // A terminal that is gone will be told by its end of file.
            let _ = tty::set_window_size(self.master.as_fd(), size);
        }
    }

    /// What to wait for.
    pub(super) fn interests(&self, keyboard: &Keyboard) -> [Option<(BorrowedFd<'_>, News)>; 3] {
        let typing = self.input == Input::Open && self.typed.is_empty() && keyboard.is_ours();
        [
            Some((self.edges.as_fd(), News::Input)),
            typing.then(|| (self.stdin.as_fd(), News::Input)),
            (!self.shown.is_empty()).then(|| (self.stdout.as_fd(), News::Room)),
        ]
    }

    /// Passes on what can be passed on without waiting.
    pub(super) fn round(&mut self, ready: Ready, keyboard: &mut Keyboard) -> Round {
        let [news, typed, room] = ready;
        if news {
            // A watch that fails has no more to tell than that something may have changed.
            let _ = self.edges.take();
            (self.readable, self.writable) = (true, true);
        }
        if room && !self.show() {
            return Round::Deaf;
        }
        self.listen();
        if typed {
            self.read_input(keyboard);
        }
        self.type_in();
        if self.is_busy() { Round::Busy } else { Round::Rest }
    }

    /// The process has ended: what it wrote last is still shown, and nothing typed any more.
    pub(super) fn wind_up(&mut self) {
        if self.left.is_none() {
            self.left = Some(LAST_WORDS);
            // News of what was written last can come later than the end.
            self.readable = true;
            self.input = Input::Closed;
            self.typed = Buffer::new();
        }
    }

    /// Whether there is nothing left to show, as far as can be known.
    pub(super) fn is_done(&self) -> bool {
        self.shown.is_empty() && !(self.readable && self.left != Some(0))
    }

    fn is_busy(&self) -> bool {
        let reads = self.readable && self.shown.is_empty() && self.left != Some(0);
        let types = self.writable && (!self.typed.is_empty() || self.has_to_tell());
        reads || types
    }

    /// Reads what the program has written.
    fn listen(&mut self) {
        if !self.readable || !self.shown.is_empty() || self.left == Some(0) {
            return;
        }
        match self.shown.fill(self.master.as_fd()) {
            Ok(1..) => {
                let left = |left: usize| left.saturating_sub(self.shown.pending().len());
                self.left = self.left.map(left);
                if self.input == Input::Told && self.told < TELLINGS {
                    self.input = Input::Stale;
                }
            }
            // At its end, or EIO: nobody has the other side open, but somebody may open it.
            Ok(0) | Err(_) => self.readable = false,
        }
    }

    /// Writes to the caller; `false` when nobody is there any more.
    fn show(&mut self) -> bool {
        match self.shown.empty_into(self.stdout.as_fd()) {
            Ok(()) | Err(Errno::EAGAIN) => true,
            Err(_) => false,
        }
    }

    /// Reads what the caller has typed.
    fn read_input(&mut self, keyboard: &mut Keyboard) {
        match self.typed.fill(self.stdin.as_fd()) {
            Ok(1..) | Err(Errno::EAGAIN) => {}
            // What is typed is for another job of the caller's shell.
            Err(Errno::EIO) if keyboard.is_taken() => {}
            Ok(0) | Err(_) => self.input = Input::Ended,
        }
    }

    /// Writes to the program, and in the end that this was all.
    fn type_in(&mut self) {
        if self.typed.is_empty() && self.has_to_tell() {
            self.tell_the_end();
        }
        if !self.writable || self.typed.is_empty() {
            return;
        }
        match self.typed.empty_into(self.master.as_fd()) {
            Ok(()) => {}
            // There is no room, or EIO; either may change.
            Err(_) => self.writable = false,
        }
    }

    /// Whether the end of the input is to be typed: at once, and again when the program has said
    /// what it had to say.
    fn has_to_tell(&self) -> bool {
        self.input == Input::Ended || (self.input == Input::Stale && !self.readable)
    }

    /// A terminal has no end: the character that stands for it at the start of a line is typed.
    /// In the middle of one the first only ends the line.
    ///
    /// One is not enough. A file is at its end at each read, and a shell that begins to edit lines
    /// by itself reads a NUL in place of what was typed before (n_tty makes it one).
    fn tell_the_end(&mut self) {
        let again = self.input == Input::Stale;
        self.input = Input::Told;
        let Ok(end) = tty::end_of_input(self.master.as_fd()) else { return };
        if again && end.is_echoed {
            return;
        }
        self.told += 1;
        let amid = !again && self.typed.last().is_some_and(|last| last != b'\n' && last != b'\r');
        self.typed.put(&[end.character; 2][..if amid { 2 } else { 1 }]);
    }
}

/// One of the caller's standard streams. A terminal is opened once more, as only an open file of
/// our own can be kept from blocking; other streams block no longer than they have room.
#[derive(Debug)]
struct Stream {
    number: i32,
    own: Option<OwnedFd>,
}

impl Stream {
    fn of(number: i32, flags: i32) -> Self {
        let stream = fd::borrow(number);
        let own = tty::is_terminal(stream).then(|| tty::reopen(stream, flags).ok()).flatten();
        Self { number, own }
    }

    fn as_fd(&self) -> BorrowedFd<'_> {
        self.own.as_ref().map_or_else(|| fd::borrow(self.number), AsFd::as_fd)
    }
}

/// What was read and is not yet written.
#[derive(Debug)]
struct Buffer {
    bytes: Box<[u8; Self::ROOM]>,
    start: usize,
    end: usize,
}

impl Buffer {
    /// A pipe that has any room takes this much.
    const ROOM: usize = 4096;

    fn new() -> Self {
        Self { bytes: Box::new([0; Self::ROOM]), start: 0, end: 0 }
    }

    fn is_empty(&self) -> bool {
        self.start == self.end
    }

    fn pending(&self) -> &[u8] {
        &self.bytes[self.start..self.end]
    }

    /// The last byte that was ever put in.
    fn last(&self) -> Option<u8> {
        self.end.checked_sub(1).map(|at| self.bytes[at])
    }

    /// Takes the place of what has been passed on.
    fn put(&mut self, bytes: &[u8]) {
        self.bytes[..bytes.len()].copy_from_slice(bytes);
        (self.start, self.end) = (0, bytes.len());
    }

    /// Reads once; how much came. Only where nothing is pending.
    fn fill(&mut self, from: BorrowedFd<'_>) -> Result<usize, Errno> {
        let count = fd::read(from, &mut self.bytes[..])?;
        if count > 0 {
            (self.start, self.end) = (0, count);
        }
        Ok(count)
    }

    /// Writes once; the rest stays.
    fn empty_into(&mut self, to: BorrowedFd<'_>) -> Result<(), Errno> {
        self.start += fd::write_some(to, self.pending())?;
        Ok(())
    }
}
