//! What the launcher and the processes it makes say to each other: fixed frames over one
//! connection of packets (specs/20-launch.md).

use crate::sys::{self, Errno, socket};
use std::fmt;
use std::os::fd::{BorrowedFd, OwnedFd};

/// Declares [`Step`] with its number, its stable name and what it was about to do.
macro_rules! steps {
    ($($(#[doc = $doc:literal])* $name:ident $text:literal $phase:ident,)*) => {
        /// One numbered step of init's story (specs/22-init.md). The number travels in a
        /// [`Failure`]; the item next to it says which mount, device, path … of the plan.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum Step { $($(#[doc = $doc])* $name,)* }

        impl Step {
            /// Every step in the order of its number.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// What the step does, as the verb of an error sentence.
            pub fn action(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// The part of set-up that the step belongs to.
            pub fn phase(self) -> Phase {
                match self { $(Self::$name => Phase::$phase,)* }
            }
        }
    };
}

/// The parts of set-up, as they appear in machine-readable errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    /// Birth: namespaces, session, names.
    Namespaces,
    /// The root file system and what is mounted in it.
    Rootfs,
    /// Hooks that run in the container.
    Hooks,
    /// Ids, limits, capabilities, filters.
    Process,
    /// The program itself.
    Exec,
}

impl Phase {
    /// Stable lower-case name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Namespaces => "namespaces",
            Self::Rootfs => "rootfs",
            Self::Hooks => "hooks",
            Self::Process => "process",
            Self::Exec => "exec",
        }
    }
}

steps! {
    /// Die when the launcher dies.
    Tether "tie init to its launcher" Namespaces,
    /// Wait until the launcher has written id maps and placed init in its cgroup.
    AwaitPlacement "wait for the launcher" Namespaces,
    /// Make a time namespace and enter it.
    TimeNamespace "make a time namespace" Namespaces,
    /// Set the clocks of the time namespace.
    TimeOffsets "set the clocks of the time namespace" Namespaces,
    /// Become the first process of the container, with the help of a stage.
    Birth "make the container's first process" Namespaces,
    /// Become root of the new user namespace.
    BecomeRoot "become root of the user namespace" Namespaces,
    /// Join the namespaces of a container that is there.
    EnterNamespaces "join the container's namespaces" Namespaces,
    /// Go to the root directory of a container without a mount namespace.
    EnterRoot "change to the container's root directory" Rootfs,
    /// Join a namespace given by path. Item: index in `/linux/namespaces`.
    JoinNamespace "join namespace" Namespaces,
    /// Make the namespaces that could not be made at birth.
    UnshareNamespaces "make namespaces" Namespaces,
    /// Lead a session of its own.
    Session "start a session" Namespaces,
    /// Leave the caller's keyring.
    Keyring "join a new session keyring" Namespaces,
    /// Bring the loopback interface up.
    Loopback "bring the loopback interface up" Namespaces,
    /// Set the host name.
    Hostname "set hostname" Namespaces,
    /// Set the NIS domain name.
    Domainname "set domainname" Namespaces,
    /// Enter a mount namespace that holds the root file system alone.
    EnterMounts "enter the mount namespace" Rootfs,
    /// Stop mount events from leaving the namespace.
    IsolateMounts "stop mount propagation to the host" Rootfs,
    /// Make the root file system a mount of its own.
    RootTree "make the root file system a mount" Rootfs,
    /// Copy the device that covers masked files.
    NullDevice "copy /dev/null of the host" Rootfs,
    /// Keep or make the handle through which /proc is written.
    Procfs "open a private procfs" Rootfs,
    /// Find or make a mount point. Item: index in `/mounts`.
    MountTarget "open the mount point" Rootfs,
    /// Copy the source of a bind mount. Item: index in `/mounts`.
    MountSource "open the source" Rootfs,
    /// Set a file system's parameters. Item: index in `/mounts`.
    MountOption "set the option" Rootfs,
    /// Make a file system. Item: index in `/mounts`.
    MountCreate "make the file system" Rootfs,
    /// Set attributes of a mount. Item: index in `/mounts`.
    MountAttributes "set mount attributes" Rootfs,
    /// Set the propagation of a mount. Item: index in `/mounts`.
    MountPropagation "set mount propagation" Rootfs,
    /// Copy what the mount will cover into it. Item: index in `/mounts`.
    MountCopyUp "copy the covered directory" Rootfs,
    /// Attach a mount. Item: index in `/mounts`.
    MountAttach "attach the mount" Rootfs,
    /// Open the container's /dev.
    DevDirectory "open /dev" Rootfs,
    /// Make a device. Item: index in the plan's devices.
    Device "make device" Rootfs,
    /// Make a link in /dev. Item: index in the plan's links.
    DevLink "make link" Rootfs,
    /// Open a pseudo-terminal of the container.
    Terminal "open a terminal" Rootfs,
    /// Bind the terminal over /dev/console.
    Console "mount the terminal at /dev/console" Rootfs,
    /// Hand the terminal to the launcher.
    SendTerminal "send the terminal" Rootfs,
    /// Wait for prestart and createRuntime hooks.
    AwaitHooks "wait for hooks" Hooks,
    /// Run a createContainer hook. Item: its index.
    CreateContainerHook "run createContainer hook" Hooks,
    /// Change to the new root.
    PivotRoot "change the root directory" Rootfs,
    /// Set the root mount's propagation.
    RootPropagation "set the propagation of /" Rootfs,
    /// Make the root mount read-only.
    RootReadonly "make / read-only" Rootfs,
    /// Write a kernel parameter. Item: index in the plan's sysctls.
    Sysctl "write sysctl" Rootfs,
    /// Make a path read-only. Item: index in `/linux/readonlyPaths`.
    ReadonlyPath "make read-only" Rootfs,
    /// Hide a path. Item: index in `/linux/maskedPaths`.
    MaskedPath "mask" Rootfs,
    /// Raise or lower the OOM score.
    OomScore "write oom_score_adj" Process,
    /// Set a resource limit. Item: index in `/process/rlimits`.
    Rlimit "set rlimit" Process,
    /// Set the scheduling policy.
    Scheduler "set the scheduling policy" Process,
    /// Set the CPUs to run on.
    Affinity "set the CPU affinity" Process,
    /// Set the I/O priority.
    IoPriority "set the i/o priority" Process,
    /// Set the memory policy.
    MemoryPolicy "set the memory policy" Process,
    /// Set the execution domain.
    Personality "set the personality" Process,
    /// Give the label for the coming execve.
    Label "set the security label" Process,
    /// Give the terminal to the user and make it the standard streams.
    StandardStreams "set up the standard streams" Process,
    /// Drop capabilities from the bounding set.
    Bounding "drop capabilities from the bounding set" Process,
    /// Replace the supplementary groups.
    Groups "set supplementary groups" Process,
    /// Change the group id.
    Gid "set gid" Process,
    /// Change the user id.
    Uid "set uid" Process,
    /// Narrow the capability sets.
    Capabilities "set capabilities" Process,
    /// Enter the working directory.
    WorkingDirectory "change to the working directory" Process,
    /// Read the home directory.
    Home "read /etc/passwd" Process,
    /// Look the program up.
    FindExecutable "find the program" Exec,
    /// Report that all is ready.
    Ready "report to the launcher" Process,
    /// Wait for the start operation.
    AwaitStart "wait for start" Exec,
    /// Run a startContainer hook. Item: its index.
    StartContainerHook "run startContainer hook" Hooks,
    /// Keep every other descriptor from the program.
    CloseDescriptors "mark descriptors close-on-exec" Exec,
    /// Gain no privileges by execve.
    NoNewPrivileges "set no_new_privs" Exec,
    /// Install the seccomp filter.
    Seccomp "install the seccomp filter" Exec,
    /// Have the seccomp listener handed to its agent.
    Listener "hand over the seccomp listener" Exec,
    /// Execute the program.
    Exec "exec" Exec,
}

impl Step {
    fn from_number(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number)).copied()
    }
}

/// Longest remark that travels with a failure: the kernel's own words, or a hook's last output.
pub const REMARK: usize = 104;

/// Why a step failed. Carries no text of ours: the launcher owns the plan and writes the sentence.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Failure {
    /// Where.
    pub step: Step,
    /// Which of the step's items, or 0.
    pub item: u32,
    /// What the kernel answered.
    pub errno: Errno,
    remark: [u8; REMARK],
    remark_len: u8,
}

impl Failure {
    /// A failure without a remark.
    pub fn new(step: Step, item: u32, errno: Errno) -> Self {
        Self { step, item, errno, remark: [0; REMARK], remark_len: 0 }
    }

    /// The same with a remark, of which the end is kept when it is too long.
    #[must_use]
    pub fn with_remark(mut self, remark: &[u8]) -> Self {
        let kept = &remark[remark.len().saturating_sub(REMARK)..];
        self.remark[..kept.len()].copy_from_slice(kept);
        self.remark_len = kept.len() as u8;
        self
    }

    /// The remark as text, or nothing.
    pub fn remark(&self) -> String {
        String::from_utf8_lossy(&self.remark[..usize::from(self.remark_len)]).trim().to_owned()
    }
}

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Failure")
            .field("step", &self.step)
            .field("item", &self.item)
            .field("errno", &self.errno)
            .field("remark", &self.remark())
            .finish()
    }
}

/// What init says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ToLauncher {
    /// Everything up to a waiting step is done; answer with [`ToInit::Go`].
    Waiting(Step),
    /// The terminal's master comes with this frame.
    Terminal,
    /// The seccomp listener comes with this frame.
    Listener,
    /// The process that comes with this frame, of that number, is init and waits for
    /// [`ToInit::Go`]; the one that says so was but its stage and is gone.
    Born(i32),
    /// Everything is ready; nothing is left but the start.
    Ready,
    /// A step failed and init is gone.
    Failed(Failure),
}

/// What the launcher says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ToInit {
    /// What you waited for has been done.
    Go,
    /// You are on record: stay, and wait for somebody to start you.
    Committed,
    /// Start the program.
    Start,
}

const FRAME: usize = 16 + REMARK;

impl ToLauncher {
    fn encode(self) -> [u8; FRAME] {
        let mut frame = [0; FRAME];
        match self {
            Self::Waiting(step) => frame[..2].copy_from_slice(&[1, step as u8]),
            Self::Terminal => frame[0] = 2,
            Self::Listener => frame[0] = 3,
            Self::Ready => frame[0] = 4,
            Self::Born(pid) => {
                frame[0] = 6;
                frame[4..8].copy_from_slice(&pid.to_ne_bytes());
            }
            Self::Failed(failure) => {
                frame[..3].copy_from_slice(&[5, failure.step as u8, failure.remark_len]);
                frame[4..8].copy_from_slice(&failure.item.to_ne_bytes());
                frame[8..12].copy_from_slice(&(failure.errno as i32).to_ne_bytes());
                frame[16..].copy_from_slice(&failure.remark);
            }
        }
        frame
    }

    fn decode(frame: &[u8]) -> Option<Self> {
        let frame: &[u8; FRAME] = frame.try_into().ok()?;
        let word = |at: usize| [frame[at], frame[at + 1], frame[at + 2], frame[at + 3]];
        match frame[0] {
            1 => Step::from_number(frame[1]).map(Self::Waiting),
            2 => Some(Self::Terminal),
            3 => Some(Self::Listener),
            4 => Some(Self::Ready),
            5 => {
                let mut failure = Failure::new(
                    Step::from_number(frame[1])?,
                    u32::from_ne_bytes(word(4)),
                    Errno::from_raw(i32::from_ne_bytes(word(8))),
                );
                failure.remark_len = frame[2].min(REMARK as u8);
                failure.remark.copy_from_slice(&frame[16..]);
                Some(Self::Failed(failure))
            }
            6 => Some(Self::Born(i32::from_ne_bytes(word(4)))),
            _ => None,
        }
    }

    /// Sends this over a link, with a descriptor where the frame carries one.
    ///
    /// # Errors
    /// `EPIPE` when the launcher is gone; others of sendmsg(2).
    pub fn send(self, link: BorrowedFd<'_>, fd: Option<BorrowedFd<'_>>) -> sys::Result<()> {
        match fd {
            Some(_) => socket::send(link, &self.encode(), fd),
            // By write(2): the last failures are reported under the program's own filter, which
            // may forbid sendmsg.
            None => sys::fd::write_once(link, &self.encode()),
        }
    }

    /// Receives one; `None` when the other side has closed the link.
    ///
    /// # Errors
    /// `EBADMSG` for a frame that is none of these; others of recvmsg(2).
    pub fn receive(link: BorrowedFd<'_>) -> sys::Result<Option<(Self, Option<OwnedFd>)>> {
        let mut frame = [0; FRAME];
        let (len, fd) = socket::receive(link, &mut frame)?;
        if len == 0 {
            return Ok(None);
        }
        let message = Self::decode(&frame[..len]).ok_or(Errno::EBADMSG)?;
        Ok(Some((message, fd)))
    }
}

impl ToInit {
    /// Sends this over a link.
    ///
    /// # Errors
    /// `EPIPE` when init is gone; others of sendmsg(2).
    pub fn send(self, link: BorrowedFd<'_>) -> sys::Result<()> {
        let byte = match self {
            Self::Go => 1,
            Self::Committed => 2,
            Self::Start => 3,
        };
        socket::send(link, &[byte], None)
    }

    /// Receives one; `None` when the other side has closed the link.
    ///
    /// # Errors
    /// `EBADMSG` for a frame that is none of these; others of recvmsg(2).
    pub fn receive(link: BorrowedFd<'_>) -> sys::Result<Option<Self>> {
        let mut frame = [0; 8];
        let (len, _) = socket::receive(link, &mut frame)?;
        match frame[..len] {
            [] => Ok(None),
            [1] => Ok(Some(Self::Go)),
            [2] => Ok(Some(Self::Committed)),
            [3] => Ok(Some(Self::Start)),
            _ => Err(Errno::EBADMSG),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;

    #[test]
    fn every_frame_survives_the_wire() {
        let (a, b) = socket::packet_pair().unwrap();
        let failure = Failure::new(Step::MountOption, 7, Errno::EINVAL).with_remark(b"tmpfs: no");
        let mut frames = vec![
            ToLauncher::Terminal,
            ToLauncher::Listener,
            ToLauncher::Ready,
            ToLauncher::Born(4321),
            ToLauncher::Failed(failure),
        ];
        frames.extend(Step::ALL.iter().map(|&step| ToLauncher::Waiting(step)));
        for frame in frames {
            frame.send(a.as_fd(), None).unwrap();
            assert_eq!(ToLauncher::receive(b.as_fd()).unwrap().unwrap().0, frame);
        }
        for frame in [ToInit::Go, ToInit::Committed, ToInit::Start] {
            frame.send(b.as_fd()).unwrap();
            assert_eq!(ToInit::receive(a.as_fd()).unwrap(), Some(frame));
        }
    }

    #[test]
    fn a_long_remark_keeps_its_end() {
        let long = [b"x".repeat(500), b"the end".to_vec()].concat();
        let failure = Failure::new(Step::Exec, 0, Errno::EPERM).with_remark(&long);
        assert!(failure.remark().ends_with("the end"));
        assert_eq!(failure.remark().len(), REMARK);
    }

    #[test]
    fn frames_of_strangers_are_refused() {
        let (a, b) = socket::packet_pair().unwrap();
        for bytes in [&[9; FRAME][..], &[1; 3], &[1, 255]] {
            socket::send(a.as_fd(), bytes, None).unwrap();
            assert_eq!(ToLauncher::receive(b.as_fd()).unwrap_err(), Errno::EBADMSG);
        }
    }
}
