//! `linux.seccomp` as a profile that is ready to be compiled.
//!
//! Names of system calls stay names here: their numbers are the business of
//! the compiler ([`crate::seccomp`]), whose result depends on nothing but a
//! [`Profile`] and the library's version.

use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use oci_spec::runtime as oci;
use oci_spec::runtime::{LinuxSeccompAction, LinuxSeccompFilterFlag, LinuxSeccompOperator};
use thiserror::Error;

/// The actions that are understood, by name, for `features`.
pub const ACTIONS: [&str; 9] = [
    "SCMP_ACT_KILL",
    "SCMP_ACT_KILL_PROCESS",
    "SCMP_ACT_KILL_THREAD",
    "SCMP_ACT_TRAP",
    "SCMP_ACT_ERRNO",
    "SCMP_ACT_TRACE",
    "SCMP_ACT_ALLOW",
    "SCMP_ACT_LOG",
    "SCMP_ACT_NOTIFY",
];

/// The operators that are understood, by name, for `features`.
pub const OPERATORS: [&str; 7] = [
    "SCMP_CMP_NE",
    "SCMP_CMP_LT",
    "SCMP_CMP_LE",
    "SCMP_CMP_EQ",
    "SCMP_CMP_GE",
    "SCMP_CMP_GT",
    "SCMP_CMP_MASKED_EQ",
];

/// The flags that are understood, by name, with their bits for seccomp(2).
pub const FLAGS: [(&str, u32); 4] = [
    ("SECCOMP_FILTER_FLAG_TSYNC", TSYNC),
    ("SECCOMP_FILTER_FLAG_LOG", LOG),
    ("SECCOMP_FILTER_FLAG_SPEC_ALLOW", SPEC_ALLOW),
    ("SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV", WAIT_KILLABLE_RECV),
];

/// `SECCOMP_FILTER_FLAG_TSYNC`
pub const TSYNC: u32 = 1 << 0;
/// `SECCOMP_FILTER_FLAG_LOG`
pub const LOG: u32 = 1 << 1;
/// `SECCOMP_FILTER_FLAG_SPEC_ALLOW`
pub const SPEC_ALLOW: u32 = 1 << 2;
/// `SECCOMP_FILTER_FLAG_NEW_LISTENER`
pub const NEW_LISTENER: u32 = 1 << 3;
/// `SECCOMP_FILTER_FLAG_TSYNC_ESRCH`
pub const TSYNC_ESRCH: u32 = 1 << 4;
/// `SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV`
pub const WAIT_KILLABLE_RECV: u32 = 1 << 5;

/// System calls that may not be notified: by this one init says that execve(2)
/// has failed, and an agent that leaves it waiting would keep `start` from
/// ending.
pub const NEVER_NOTIFIED: [&str; 1] = ["write"];

/// Largest errno that a system call can return (MAX_ERRNO of linux/err.h).
const ERRNO_MAX: u32 = 4095;
const EPERM: u16 = 1;

/// A processor architecture, or one of the ABIs of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Architecture {
    /// The name of config-linux.md.
    pub name: &'static str,
    /// libseccomp's token: the value that filters see (linux/audit.h), but for
    /// x32, which the kernel tells from x86_64 by a bit of the call's number.
    pub token: u32,
}

/// The architectures that are understood. Which of them filters can be made
/// for depends on libseccomp: [`crate::seccomp::architectures`].
pub const ARCHITECTURES: [Architecture; 23] = [
    Architecture { name: "SCMP_ARCH_X86", token: 0x4000_0003 },
    Architecture { name: "SCMP_ARCH_X86_64", token: 0xc000_003e },
    Architecture { name: "SCMP_ARCH_X32", token: 0x4000_003e },
    Architecture { name: "SCMP_ARCH_ARM", token: 0x4000_0028 },
    Architecture { name: "SCMP_ARCH_AARCH64", token: 0xc000_00b7 },
    Architecture { name: "SCMP_ARCH_MIPS", token: 0x0000_0008 },
    Architecture { name: "SCMP_ARCH_MIPS64", token: 0x8000_0008 },
    Architecture { name: "SCMP_ARCH_MIPS64N32", token: 0xa000_0008 },
    Architecture { name: "SCMP_ARCH_MIPSEL", token: 0x4000_0008 },
    Architecture { name: "SCMP_ARCH_MIPSEL64", token: 0xc000_0008 },
    Architecture { name: "SCMP_ARCH_MIPSEL64N32", token: 0xe000_0008 },
    Architecture { name: "SCMP_ARCH_PPC", token: 0x0000_0014 },
    Architecture { name: "SCMP_ARCH_PPC64", token: 0x8000_0015 },
    Architecture { name: "SCMP_ARCH_PPC64LE", token: 0xc000_0015 },
    Architecture { name: "SCMP_ARCH_S390", token: 0x0000_0016 },
    Architecture { name: "SCMP_ARCH_S390X", token: 0x8000_0016 },
    Architecture { name: "SCMP_ARCH_PARISC", token: 0x0000_000f },
    Architecture { name: "SCMP_ARCH_PARISC64", token: 0x8000_000f },
    Architecture { name: "SCMP_ARCH_RISCV64", token: 0xc000_00f3 },
    Architecture { name: "SCMP_ARCH_LOONGARCH64", token: 0xc000_0102 },
    Architecture { name: "SCMP_ARCH_M68K", token: 0x0000_0004 },
    Architecture { name: "SCMP_ARCH_SH", token: 0x4000_002a },
    Architecture { name: "SCMP_ARCH_SHEB", token: 0x0000_002a },
];

/// What is done with a system call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// The thread ends (`SCMP_ACT_KILL`, `SCMP_ACT_KILL_THREAD`).
    KillThread,
    /// The process ends.
    KillProcess,
    /// The thread gets SIGSYS.
    Trap,
    /// The call returns this errno.
    Errno(u16),
    /// A tracer is told this number.
    Trace(u16),
    /// The call is made and logged.
    Log,
    /// The listener decides.
    Notify,
    /// The call is made.
    Allow,
}

/// How an argument is compared, as unsigned 64-bit numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Operator {
    /// argument != value
    NotEqual,
    /// argument < value
    Less,
    /// argument <= value
    LessOrEqual,
    /// argument == value
    Equal,
    /// argument >= value
    GreaterOrEqual,
    /// argument > value
    Greater,
    /// argument & mask == value
    MaskedEqual {
        /// The bits that are looked at.
        mask: u64,
    },
}

/// A condition on one argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Comparison {
    /// Which argument, 0 to 5.
    pub argument: u8,
    /// How it is compared.
    pub operator: Operator,
    /// What it is compared with.
    pub value: u64,
}

/// One entry of `syscalls`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Rule {
    /// Names of system calls, at least one.
    pub names: Vec<String>,
    /// What is done with them.
    pub action: Action,
    /// Alternatives: the rule matches when all comparisons of any one of them
    /// hold. There always is one; an empty one matches any call.
    pub alternatives: Vec<Vec<Comparison>>,
    /// Position in `/linux/seccomp/syscalls`.
    pub index: usize,
}

/// Where the descriptor of a notifying filter is sent.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Listener {
    /// Path of a listening stream socket on the host.
    pub path: CString,
    /// Handed on as `metadata` of the container process state.
    pub metadata: Option<String>,
}

/// A checked profile.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Profile {
    /// What is done with a call that no rule matches.
    pub default: Action,
    /// Architectures besides the native one, which always is filtered, each
    /// with its position in `/linux/seccomp/architectures`.
    pub architectures: Vec<(usize, Architecture)>,
    /// Flags for seccomp(2): those asked for, and `NEW_LISTENER` when a rule
    /// notifies.
    pub flags: u32,
    /// The rules in the order of the configuration.
    pub rules: Vec<Rule>,
    /// Present if and only if a rule notifies.
    pub listener: Option<Listener>,
    /// Whether a system call that is not known is an error.
    pub refuse_unknown: bool,
}

/// A refused profile.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum Error {
    /// Only SCMP_ACT_ERRNO and SCMP_ACT_TRACE carry a number (config-linux.md:
    /// the runtime MUST fail).
    #[error("{pointer}: {action} takes no errno")]
    ErrnoNotTaken {
        /// Where the number stands in config.json.
        pointer: String,
        /// The action's name.
        action: String,
    },
    /// A number that the action cannot carry.
    #[error("{pointer}: {value} is above {max}, the largest that {action} takes")]
    ErrnoRange {
        /// Where the number stands in config.json.
        pointer: String,
        /// The number as given.
        value: u32,
        /// The largest possible.
        max: u32,
        /// The action's name.
        action: String,
    },
    /// That would be so for the calls of [`NEVER_NOTIFIED`] too.
    #[error("/linux/seccomp/defaultAction: SCMP_ACT_NOTIFY cannot be the default action")]
    NotifyDefault,
    /// One of [`NEVER_NOTIFIED`].
    #[error(
        "{pointer}: SCMP_ACT_NOTIFY cannot be used for {name:?}, by which the runtime reports a failed exec"
    )]
    NotifyName {
        /// Where the name stands in config.json.
        pointer: String,
        /// The system call.
        name: String,
    },
    /// Somebody has to answer.
    #[error("/linux/seccomp/listenerPath: is required, as {pointer} is SCMP_ACT_NOTIFY")]
    NoListener {
        /// Pointer of the first action that notifies.
        pointer: String,
    },
    /// config-linux.md: it MUST NOT be set without a listener.
    #[error("/linux/seccomp/listenerMetadata: is set without /linux/seccomp/listenerPath")]
    MetadataWithoutListener,
    /// A path that cannot be handed to the kernel.
    #[error("/linux/seccomp/listenerPath: contains a NUL byte")]
    Nul,
    /// config-linux.md: `names` MUST contain at least one entry.
    #[error("/linux/seccomp/syscalls/{index}/names: is empty")]
    NoNames {
        /// Position of the rule.
        index: usize,
    },
    /// A name that is no name.
    #[error("/linux/seccomp/syscalls/{index}/names/{position}: is an empty string")]
    EmptyName {
        /// Position of the rule.
        index: usize,
        /// Position of the name.
        position: usize,
    },
    /// System calls have six arguments.
    #[error("{pointer}: {value} is above 5, the last argument of a system call")]
    Argument {
        /// Where it stands in config.json.
        pointer: String,
        /// The index as given.
        value: usize,
    },
}

/// The profile that the configuration asks for, or none.
///
/// Absent `flags` mean `SPEC_ALLOW`, as with runc and crun (and as is Linux'
/// own default since 5.16); an empty list means no flags. As with libseccomp,
/// `WAIT_KILLABLE_RECV` is left out when nothing is notified, for the kernel
/// would refuse it. `NEW_LISTENER` and `TSYNC` can only be combined with
/// `TSYNC_ESRCH`, which is then added.
///
/// `listenerPath` without a notifying rule is ignored (config-linux.md).
pub fn resolve(
    asked: Option<&oci::LinuxSeccomp>,
    refuse_unknown: bool,
) -> Result<Option<Profile>, Error> {
    let Some(asked) = asked else { return Ok(None) };
    if asked.listener_metadata().is_some() && asked.listener_path().is_none() {
        return Err(Error::MetadataWithoutListener);
    }
    let default = action(asked.default_action(), asked.default_errno_ret(), || {
        "/linux/seccomp/defaultErrnoRet".to_owned()
    })?;
    if default == Action::Notify {
        return Err(Error::NotifyDefault);
    }
    let rules = asked
        .syscalls()
        .iter()
        .flatten()
        .enumerate()
        .map(|(index, entry)| rule(index, entry))
        .collect::<Result<Vec<_>, _>>()?;
    let listener = match rules.iter().find(|rule| rule.action == Action::Notify) {
        Some(rule) => Some(listener(asked, rule.index)?),
        None => None,
    };
    Ok(Some(Profile {
        default,
        architectures: architectures(asked.architectures().as_deref().unwrap_or_default()),
        flags: flags(asked.flags().as_deref(), listener.is_some()),
        rules,
        listener,
        refuse_unknown,
    }))
}

fn action(
    action: LinuxSeccompAction,
    number: Option<u32>,
    pointer: impl Fn() -> String,
) -> Result<Action, Error> {
    let carries = |max: u32| match number {
        None => Ok(EPERM),
        Some(value) => match u16::try_from(value) {
            Ok(number) if value <= max => Ok(number),
            _ => Err(Error::ErrnoRange {
                pointer: pointer(),
                value,
                max,
                action: action.to_string(),
            }),
        },
    };
    let plain = match action {
        LinuxSeccompAction::ScmpActErrno => return carries(ERRNO_MAX).map(Action::Errno),
        LinuxSeccompAction::ScmpActTrace => return carries(u16::MAX.into()).map(Action::Trace),
        LinuxSeccompAction::ScmpActKill | LinuxSeccompAction::ScmpActKillThread => {
            Action::KillThread
        }
        LinuxSeccompAction::ScmpActKillProcess => Action::KillProcess,
        LinuxSeccompAction::ScmpActTrap => Action::Trap,
        LinuxSeccompAction::ScmpActNotify => Action::Notify,
        LinuxSeccompAction::ScmpActLog => Action::Log,
        LinuxSeccompAction::ScmpActAllow => Action::Allow,
    };
    match number {
        None => Ok(plain),
        Some(_) => Err(Error::ErrnoNotTaken { pointer: pointer(), action: action.to_string() }),
    }
}

fn rule(index: usize, entry: &oci::LinuxSyscall) -> Result<Rule, Error> {
    let pointer = || format!("/linux/seccomp/syscalls/{index}");
    let action = action(entry.action(), entry.errno_ret(), || pointer() + "/errnoRet")?;
    if entry.names().is_empty() {
        return Err(Error::NoNames { index });
    }
    for (position, name) in entry.names().iter().enumerate() {
        if name.is_empty() {
            return Err(Error::EmptyName { index, position });
        }
        if action == Action::Notify && NEVER_NOTIFIED.contains(&name.as_str()) {
            return Err(Error::NotifyName {
                pointer: format!("{}/names/{position}", pointer()),
                name: name.clone(),
            });
        }
    }
    let comparisons = entry
        .args()
        .iter()
        .flatten()
        .enumerate()
        .map(|(position, arg)| comparison(arg, || format!("{}/args/{position}", pointer())))
        .collect::<Result<Vec<_>, _>>()?;
    Ok(Rule {
        names: entry.names().clone(),
        action,
        alternatives: alternatives(comparisons),
        index,
    })
}

fn comparison(
    arg: &oci::LinuxSeccompArg,
    pointer: impl Fn() -> String,
) -> Result<Comparison, Error> {
    let argument = match u8::try_from(arg.index()) {
        Ok(argument @ 0..=5) => argument,
        _ => {
            return Err(Error::Argument { pointer: pointer() + "/index", value: arg.index() });
        }
    };
    let plain = |operator| Comparison { argument, operator, value: arg.value() };
    Ok(match arg.op() {
        LinuxSeccompOperator::ScmpCmpNe => plain(Operator::NotEqual),
        LinuxSeccompOperator::ScmpCmpLt => plain(Operator::Less),
        LinuxSeccompOperator::ScmpCmpLe => plain(Operator::LessOrEqual),
        LinuxSeccompOperator::ScmpCmpEq => plain(Operator::Equal),
        LinuxSeccompOperator::ScmpCmpGe => plain(Operator::GreaterOrEqual),
        LinuxSeccompOperator::ScmpCmpGt => plain(Operator::Greater),
        LinuxSeccompOperator::ScmpCmpMaskedEq => Comparison {
            argument,
            operator: Operator::MaskedEqual { mask: arg.value() },
            value: arg.value_two().unwrap_or(0),
        },
    })
}

/// All conditions of a rule must hold, but for a rule that compares one
/// argument twice: there any one is enough, each for itself. This is what runc
/// does and what profiles that list several values of one argument rely on.
fn alternatives(comparisons: Vec<Comparison>) -> Vec<Vec<Comparison>> {
    let twice =
        |c: &Comparison| comparisons.iter().filter(|d| d.argument == c.argument).count() > 1;
    if comparisons.iter().any(twice) {
        comparisons.into_iter().map(|comparison| vec![comparison]).collect()
    } else {
        vec![comparisons]
    }
}

fn listener(asked: &oci::LinuxSeccomp, index: usize) -> Result<Listener, Error> {
    let required =
        || Error::NoListener { pointer: format!("/linux/seccomp/syscalls/{index}/action") };
    let path: &Path = asked.listener_path().as_deref().ok_or_else(required)?;
    if path.as_os_str().is_empty() {
        return Err(required());
    }
    Ok(Listener {
        path: CString::new(path.as_os_str().as_bytes()).map_err(|_| Error::Nul)?,
        metadata: asked.listener_metadata().clone(),
    })
}

fn architectures(asked: &[oci::Arch]) -> Vec<(usize, Architecture)> {
    let mut known: Vec<(usize, Architecture)> = Vec::with_capacity(asked.len());
    for (index, arch) in asked.iter().enumerate() {
        let found = ARCHITECTURES.iter().find(|known| known.token == *arch as u32);
        if let Some(found) = found
            && known.iter().all(|(_, earlier)| earlier != found)
        {
            known.push((index, *found));
        }
    }
    known
}

fn flags(asked: Option<&[LinuxSeccompFilterFlag]>, notifies: bool) -> u32 {
    let bit = |flag: &LinuxSeccompFilterFlag| match flag {
        LinuxSeccompFilterFlag::SeccompFilterFlagTsync => TSYNC,
        LinuxSeccompFilterFlag::SeccompFilterFlagLog => LOG,
        LinuxSeccompFilterFlag::SeccompFilterFlagSpecAllow => SPEC_ALLOW,
        LinuxSeccompFilterFlag::SeccompFilterFlagWaitKillableRecv => WAIT_KILLABLE_RECV,
    };
    let asked = match asked {
        None => SPEC_ALLOW,
        Some(flags) => flags.iter().fold(0, |bits, flag| bits | bit(flag)),
    };
    match notifies {
        false => asked & !WAIT_KILLABLE_RECV,
        true if asked & TSYNC != 0 => asked | NEW_LISTENER | TSYNC_ESRCH,
        true => asked | NEW_LISTENER,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn parse(value: Value) -> oci::LinuxSeccomp {
        serde_json::from_value(value).unwrap()
    }

    fn plan(value: Value) -> Profile {
        resolve(Some(&parse(value)), false).unwrap().unwrap()
    }

    fn refusal(value: Value) -> String {
        resolve(Some(&parse(value)), false).unwrap_err().to_string()
    }

    fn with_rule(rule: Value) -> Value {
        json!({ "defaultAction": "SCMP_ACT_ERRNO", "syscalls": [
            { "names": ["read"], "action": "SCMP_ACT_ALLOW" }, rule,
        ] })
    }

    #[test]
    fn absent_is_none() {
        assert_eq!(resolve(None, false), Ok(None));
    }

    #[test]
    fn the_least_profile() {
        assert_eq!(
            plan(json!({ "defaultAction": "SCMP_ACT_ALLOW" })),
            Profile {
                default: Action::Allow,
                architectures: vec![],
                flags: SPEC_ALLOW,
                rules: vec![],
                listener: None,
                refuse_unknown: false,
            }
        );
    }

    #[test]
    fn actions_by_name() {
        let actions = [
            Action::KillThread,
            Action::KillProcess,
            Action::KillThread,
            Action::Trap,
            Action::Errno(1),
            Action::Trace(1),
            Action::Allow,
            Action::Log,
        ];
        for (name, action) in ACTIONS.iter().zip(actions) {
            assert_eq!(plan(json!({ "defaultAction": name })).default, action, "{name}");
        }
    }

    #[test]
    fn every_name_in_the_tables_is_one_of_the_specification() {
        for name in OPERATORS {
            let parsed: LinuxSeccompOperator = serde_json::from_value(json!(name)).unwrap();
            assert_eq!(parsed.to_string(), name);
        }
        for (name, bit) in FLAGS {
            let profile = plan(json!({ "defaultAction": "SCMP_ACT_ALLOW", "flags": [name] }));
            assert_eq!(profile.flags, bit & !WAIT_KILLABLE_RECV, "{name}");
        }
        for (index, architecture) in ARCHITECTURES.into_iter().enumerate() {
            let profile = plan(json!({
                "defaultAction": "SCMP_ACT_ALLOW", "architectures": [architecture.name],
            }));
            assert_eq!(profile.architectures, [(0, ARCHITECTURES[index])]);
        }
    }

    #[test]
    fn architectures_come_once_and_in_order() {
        let profile = plan(json!({
            "defaultAction": "SCMP_ACT_ALLOW",
            "architectures": ["SCMP_ARCH_X86", "SCMP_ARCH_X86", "SCMP_ARCH_X32"],
        }));
        let names: Vec<_> = profile.architectures.iter().map(|(i, a)| (*i, a.name)).collect();
        assert_eq!(names, [(0, "SCMP_ARCH_X86"), (2, "SCMP_ARCH_X32")]);
    }

    #[test]
    fn numbers_of_actions() {
        let of = |action: &str, number: u32| {
            plan(json!({ "defaultAction": action, "defaultErrnoRet": number })).default
        };
        assert_eq!(of("SCMP_ACT_ERRNO", 38), Action::Errno(38));
        assert_eq!(of("SCMP_ACT_ERRNO", 0), Action::Errno(0));
        assert_eq!(of("SCMP_ACT_TRACE", 65535), Action::Trace(65535));
        let profile = plan(with_rule(
            json!({ "names": ["a"], "action": "SCMP_ACT_ERRNO", "errnoRet": 4095 }),
        ));
        assert_eq!(profile.rules[1].action, Action::Errno(4095));
    }

    #[test]
    fn numbers_out_of_range_are_refused() {
        assert_eq!(
            refusal(json!({ "defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 4096 })),
            "/linux/seccomp/defaultErrnoRet: 4096 is above 4095, the largest that SCMP_ACT_ERRNO takes"
        );
        assert_eq!(
            refusal(with_rule(
                json!({ "names": ["a"], "action": "SCMP_ACT_TRACE", "errnoRet": 65536 })
            )),
            "/linux/seccomp/syscalls/1/errnoRet: 65536 is above 65535, the largest that SCMP_ACT_TRACE takes"
        );
    }

    #[test]
    fn actions_without_numbers_refuse_one() {
        for action in ["KILL", "KILL_PROCESS", "KILL_THREAD", "TRAP", "ALLOW", "LOG"] {
            let action = format!("SCMP_ACT_{action}");
            assert_eq!(
                refusal(json!({ "defaultAction": action, "defaultErrnoRet": 1 })),
                format!("/linux/seccomp/defaultErrnoRet: {action} takes no errno")
            );
        }
        assert_eq!(
            refusal(with_rule(
                json!({ "names": ["a"], "action": "SCMP_ACT_NOTIFY", "errnoRet": 1 })
            )),
            "/linux/seccomp/syscalls/1/errnoRet: SCMP_ACT_NOTIFY takes no errno"
        );
    }

    #[test]
    fn rules_need_names() {
        assert_eq!(
            refusal(with_rule(json!({ "names": [], "action": "SCMP_ACT_ALLOW" }))),
            "/linux/seccomp/syscalls/1/names: is empty"
        );
        assert_eq!(
            refusal(with_rule(json!({ "names": ["a", ""], "action": "SCMP_ACT_ALLOW" }))),
            "/linux/seccomp/syscalls/1/names/1: is an empty string"
        );
    }

    #[test]
    fn operators_and_values() {
        let args: Vec<_> = OPERATORS
            .iter()
            .take(6)
            .enumerate()
            .map(
                |(index, op)| json!({ "index": index, "value": u64::MAX, "valueTwo": 0, "op": op }),
            )
            .collect();
        let profile =
            plan(with_rule(json!({ "names": ["a"], "action": "SCMP_ACT_ALLOW", "args": args })));
        let operators = [
            Operator::NotEqual,
            Operator::Less,
            Operator::LessOrEqual,
            Operator::Equal,
            Operator::GreaterOrEqual,
            Operator::Greater,
        ];
        let expected: Vec<_> = operators
            .into_iter()
            .zip(0..)
            .map(|(operator, argument)| Comparison { argument, operator, value: u64::MAX })
            .collect();
        assert_eq!(profile.rules[1].alternatives, [expected]);
    }

    #[test]
    fn a_masked_comparison_has_the_mask_first() {
        let profile = plan(with_rule(json!({
            "names": ["a"], "action": "SCMP_ACT_ALLOW",
            "args": [
                { "index": 0, "value": 0xf0, "valueTwo": 0x10, "op": "SCMP_CMP_MASKED_EQ" },
                { "index": 1, "value": 0xf0, "op": "SCMP_CMP_MASKED_EQ" },
            ],
        })));
        let masked = |argument, value| Comparison {
            argument,
            operator: Operator::MaskedEqual { mask: 0xf0 },
            value,
        };
        assert_eq!(profile.rules[1].alternatives, [vec![masked(0, 0x10), masked(1, 0)]]);
    }

    #[test]
    fn one_argument_twice_is_an_alternative() {
        let profile = plan(with_rule(json!({
            "names": ["a"], "action": "SCMP_ACT_ALLOW",
            "args": [
                { "index": 0, "value": 1, "op": "SCMP_CMP_EQ" },
                { "index": 1, "value": 2, "op": "SCMP_CMP_EQ" },
                { "index": 0, "value": 3, "op": "SCMP_CMP_EQ" },
            ],
        })));
        let equal =
            |argument, value| vec![Comparison { argument, operator: Operator::Equal, value }];
        assert_eq!(profile.rules[1].alternatives, [equal(0, 1), equal(1, 2), equal(0, 3)]);
        assert_eq!(profile.rules[0].alternatives, [vec![]]);
    }

    #[test]
    fn the_seventh_argument_is_refused() {
        for value in [6usize, 256] {
            assert_eq!(
                refusal(with_rule(json!({
                    "names": ["a"], "action": "SCMP_ACT_ALLOW",
                    "args": [{ "index": value, "value": 1, "op": "SCMP_CMP_EQ" }],
                }))),
                format!(
                    "/linux/seccomp/syscalls/1/args/0/index: {value} is above 5, \
                     the last argument of a system call"
                )
            );
        }
    }

    #[test]
    fn notifying_needs_a_listener_and_makes_a_flag() {
        let rule = json!({ "names": ["mkdir"], "action": "SCMP_ACT_NOTIFY" });
        let required = "/linux/seccomp/listenerPath: is required, \
                        as /linux/seccomp/syscalls/1/action is SCMP_ACT_NOTIFY";
        let mut profile = with_rule(rule);
        assert_eq!(refusal(profile.clone()), required);
        profile["listenerPath"] = json!("");
        assert_eq!(refusal(profile.clone()), required);
        profile["listenerPath"] = json!("/run/l\0");
        assert_eq!(refusal(profile.clone()), "/linux/seccomp/listenerPath: contains a NUL byte");
        profile["listenerPath"] = json!("/run/l");
        profile["listenerMetadata"] = json!("m");
        profile["flags"] =
            json!(["SECCOMP_FILTER_FLAG_TSYNC", "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"]);
        let profile = plan(profile);
        assert_eq!(
            profile.listener,
            Some(Listener { path: c"/run/l".into(), metadata: Some("m".to_owned()) })
        );
        assert_eq!(profile.flags, TSYNC | NEW_LISTENER | TSYNC_ESRCH | WAIT_KILLABLE_RECV);
    }

    #[test]
    fn a_listener_that_nobody_notifies_is_ignored() {
        let profile = plan(json!({
            "defaultAction": "SCMP_ACT_ALLOW", "listenerPath": "/run/l", "listenerMetadata": "m",
            "flags": ["SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV", "SECCOMP_FILTER_FLAG_LOG"],
        }));
        assert_eq!((profile.listener, profile.flags), (None, LOG));
    }

    #[test]
    fn metadata_needs_a_path() {
        assert_eq!(
            refusal(json!({ "defaultAction": "SCMP_ACT_ALLOW", "listenerMetadata": "m" })),
            "/linux/seccomp/listenerMetadata: is set without /linux/seccomp/listenerPath"
        );
    }

    #[test]
    fn what_cannot_be_notified() {
        assert_eq!(
            refusal(json!({ "defaultAction": "SCMP_ACT_NOTIFY", "listenerPath": "/run/l" })),
            "/linux/seccomp/defaultAction: SCMP_ACT_NOTIFY cannot be the default action"
        );
        assert_eq!(
            refusal(with_rule(json!({ "names": ["mkdir", "write"], "action": "SCMP_ACT_NOTIFY" }))),
            "/linux/seccomp/syscalls/1/names/1: SCMP_ACT_NOTIFY cannot be used for \"write\", \
             by which the runtime reports a failed exec"
        );
    }

    #[test]
    fn no_flags_and_absent_flags_differ() {
        let of =
            |flags: Value| plan(json!({ "defaultAction": "SCMP_ACT_ALLOW", "flags": flags })).flags;
        assert_eq!(of(json!(null)), SPEC_ALLOW);
        assert_eq!(of(json!([])), 0);
    }
}
