//! Scopes of systemd's service manager.
//!
//! Source: org.freedesktop.systemd1(5).

use super::dbus::{Address, Connection, Decoder, Encoder, Error as BusError};
use super::v2::Unified;
use super::{Error, Placement, Prepared};
use crate::deadlines::milliseconds;
use crate::plan::cgroup::scope::{Bus, Property, Scope, Value, of_writes};
use crate::plan::cgroup::{CgroupPlan, Place, Write};
use crate::sys::{Errno, socket};
use std::cell::Cell;
use std::ffi::CString;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

/// How long systemd may take to start or stop a scope, also when it is busy.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long the bus may take to let this process in, which is no work for it.
const WELCOME: Duration = Duration::from_secs(10);

const BUS: Address<'static> = Address {
    destination: "org.freedesktop.DBus",
    path: "/org/freedesktop/DBus",
    interface: "org.freedesktop.DBus",
};

const MANAGER: Address<'static> = Address {
    destination: "org.freedesktop.systemd1",
    path: "/org/freedesktop/systemd1",
    interface: "org.freedesktop.systemd1.Manager",
};

const PEER: Address<'static> = Address { interface: "org.freedesktop.DBus.Peer", ..MANAGER };

pub(super) const UNIT_EXISTS: &str = "org.freedesktop.systemd1.UnitExists";
const NO_SUCH_UNIT: &str = "org.freedesktop.systemd1.NoSuchUnit";

/// Booleans are 32 bits wide; this one is for changes that are not for the next boot.
const RUNTIME: u32 = 1;

const JOBS: &str = "type='signal',sender='org.freedesktop.systemd1',\
    interface='org.freedesktop.systemd1.Manager',member='JobRemoved'";

/// A container's scope.
#[derive(Debug)]
pub(super) struct Unit {
    pub(super) name: String,
    pub(super) bus: Bus,
    pub(super) unified: Unified,
    /// Whether the bus did not answer before: cleaning up does not wait for it once more.
    silent: Cell<bool>,
    /// How long its answers are waited for.
    pub(super) patience: Duration,
}

/// A connection to a service manager that tells of finished jobs.
#[derive(Debug)]
pub struct ServiceManager(Connection);

impl Unit {
    pub(super) fn survey(scope: &Scope) -> Result<Self, Error> {
        let unified = Unified::survey(&scope.mount, &scope.path)?;
        Ok(Self::new(scope.unit.clone(), scope.bus, unified))
    }

    pub(super) fn new(name: String, bus: Bus, unified: Unified) -> Self {
        Self { name, bus, unified, silent: Cell::new(false), patience: PATIENCE }
    }

    /// Nothing can be made before there is a process: a scope is made around one.
    pub(super) fn prepare(&self) -> Prepared {
        Prepared::new(None, Placement::AfterClone)
    }

    /// Makes the scope around the container's first process, and furnishes its cgroup.
    pub(super) fn start(&self, plan: &CgroupPlan, pid: i32) -> Result<(), Error> {
        let Place::Scope(scope) = &plan.place else {
            return Err(Error::NoCgroup { action: "start the scope of" });
        };
        let deadline = Instant::now() + self.patience;
        let mut manager = self.connect(deadline)?;
        let failed = |cause| Error::Bus { unit: self.name.clone(), cause };
        let result = manager.start(scope, pid, deadline).map_err(failed)?;
        if result != "done" {
            return Err(Error::Job { action: "start", unit: self.name.clone(), result });
        }
        let furnished =
            self.unified.require().and_then(|dir| self.unified.furnish(dir.as_fd(), plan));
        if furnished.is_err() {
            // systemd would ask first, and the first process of a pid namespace does not listen.
            let _ = self.unified.kill_all(deadline);
            let _ = manager.stop(&self.name, deadline);
        }
        furnished
    }

    /// Changes limits and then does `rest`; when any of it fails, everything is as before.
    ///
    /// systemd is told first: it writes what it is told, and rounds it, so that the exact values
    /// have to come last, also when they are the old ones.
    pub(super) fn update(
        &self,
        writes: &[Write],
        rest: impl FnOnce() -> Result<(), Error>,
    ) -> Result<(), Error> {
        let properties = of_writes(writes);
        if properties.is_empty() {
            return self.unified.update_with(writes, rest);
        }
        let deadline = Instant::now() + self.patience;
        let failed = |cause| Error::Bus { unit: self.name.clone(), cause };
        // Told of a limit below what is in use, systemd would end processes for it.
        self.unified.check(writes)?;
        let old = self.unified.undoing(writes)?;
        let mut manager = self.connect(deadline)?;
        manager.set(&self.name, &properties, deadline).map_err(failed)?;
        let Err(cause) = self.unified.update_with(writes, rest) else { return Ok(()) };
        let told = manager.set(&self.name, &of_writes(&old), deadline).map_err(failed);
        match told.and_then(|()| self.unified.undo(&old)) {
            Ok(()) => Err(cause),
            Err(error) => Err(Error::NotUndone { cause: Box::new(cause), left: vec![error] }),
        }
    }

    fn connect(&self, deadline: Instant) -> Result<ServiceManager, Error> {
        let failed = |cause| Error::Bus { unit: self.name.clone(), cause };
        if self.silent.get() {
            return Err(failed(BusError::Late { action: "connect" }));
        }
        let deadline = deadline.min(Instant::now() + WELCOME);
        let connected =
            connect(self.bus, deadline).and_then(|stream| ServiceManager::new(stream, deadline));
        self.silent.set(matches!(connected, Err(BusError::Late { .. })));
        connected.map_err(failed)
    }

    /// Kills what is left, removes the cgroup, has the unit stopped and removes what systemd has
    /// made again. A scope whose cgroup is empty ends by itself, so a bus that is out of reach
    /// matters only when the cgroup stays.
    pub(super) fn remove(&self, deadline: Instant) -> Result<(), Error> {
        self.unified.kill_all(deadline)?;
        // While it is there and `populated`, be it by processes that have ended, systemd waits.
        let _ = self.unified.remove(deadline);
        let stopped = self.connect(deadline).and_then(|mut manager| {
            manager
                .stop(&self.name, deadline)
                .map_err(|cause| Error::Bus { unit: self.name.clone(), cause })
        });
        match self.unified.remove(deadline) {
            Ok(()) => Ok(()),
            Err(error) => Err(stopped.err().unwrap_or(error)),
        }
    }
}

impl ServiceManager {
    /// Introduces itself on a connected socket.
    ///
    /// # Errors
    /// What the bus answers, or does not answer before the deadline.
    pub fn new(stream: UnixStream, deadline: Instant) -> Result<Self, BusError> {
        let mut connection = Connection::new(stream, deadline)?;
        connection.call(BUS, "Hello", "", &[], deadline)?;
        let mut rule = Encoder::default();
        rule.text(JOBS);
        connection.call(BUS, "AddMatch", "s", &rule.bytes(), deadline)?;
        Ok(Self(connection))
    }

    /// Starts a scope around a process and waits for the job's result. A failed unit of the same
    /// name, left by an earlier container, is forgotten first.
    ///
    /// # Errors
    /// What the service manager answers, or does not answer before the deadline.
    pub fn start(
        &mut self,
        scope: &Scope,
        pid: i32,
        deadline: Instant,
    ) -> Result<String, BusError> {
        let body = start_body(scope, pid);
        match self.start_transient(&body, deadline) {
            Err(error) if error.is_called(UNIT_EXISTS) => {
                self.forget(&scope.unit, deadline)?;
                self.start_transient(&body, deadline)
            }
            other => other,
        }
    }

    fn start_transient(&mut self, body: &[u8], deadline: Instant) -> Result<String, BusError> {
        self.job("StartTransientUnit", "ssa(sv)a(sa(sv))", body, deadline)
    }

    /// Stops a unit, waits until it has stopped, and has it forgotten. One that is not there has.
    ///
    /// # Errors
    /// What the service manager answers, or does not answer before the deadline.
    pub fn stop(&mut self, unit: &str, deadline: Instant) -> Result<(), BusError> {
        let mut body = Encoder::default();
        body.text(unit).text("replace");
        match self.job("StopUnit", "ss", &body.bytes(), deadline) {
            Ok(_) => {}
            Err(error) if error.is_called(NO_SUCH_UNIT) => return Ok(()),
            Err(error) => return Err(error),
        }
        match self.forget(unit, deadline) {
            // It did not fail, so it is gone already.
            Err(BusError::Method { .. }) => Ok(()),
            other => other,
        }
    }

    /// Sets properties of a unit for as long as it lives, and waits until they are in force.
    ///
    /// # Errors
    /// What the service manager answers, or does not answer before the deadline.
    pub fn set(
        &mut self,
        unit: &str,
        properties: &[Property],
        deadline: Instant,
    ) -> Result<(), BusError> {
        let mut body = Encoder::default();
        body.text(unit).u32(RUNTIME);
        write_properties(&mut body, properties.iter());
        self.0.call(MANAGER, "SetUnitProperties", "sba(sv)", &body.bytes(), deadline)?;
        // systemd writes to cgroups before it looks at its next message.
        self.0.call(PEER, "Ping", "", &[], deadline).map(drop)
    }

    fn forget(&mut self, unit: &str, deadline: Instant) -> Result<(), BusError> {
        let mut body = Encoder::default();
        body.text(unit);
        self.0.call(MANAGER, "ResetFailedUnit", "s", &body.bytes(), deadline).map(drop)
    }

    /// Calls a method that answers with a job, and waits until that job is removed.
    fn job(
        &mut self,
        member: &'static str,
        signature: &str,
        body: &[u8],
        deadline: Instant,
    ) -> Result<String, BusError> {
        let reply = self.0.call(MANAGER, member, signature, body, deadline)?;
        let job = Decoder::new(&reply.body).text()?.to_owned();
        loop {
            let signal = self.0.signal(member, deadline)?;
            if signal.member != "JobRemoved" || signal.signature != "uoss" {
                continue;
            }
            let mut decoder = Decoder::new(&signal.body);
            let (_id, path, _unit) = (decoder.u32()?, decoder.text()?, decoder.text()?);
            if path == job {
                return Ok(decoder.text()?.to_owned());
            }
        }
    }
}

/// Name, mode, properties and no further units.
fn start_body(scope: &Scope, pid: i32) -> Vec<u8> {
    let first = [
        Property { name: "Slice".to_owned(), value: Value::Text(scope.slice.clone()) },
        Property { name: "PIDs".to_owned(), value: Value::U32s(vec![pid as u32]) },
    ];
    let mut body = Encoder::default();
    body.text(&scope.unit).text("replace");
    write_properties(&mut body, first.iter().chain(&scope.properties));
    body.array(8, |_| {});
    body.bytes()
}

/// `a(sv)`
fn write_properties<'p>(body: &mut Encoder, properties: impl Iterator<Item = &'p Property>) {
    body.array(8, |e| {
        for property in properties {
            e.align(8).text(&property.name).variant(&property.value);
        }
    });
}

fn connect(bus: Bus, deadline: Instant) -> Result<UnixStream, BusError> {
    let address = match bus {
        Bus::System => std::env::var("DBUS_SYSTEM_BUS_ADDRESS")
            .unwrap_or_else(|_| "unix:path=/run/dbus/system_bus_socket".to_owned()),
        Bus::User { uid } => std::env::var("DBUS_SESSION_BUS_ADDRESS").unwrap_or_else(|_| {
            let dir = std::env::var("XDG_RUNTIME_DIR");
            format!("unix:path={}/bus", dir.unwrap_or_else(|_| format!("/run/user/{uid}")))
        }),
    };
    let mut last = None;
    for one in address.split(';').filter(|one| !one.is_empty()) {
        match connect_to(one, deadline) {
            Ok(stream) => return Ok(stream),
            Err(error) => last = Some(error),
        }
    }
    Err(last.unwrap_or(BusError::Address { address }))
}

/// A bus whose queue is full is not waited for without end.
fn connect_to(address: &str, deadline: Instant) -> Result<UnixStream, BusError> {
    let unsupported = || BusError::Address { address: address.to_owned() };
    let failed = |errno| BusError::Connect {
        address: address.to_owned(),
        cause: std::io::Error::from_raw_os_error(errno as i32),
    };
    let pairs = address.strip_prefix("unix:").ok_or_else(unsupported)?;
    for (key, value) in pairs.split(',').filter_map(|pair| pair.split_once('=')) {
        let name = unescape(value).ok_or_else(unsupported)?;
        let name = match key {
            "path" => name,
            "abstract" => format!("@{name}"),
            _ => continue,
        };
        let name = CString::new(name).map_err(|_| unsupported())?;
        // Of the socket none would be for ever.
        let left = milliseconds(deadline.saturating_duration_since(Instant::now())).max(1);
        return match socket::connect_by_name(&name, socket::Kind::Stream, left) {
            Ok(stream) => Ok(UnixStream::from(stream)),
            Err(Errno::EAGAIN) => Err(BusError::Late { action: "connect" }),
            Err(errno) => Err(failed(errno)),
        };
    }
    Err(unsupported())
}

/// Undoes the `%XX` of an address.
fn unescape(value: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let digits = [rest.next()?, rest.next()?];
                u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?
            }
            other => other,
        });
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::super::dbus::{Message, fake};
    use super::*;
    use crate::plan::cgroup::path::CgroupPath;
    use std::path::Path;
    use std::sync::{Arc, Mutex};

    fn soon() -> Instant {
        Instant::now() + Duration::from_millis(300)
    }

    fn scope() -> Scope {
        Scope {
            mount: "/sys/fs/cgroup".into(),
            path: CgroupPath::new(Path::new("system.slice/c-1.scope")).unwrap(),
            slice: "system.slice".into(),
            unit: "c-1.scope".into(),
            bus: Bus::System,
            properties: vec![
                Property { name: "Delegate".into(), value: Value::Bool(true) },
                Property { name: "MemoryMax".into(), value: Value::U64(4096) },
                Property { name: "AllowedCPUs".into(), value: Value::Bytes(vec![3]) },
                Property { name: "After".into(), value: Value::Texts(vec!["a".into()]) },
            ],
        }
    }

    fn job_reply(call: &Message, path: &str) -> Vec<u8> {
        let mut body = Encoder::default();
        body.text(path);
        fake::reply(call, "o", body)
    }

    fn removed(path: &str, result: &str) -> Vec<u8> {
        let mut body = Encoder::default();
        body.u32(7).text(path).text("c-1.scope").text(result);
        fake::signal("JobRemoved", "uoss", body)
    }

    /// A service manager that answers by `answer`, and the names of the methods it was asked.
    fn manager(
        mut answer: impl FnMut(&Message) -> Vec<Vec<u8>> + Send + 'static,
    ) -> (ServiceManager, Arc<Mutex<Vec<String>>>) {
        let asked = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&asked);
        let stream = fake::bus(move |call| {
            log.lock().unwrap().push(call.member.clone());
            match call.member.as_str() {
                "Hello" | "AddMatch" => vec![fake::reply(call, "", Encoder::default())],
                _ => answer(call),
            }
        });
        (ServiceManager::new(stream, soon()).unwrap(), asked)
    }

    /// CG-50.
    #[test]
    fn a_scope_is_started_when_its_own_job_is_done() {
        let (mut manager, asked) = manager(|call| {
            vec![
                removed("/job/1", "failed"),
                job_reply(call, "/job/2"),
                removed("/job/3", "failed"),
                removed("/job/2", "done"),
            ]
        });
        assert_eq!(manager.start(&scope(), 42, soon()).unwrap(), "done");
        assert_eq!(*asked.lock().unwrap(), ["Hello", "AddMatch", "StartTransientUnit"]);
    }

    #[test]
    fn a_unit_left_by_an_earlier_container_is_forgotten() {
        let mut tries = 0;
        let (mut manager, asked) = manager(move |call| match call.member.as_str() {
            "StartTransientUnit" => {
                tries += 1;
                if tries == 1 {
                    let name = "org.freedesktop.systemd1.UnitExists";
                    return vec![fake::error(call, name, "already loaded")];
                }
                vec![job_reply(call, "/j"), removed("/j", "done")]
            }
            _ => vec![fake::reply(call, "", Encoder::default())],
        });
        assert_eq!(manager.start(&scope(), 42, soon()).unwrap(), "done");
        assert_eq!(
            asked.lock().unwrap()[2..],
            ["StartTransientUnit", "ResetFailedUnit", "StartTransientUnit"]
        );
    }

    /// CG-4.
    #[test]
    fn a_unit_that_runs_is_anothers() {
        let (mut manager, _) = manager(|call| match call.member.as_str() {
            "StartTransientUnit" => vec![fake::error(call, UNIT_EXISTS, "already loaded")],
            _ => vec![fake::reply(call, "", Encoder::default())],
        });
        let cause = manager.start(&scope(), 42, soon()).unwrap_err();
        assert!(Error::Bus { unit: "c-1.scope".to_owned(), cause }.is_anothers());
        let cause = BusError::Late { action: "StartTransientUnit" };
        assert!(!Error::Bus { unit: "c-1.scope".to_owned(), cause }.is_anothers());
    }

    /// CG-50.
    #[test]
    fn a_busy_service_manager_is_not_waited_for_for_ever() {
        let (mut manager, _) = manager(|call| vec![job_reply(call, "/j")]);
        let error = manager.start(&scope(), 42, soon()).unwrap_err();
        assert_eq!(error.to_string(), "StartTransientUnit: no answer at the deadline");
    }

    /// CG-54.
    #[test]
    fn properties_are_set_for_the_life_of_the_unit_and_waited_for() {
        let body = Arc::new(Mutex::new((String::new(), Vec::new())));
        let seen = Arc::clone(&body);
        let (mut manager, asked) = manager(move |call| {
            if call.member == "SetUnitProperties" {
                *seen.lock().unwrap() = (call.signature.clone(), call.body.clone());
            }
            vec![fake::reply(call, "", Encoder::default())]
        });
        manager.set("c-1.scope", &scope().properties[1..2], soon()).unwrap();
        assert_eq!(asked.lock().unwrap()[2..], ["SetUnitProperties", "Ping"]);
        let (signature, bytes) = body.lock().unwrap().clone();
        assert_eq!(signature, "sba(sv)");
        let mut decoder = Decoder::new(&bytes);
        assert_eq!(decoder.text().unwrap(), "c-1.scope");
        assert_eq!(decoder.u32().unwrap(), 1, "not for the next boot");
        let mut names = Vec::new();
        decoder
            .each(8, |d| {
                d.align(8);
                names.push(d.text()?.to_owned());
                assert_eq!(d.signature()?, "t");
                d.align(8);
                assert_eq!((d.u32()?, d.u32()?), (4096, 0));
                Ok(())
            })
            .unwrap();
        assert_eq!(names, ["MemoryMax"]);
        assert!(decoder.is_at_end());
    }

    /// CG-54.
    #[test]
    fn a_refused_property_is_an_error() {
        let (mut manager, _) = manager(|call| {
            vec![fake::error(call, "org.freedesktop.DBus.Error.PropertyReadOnly", "no")]
        });
        let error = manager.set("c-1.scope", &scope().properties, soon()).unwrap_err();
        assert!(error.to_string().starts_with("call SetUnitProperties: "), "{error}");
    }

    /// CG-53.
    #[test]
    fn stopping_a_unit_that_is_gone_is_no_error() {
        let (mut manager, asked) = manager(|call| {
            vec![fake::error(call, "org.freedesktop.systemd1.NoSuchUnit", "not loaded")]
        });
        manager.stop("c-1.scope", soon()).unwrap();
        assert_eq!(asked.lock().unwrap()[2..], ["StopUnit"]);
    }

    #[test]
    fn stopping_waits_for_the_job_and_forgets_the_unit() {
        let (mut manager, asked) = manager(|call| match call.member.as_str() {
            "StopUnit" => vec![job_reply(call, "/j"), removed("/j", "done")],
            _ => vec![fake::error(call, "org.freedesktop.systemd1.NoSuchUnit", "not loaded")],
        });
        manager.stop("c-1.scope", soon()).unwrap();
        assert_eq!(asked.lock().unwrap()[2..], ["StopUnit", "ResetFailedUnit"]);
    }

    #[test]
    fn the_request_is_laid_out_as_its_signature_says() {
        let bytes = start_body(&scope(), 42);
        let mut decoder = Decoder::new(&bytes);
        assert_eq!(decoder.text().unwrap(), "c-1.scope");
        assert_eq!(decoder.text().unwrap(), "replace");
        let mut properties = Vec::new();
        decoder
            .each(8, |d| {
                d.align(8);
                let name = d.text()?.to_owned();
                let signature = d.signature()?.to_owned();
                match signature.as_str() {
                    "b" | "u" => drop(d.u32()?),
                    "t" => drop((d.align(8), d.u32()?, d.u32()?)),
                    "s" => drop(d.text()?),
                    "as" => d.each(4, |d| d.text().map(drop))?,
                    "ay" => d.each(1, |d| d.byte().map(drop))?,
                    "au" => d.each(4, |d| d.u32().map(drop))?,
                    other => panic!("{other}"),
                }
                properties.push((name, signature));
                Ok(())
            })
            .unwrap();
        decoder.each(8, |_| panic!("further units")).unwrap();
        assert!(decoder.is_at_end());
        let expected = [
            ("Slice", "s"),
            ("PIDs", "au"),
            ("Delegate", "b"),
            ("MemoryMax", "t"),
            ("AllowedCPUs", "ay"),
            ("After", "as"),
        ];
        assert_eq!(properties, expected.map(|(name, kind)| (name.to_owned(), kind.to_owned())));
    }

    const BUS_CONFIG: &str = r#"<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig><listen>unix:path=ADDRESS</listen><auth>EXTERNAL</auth><policy context="default">
<allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/><allow own="*"/><allow user="*"/>
</policy></busconfig>"#;

    /// A bus that ends with its test, whatever comes of that.
    struct Daemon(std::process::Child);

    impl Drop for Daemon {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }

    /// The daemon checks every message against its signature and hangs up on a malformed one, so
    /// its answer that nobody has the name proves the request well-formed.
    #[test]
    fn a_real_bus_takes_the_request() {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("bus");
        let config = dir.path().join("config");
        std::fs::write(&config, BUS_CONFIG.replace("ADDRESS", &socket.to_string_lossy())).unwrap();
        let daemon = std::process::Command::new("dbus-daemon")
            .args(["--nofork", "--nopidfile", "--config-file"])
            .arg(&config)
            .stderr(std::process::Stdio::null())
            .spawn();
        let Ok(_daemon) = daemon.map(Daemon) else {
            eprintln!("skipped: no dbus-daemon");
            return;
        };
        let late = Instant::now() + Duration::from_secs(30);
        // The file is there a moment before anybody listens behind it.
        let address = format!("unix:path={}", socket.display());
        let stream = loop {
            match connect_to(&address, late) {
                Err(_) if Instant::now() < late => std::thread::sleep(Duration::from_millis(5)),
                other => break other.unwrap(),
            }
        };
        let result = ServiceManager::new(stream, late).and_then(|mut m| m.start(&scope(), 1, late));
        let error = result.unwrap_err();
        assert!(
            matches!(&error, BusError::Method { name, .. } if name.ends_with("ServiceUnknown")),
            "{error}"
        );
    }

    /// CG-50
    #[test]
    fn a_bus_whose_queue_is_full_is_not_waited_for() {
        use nix::sys::socket::Backlog;
        use std::os::linux::net::SocketAddrExt;
        use std::os::unix::net::{SocketAddr, UnixListener};
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("bus");
        let name = format!("cloison-test-{}", std::process::id());
        let abstract_one = SocketAddr::from_abstract_name(&name).unwrap();
        for (listener, address) in [
            (UnixListener::bind(&path), format!("unix:path={}", path.display())),
            (UnixListener::bind_addr(&abstract_one), format!("unix:abstract={name}")),
        ] {
            let listener = listener.unwrap();
            // The standard library lets 4096 wait; a second listen(2) lets only so many.
            nix::sys::socket::listen(&listener, Backlog::new(4).unwrap()).unwrap();
            let began = Instant::now();
            let soon = || Instant::now() + Duration::from_millis(100);
            let waiting: Vec<_> =
                (0..50).map_while(|_| connect_to(&address, soon()).ok()).collect();
            assert!(!waiting.is_empty(), "{address}");
            let late = connect_to(&address, soon());
            assert!(matches!(late, Err(BusError::Late { .. })), "{late:?}");
            assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
        }
    }

    #[test]
    fn addresses_of_other_kinds_are_refused() {
        let reach = |address| connect_to(address, Instant::now() + PATIENCE);
        assert!(matches!(reach("tcp:host=x"), Err(BusError::Address { .. })));
        assert!(matches!(reach("unix:tmpdir=/x"), Err(BusError::Address { .. })));
        assert!(matches!(reach("unix:path=/nonexistent"), Err(BusError::Connect { .. })));
        assert_eq!(unescape("/a%2Fb").as_deref(), Some("/a/b"));
        assert_eq!(unescape("/a%2"), None);
    }
}
