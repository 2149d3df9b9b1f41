//! A blocking D-Bus client, as small as talking to a service manager needs: one connection, one
//! call at a time, signals kept for later, a deadline on every read and write.
//!
//! Source: the D-Bus specification 0.42 (message protocol, SASL profile, addresses).

use crate::plan::cgroup::scope::Value;
use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

/// Why a message was not exchanged.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The socket cannot be reached.
    #[error("connect to the bus at {address}: {}", crate::error::reason(cause))]
    Connect {
        /// The address or path.
        address: String,
        /// The cause.
        cause: std::io::Error,
    },
    /// The address has a form that is not supported.
    #[error(
        "connect to the bus at {address}: only unix:path= and unix:abstract= addresses are supported"
    )]
    Address {
        /// The address.
        address: String,
    },
    /// Nothing came in time.
    #[error("{action}: no answer at the deadline")]
    Late {
        /// What was waited for.
        action: &'static str,
    },
    /// The connection broke.
    #[error("{action}: {cause}")]
    Io {
        /// What was done.
        action: &'static str,
        /// The cause.
        cause: std::io::Error,
    },
    /// The bus does not let this user in.
    #[error("authenticate to the bus: it answered {answer:?}")]
    Refused {
        /// What it said.
        answer: String,
    },
    /// Bytes that are no D-Bus message of this protocol version.
    #[error("read from the bus: malformed message")]
    Malformed,
    /// The called method failed.
    #[error("call {member}: {name}: {message}")]
    Method {
        /// The method.
        member: &'static str,
        /// The error's name.
        name: String,
        /// What the peer says about it.
        message: String,
    },
}

impl Error {
    /// Whether the called method failed with the error of this name.
    pub(super) fn is_called(&self, wanted: &str) -> bool {
        matches!(self, Self::Method { name, .. } if name == wanted)
    }
}

/// Largest message that is accepted; the protocol allows 128 MiB, systemd sends kilobytes.
const MAX_MESSAGE: usize = 1 << 20;

/// So many signals wait to be looked at; the oldest give way to newer ones.
const MOST_SIGNALS: usize = 64;

/// The first piece of memory for a message; each further one doubles it, when it is full.
const PIECE: usize = 4096;

/// Message types.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Call,
    Reply,
    Error,
    Signal,
    Unknown,
}

impl Kind {
    const fn code(self) -> u8 {
        match self {
            Self::Unknown => 0,
            Self::Call => 1,
            Self::Reply => 2,
            Self::Error => 3,
            Self::Signal => 4,
        }
    }

    const fn of(code: u8) -> Self {
        match code {
            1 => Self::Call,
            2 => Self::Reply,
            3 => Self::Error,
            4 => Self::Signal,
            _ => Self::Unknown,
        }
    }
}

/// Values written in the protocol's alignment, little-endian.
#[derive(Debug, Default)]
pub(super) struct Encoder(Vec<u8>);

impl Encoder {
    pub(super) fn align(&mut self, to: usize) -> &mut Self {
        self.0.resize(self.0.len().next_multiple_of(to), 0);
        self
    }

    pub(super) fn byte(&mut self, n: u8) -> &mut Self {
        self.0.push(n);
        self
    }

    pub(super) fn u32(&mut self, n: u32) -> &mut Self {
        self.align(4).0.extend(n.to_le_bytes());
        self
    }

    fn u64(&mut self, n: u64) -> &mut Self {
        self.align(8).0.extend(n.to_le_bytes());
        self
    }

    pub(super) fn text(&mut self, text: &str) -> &mut Self {
        self.u32(text.len() as u32).0.extend(text.bytes());
        self.byte(0)
    }

    pub(super) fn signature(&mut self, text: &str) -> &mut Self {
        self.byte(text.len() as u8).0.extend(text.bytes());
        self.byte(0)
    }

    /// An array whose elements are aligned to `element`; `fill` writes them.
    pub(super) fn array(&mut self, element: usize, fill: impl FnOnce(&mut Self)) -> &mut Self {
        self.u32(0);
        let length_at = self.0.len() - 4;
        self.align(element);
        let start = self.0.len();
        fill(self);
        let length = (self.0.len() - start) as u32;
        self.0[length_at..length_at + 4].copy_from_slice(&length.to_le_bytes());
        self
    }

    pub(super) fn variant(&mut self, value: &Value) -> &mut Self {
        match value {
            Value::Bool(on) => self.signature("b").u32(u32::from(*on)),
            Value::I32(n) => self.signature("i").u32(*n as u32),
            Value::U32(n) => self.signature("u").u32(*n),
            Value::I64(n) => self.signature("x").u64(*n as u64),
            Value::U64(n) => self.signature("t").u64(*n),
            Value::Text(text) => self.signature("s").text(text),
            Value::Texts(list) => self.signature("as").array(4, |e| {
                for text in list {
                    e.text(text);
                }
            }),
            Value::Bytes(bytes) => self.signature("ay").array(1, |e| e.0.extend(bytes)),
            Value::U32s(list) => self.signature("au").array(4, |e| {
                for n in list {
                    e.u32(*n);
                }
            }),
        }
    }

    pub(super) fn bytes(self) -> Vec<u8> {
        self.0
    }
}

/// Values read from a message.
#[derive(Debug)]
pub(super) struct Decoder<'m> {
    bytes: &'m [u8],
    at: usize,
}

impl<'m> Decoder<'m> {
    pub(super) fn new(bytes: &'m [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    pub(super) fn align(&mut self, to: usize) {
        self.at = self.at.next_multiple_of(to);
    }

    /// Reads an array whose elements are aligned to `element`, one by one.
    #[cfg(test)]
    pub(super) fn each(
        &mut self,
        element: usize,
        mut read: impl FnMut(&mut Self) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let len = self.u32()? as usize;
        self.align(element);
        let end = self.at + len;
        while self.at < end {
            read(self)?;
        }
        if self.at == end { Ok(()) } else { Err(Error::Malformed) }
    }

    #[cfg(test)]
    pub(super) fn is_at_end(&self) -> bool {
        self.at == self.bytes.len()
    }

    fn take(&mut self, len: usize) -> Result<&'m [u8], Error> {
        let end = self.at.checked_add(len).ok_or(Error::Malformed)?;
        let part = self.bytes.get(self.at..end).ok_or(Error::Malformed)?;
        self.at = end;
        Ok(part)
    }

    pub(super) fn byte(&mut self) -> Result<u8, Error> {
        self.take(1)?.first().copied().ok_or(Error::Malformed)
    }

    pub(super) fn u32(&mut self) -> Result<u32, Error> {
        self.align(4);
        let four = self.take(4)?.try_into().map_err(|_| Error::Malformed)?;
        Ok(u32::from_le_bytes(four))
    }

    pub(super) fn text(&mut self) -> Result<&'m str, Error> {
        let len = self.u32()? as usize;
        self.terminated(len)
    }

    pub(super) fn signature(&mut self) -> Result<&'m str, Error> {
        let len = usize::from(self.byte()?);
        self.terminated(len)
    }

    fn terminated(&mut self, len: usize) -> Result<&'m str, Error> {
        let text = std::str::from_utf8(self.take(len)?).map_err(|_| Error::Malformed)?;
        self.byte()?;
        Ok(text)
    }
}

/// A message that came in.
#[derive(Clone, Debug)]
pub(super) struct Message {
    pub(super) kind: Kind,
    #[cfg_attr(not(test), allow(dead_code))] // only a bus answers, and only tests have one
    pub(super) serial: u32,
    pub(super) reply_to: u32,
    pub(super) member: String,
    pub(super) error: String,
    pub(super) signature: String,
    pub(super) body: Vec<u8>,
}

const PATH: u8 = 1;
const INTERFACE: u8 = 2;
const MEMBER: u8 = 3;
const ERROR_NAME: u8 = 4;
const REPLY_SERIAL: u8 = 5;
const DESTINATION: u8 = 6;
const SIGNATURE: u8 = 8;

/// Length of the part of a header that has a fixed form, with the length of the fields.
const FIXED_HEADER: usize = 16;

impl Message {
    /// The length of the whole message, from its first bytes.
    fn length(fixed: &[u8]) -> Result<usize, Error> {
        let mut decoder = Decoder::new(fixed);
        let (order, _, _, version) =
            (decoder.byte()?, decoder.byte()?, decoder.byte()?, decoder.byte()?);
        let (body, _serial, fields) = (decoder.u32()?, decoder.u32()?, decoder.u32()?);
        let header = (FIXED_HEADER + fields as usize).next_multiple_of(8);
        let total = header.checked_add(body as usize).ok_or(Error::Malformed)?;
        // Peers on one machine write in its own order; this crate's targets are little-endian.
        if order != b'l' || version != 1 || total > MAX_MESSAGE {
            return Err(Error::Malformed);
        }
        Ok(total)
    }

    fn decode(bytes: &[u8]) -> Result<Self, Error> {
        let mut decoder = Decoder::new(bytes);
        decoder.byte()?;
        let kind = Kind::of(decoder.byte()?);
        decoder.take(2)?;
        let body = decoder.u32()? as usize;
        let serial = decoder.u32()?;
        let fields_end = FIXED_HEADER + decoder.u32()? as usize;
        let mut message = Self {
            kind,
            serial,
            reply_to: 0,
            member: String::new(),
            error: String::new(),
            signature: String::new(),
            body: Vec::new(),
        };
        while decoder.at < fields_end {
            message.field(&mut decoder)?;
        }
        decoder.align(8);
        message.body = decoder.take(body)?.to_vec();
        Ok(message)
    }

    fn field(&mut self, decoder: &mut Decoder<'_>) -> Result<(), Error> {
        decoder.align(8);
        let code = decoder.byte()?;
        match (code, decoder.signature()?) {
            (REPLY_SERIAL, "u") => self.reply_to = decoder.u32()?,
            (MEMBER, "s") => self.member = decoder.text()?.to_owned(),
            (ERROR_NAME, "s") => self.error = decoder.text()?.to_owned(),
            (SIGNATURE, "g") => self.signature = decoder.signature()?.to_owned(),
            (_, "s" | "o") => drop(decoder.text()?),
            (_, "u") => drop(decoder.u32()?),
            (_, "g") => drop(decoder.signature()?),
            _ => return Err(Error::Malformed),
        }
        Ok(())
    }
}

/// What a message is addressed to, or what it answers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Address<'a> {
    pub(super) destination: &'a str,
    pub(super) path: &'a str,
    pub(super) interface: &'a str,
}

/// A message as it goes over the socket.
pub(super) fn encode(
    kind: Kind,
    serial: u32,
    fields: &[(u8, &str, &str)],
    reply_to: Option<u32>,
    body: &[u8],
) -> Vec<u8> {
    let mut message = Encoder::default();
    message.byte(b'l').byte(kind.code()).byte(0).byte(1);
    message.u32(body.len() as u32).u32(serial);
    message.array(8, |e| {
        for (code, signature, text) in fields {
            e.align(8).byte(*code).signature(signature);
            match *signature {
                "g" => e.signature(text),
                _ => e.text(text),
            };
        }
        if let Some(serial) = reply_to {
            e.align(8).byte(REPLY_SERIAL).signature("u").u32(serial);
        }
    });
    message.align(8);
    let mut bytes = message.bytes();
    bytes.extend_from_slice(body);
    bytes
}

/// An authenticated connection.
#[derive(Debug)]
pub(super) struct Connection {
    stream: UnixStream,
    serial: u32,
    signals: VecDeque<Message>,
}

impl Connection {
    /// Takes a connected socket through authentication. No user is named: the bus is to ask the
    /// kernel, as the caller of an engine may have another number in its user namespace than the
    /// bus knows it by.
    pub(super) fn new(stream: UnixStream, deadline: Instant) -> Result<Self, Error> {
        const ACTION: &str = "authenticate to the bus";
        let mut connection = Self { stream, serial: 0, signals: VecDeque::new() };
        connection.write(b"\0AUTH EXTERNAL\r\nDATA\r\n", ACTION, deadline)?;
        for expected in ["DATA", "OK"] {
            let answer = connection.line(ACTION, deadline)?;
            if !answer.starts_with(expected) {
                return Err(Error::Refused { answer });
            }
        }
        connection.write(b"BEGIN\r\n", ACTION, deadline)?;
        Ok(connection)
    }

    /// Calls a method and waits for its answer.
    pub(super) fn call(
        &mut self,
        to: Address<'_>,
        member: &'static str,
        signature: &str,
        body: &[u8],
        deadline: Instant,
    ) -> Result<Message, Error> {
        self.serial += 1;
        let serial = self.serial;
        let mut fields = vec![
            (PATH, "o", to.path),
            (INTERFACE, "s", to.interface),
            (MEMBER, "s", member),
            (DESTINATION, "s", to.destination),
        ];
        if !signature.is_empty() {
            fields.push((SIGNATURE, "g", signature));
        }
        self.write(&encode(Kind::Call, serial, &fields, None, body), member, deadline)?;
        loop {
            let message = self.read(member, deadline)?;
            match message.kind {
                Kind::Reply if message.reply_to == serial => return Ok(message),
                Kind::Error if message.reply_to == serial => {
                    let text = match message.signature.starts_with('s') {
                        true => Decoder::new(&message.body).text()?.to_owned(),
                        false => String::new(),
                    };
                    return Err(Error::Method { member, name: message.error, message: text });
                }
                Kind::Signal => self.keep(message),
                _ => {}
            }
        }
    }

    fn keep(&mut self, signal: Message) {
        if self.signals.len() == MOST_SIGNALS {
            self.signals.pop_front();
        }
        self.signals.push_back(signal);
    }

    /// The next signal, also one that came during a call.
    pub(super) fn signal(
        &mut self,
        action: &'static str,
        deadline: Instant,
    ) -> Result<Message, Error> {
        loop {
            if let Some(signal) = self.signals.pop_front() {
                return Ok(signal);
            }
            let message = self.read(action, deadline)?;
            if message.kind == Kind::Signal {
                self.keep(message);
            }
        }
    }

    fn left(action: &'static str, deadline: Instant) -> Result<Option<Duration>, Error> {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() { Err(Error::Late { action }) } else { Ok(Some(left)) }
    }

    fn write(
        &mut self,
        mut bytes: &[u8],
        action: &'static str,
        deadline: Instant,
    ) -> Result<(), Error> {
        while !bytes.is_empty() {
            let left = Self::left(action, deadline)?;
            let io = |cause| Error::Io { action, cause };
            self.stream.set_write_timeout(left).map_err(io)?;
            match self.stream.write(bytes) {
                Ok(0) => return Err(io(ErrorKind::WriteZero.into())),
                Ok(n) => bytes = &bytes[n..],
                Err(cause) if retries(&cause) => {}
                Err(cause) => return Err(io(cause)),
            }
        }
        Ok(())
    }

    fn fill(
        &mut self,
        mut into: &mut [u8],
        action: &'static str,
        deadline: Instant,
    ) -> Result<(), Error> {
        while !into.is_empty() {
            let left = Self::left(action, deadline)?;
            let io = |cause| Error::Io { action, cause };
            self.stream.set_read_timeout(left).map_err(io)?;
            match self.stream.read(into) {
                Ok(0) => return Err(io(ErrorKind::UnexpectedEof.into())),
                Ok(n) => into = &mut into[n..],
                Err(cause) if retries(&cause) => {}
                Err(cause) => return Err(io(cause)),
            }
        }
        Ok(())
    }

    fn line(&mut self, action: &'static str, deadline: Instant) -> Result<String, Error> {
        const LONGEST: usize = 512;
        let mut line = Vec::new();
        while !line.ends_with(b"\r\n") {
            if line.len() > LONGEST {
                return Err(Error::Malformed);
            }
            let mut byte = [0];
            self.fill(&mut byte, action, deadline)?;
            line.extend(byte);
        }
        Ok(String::from_utf8_lossy(&line).trim_end().to_owned())
    }

    fn read(&mut self, action: &'static str, deadline: Instant) -> Result<Message, Error> {
        let mut bytes = vec![0; FIXED_HEADER];
        self.fill(&mut bytes, action, deadline)?;
        let length = Message::length(&bytes)?;
        // A length is believed as its bytes come in.
        while bytes.len() < length {
            let had = bytes.len();
            bytes.resize(length.min((2 * had).max(PIECE)), 0);
            self.fill(&mut bytes[had..], action, deadline)?;
        }
        Message::decode(&bytes)
    }
}

/// A timeout of the socket is followed by a look at the deadline.
fn retries(cause: &std::io::Error) -> bool {
    matches!(cause.kind(), ErrorKind::Interrupted | ErrorKind::WouldBlock | ErrorKind::TimedOut)
}

/// A bus for tests: the other end of a socket pair.
#[cfg(test)]
pub(super) mod fake {
    use super::*;

    /// Serves one client: authenticates it, then hands each call to `serve`, which answers with
    /// whole messages.
    pub(in crate::cgroup) fn bus(
        mut serve: impl FnMut(&Message) -> Vec<Vec<u8>> + Send + 'static,
    ) -> UnixStream {
        let (client, server) = UnixStream::pair().unwrap();
        std::thread::spawn(move || {
            let deadline = Instant::now() + Duration::from_secs(5);
            let mut peer = Connection { stream: server, serial: 0, signals: VecDeque::new() };
            let hello = peer.line("test", deadline).unwrap();
            assert_eq!(hello, "\0AUTH EXTERNAL", "no number, which a user namespace may change");
            assert_eq!(peer.line("test", deadline).unwrap(), "DATA");
            peer.write(b"DATA\r\nOK 0123456789abcdef\r\n", "test", deadline).unwrap();
            assert_eq!(peer.line("test", deadline).unwrap(), "BEGIN");
            while let Ok(call) = peer.read("test", deadline) {
                for answer in serve(&call) {
                    peer.write(&answer, "test", deadline).unwrap();
                }
            }
        });
        client
    }

    pub(in crate::cgroup) fn reply(to: &Message, signature: &str, body: Encoder) -> Vec<u8> {
        let fields = [(SIGNATURE, "g", signature)];
        let fields = if signature.is_empty() { &fields[..0] } else { &fields[..] };
        encode(Kind::Reply, 1, fields, Some(to.serial), &body.bytes())
    }

    pub(in crate::cgroup) fn error(to: &Message, name: &str, text: &str) -> Vec<u8> {
        let mut body = Encoder::default();
        body.text(text);
        let fields = [(ERROR_NAME, "s", name), (SIGNATURE, "g", "s")];
        encode(Kind::Error, 1, &fields, Some(to.serial), &body.bytes())
    }

    pub(in crate::cgroup) fn signal(member: &str, signature: &str, body: Encoder) -> Vec<u8> {
        let fields = [
            (PATH, "o", "/org/freedesktop/systemd1"),
            (INTERFACE, "s", "org.freedesktop.systemd1.Manager"),
            (MEMBER, "s", member),
            (SIGNATURE, "g", signature),
        ];
        encode(Kind::Signal, 1, &fields, None, &body.bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::noalloc;
    use proptest::prelude::*;

    const PEER: Address<'_> = Address { destination: "d", path: "/p", interface: "i" };

    fn soon() -> Instant {
        Instant::now() + Duration::from_millis(200)
    }

    #[test]
    fn a_call_is_answered_and_signals_wait() {
        let stream = fake::bus(|call| {
            let mut body = Encoder::default();
            body.text("told");
            let early = fake::signal("Early", "", Encoder::default());
            vec![early, fake::reply(call, "s", body)]
        });
        let mut connection = Connection::new(stream, soon()).unwrap();
        let reply = connection.call(PEER, "Ask", "", &[], soon()).unwrap();
        assert_eq!(Decoder::new(&reply.body).text().unwrap(), "told");
        assert_eq!(connection.signal("wait", soon()).unwrap().member, "Early");
        assert!(matches!(connection.signal("wait", soon()), Err(Error::Late { action: "wait" })));
    }

    #[test]
    fn of_too_many_signals_the_newest_are_kept() {
        let stream = fake::bus(|call| {
            let signal = |n: usize| fake::signal(&format!("S{n}"), "", Encoder::default());
            let mut answers: Vec<_> = (0..MOST_SIGNALS + 2).map(signal).collect();
            answers.push(fake::reply(call, "", Encoder::default()));
            answers
        });
        let mut connection = Connection::new(stream, soon()).unwrap();
        connection.call(PEER, "Ask", "", &[], soon()).unwrap();
        assert_eq!(connection.signals.len(), MOST_SIGNALS);
        assert_eq!(connection.signal("wait", soon()).unwrap().member, "S2");
    }

    #[test]
    fn an_announced_length_takes_no_memory_before_its_bytes() {
        let stream = fake::bus(|_| vec![encode(Kind::Reply, 1, &[], Some(1), &[])]);
        let mut connection = Connection::new(stream, soon()).unwrap();
        connection.call(PEER, "Ask", "", &[], soon()).unwrap();
        let (client, mut bus) = UnixStream::pair().unwrap();
        connection.stream = client;
        let mut announced = encode(Kind::Reply, 1, &[], Some(2), &[]);
        announced[4..8].copy_from_slice(&(MAX_MESSAGE as u32 / 2).to_le_bytes());
        bus.write_all(&announced).unwrap();
        bus.shutdown(std::net::Shutdown::Write).unwrap();
        let (ended, most) = noalloc::most_in_use(|| connection.call(PEER, "Ask", "", &[], soon()));
        let eof = ErrorKind::UnexpectedEof;
        assert!(matches!(&ended, Err(Error::Io { cause, .. }) if cause.kind() == eof), "{ended:?}");
        assert!(most < 4 * PIECE, "{most} bytes");
    }

    #[test]
    fn a_large_message_is_read_whole() {
        let text = "x".repeat(5 * PIECE);
        let sent = text.clone();
        let stream = fake::bus(move |call| {
            let mut body = Encoder::default();
            body.text(&sent);
            vec![fake::reply(call, "s", body)]
        });
        let mut connection = Connection::new(stream, soon()).unwrap();
        let reply = connection.call(PEER, "Ask", "", &[], soon()).unwrap();
        assert_eq!(Decoder::new(&reply.body).text().unwrap(), text);
    }

    #[test]
    fn an_error_answer_is_told_with_its_name() {
        let stream = fake::bus(|call| vec![fake::error(call, "org.Bad", "no way")]);
        let mut connection = Connection::new(stream, soon()).unwrap();
        let error = connection.call(PEER, "Ask", "", &[], soon()).unwrap_err();
        assert_eq!(error.to_string(), "call Ask: org.Bad: no way");
    }

    #[test]
    fn silence_ends_at_the_deadline() {
        let stream = fake::bus(|_| vec![]);
        let mut connection = Connection::new(stream, soon()).unwrap();
        let error = connection.call(PEER, "Ask", "", &[], soon()).unwrap_err();
        assert_eq!(error.to_string(), "Ask: no answer at the deadline");
        let (mute, _open) = UnixStream::pair().unwrap();
        assert!(matches!(Connection::new(mute, soon()), Err(Error::Late { .. })));
    }

    #[test]
    fn a_bus_that_refuses_or_hangs_up_is_an_error() {
        let (client, mut server) = UnixStream::pair().unwrap();
        server.write_all(b"REJECTED EXTERNAL\r\n").unwrap();
        let refused = Connection::new(client, soon());
        assert!(matches!(refused, Err(Error::Refused { answer }) if answer == "REJECTED EXTERNAL"));
        let (client, server) = UnixStream::pair().unwrap();
        drop(server);
        assert!(matches!(Connection::new(client, soon()), Err(Error::Io { .. })));
    }

    #[test]
    fn messages_of_another_protocol_are_refused() {
        for fixed in [
            *b"B\x01\0\x01\0\0\0\0\0\0\0\0\0\0\0\0",
            *b"l\x01\0\x02\0\0\0\0\0\0\0\0\0\0\0\0",
            *b"l\x01\0\x01\0\0\0\x7f\0\0\0\0\0\0\0\0",
        ] {
            assert!(matches!(Message::length(&fixed), Err(Error::Malformed)));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn no_bytes_make_the_decoder_fail_otherwise(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Message::decode(&bytes);
            let _ = Message::length(&bytes);
        }
    }
}
