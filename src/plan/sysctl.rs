//! `linux.sysctl` as writes below /proc/sys.
//!
//! Only parameters that belong to a namespace can be set, and only when the
//! container does not share that namespace with the host: anything else would
//! change the host.

use std::collections::HashMap;
use std::ffi::CString;

use thiserror::Error;

use super::namespaces::Kind;

/// One write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sysctl {
    /// The name as it stands in config.json.
    pub name: String,
    /// Path below /proc/sys, such as `net/ipv4/ip_forward`; relative, and
    /// without empty, `.` or `..` components.
    pub path: CString,
    /// What is written, without a newline unless one was given.
    pub value: CString,
    /// The namespace that the parameter belongs to.
    pub requires: Kind,
}

/// What else in the configuration has a say.
#[derive(Clone, Copy, Debug, Default)]
pub struct Surroundings<'a> {
    /// CLONE_NEW* flags of the namespaces that the container does not share
    /// with the host, new or joined.
    pub own: u64,
    /// The top-level `domainname`.
    pub domainname: Option<&'a str>,
}

/// A refused parameter.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum Error {
    /// Not a path of at least two plain components.
    #[error("{pointer}: {name:?} is not the name of a kernel parameter")]
    Malformed {
        /// Where it stands in config.json.
        pointer: String,
        /// The name as given.
        name: String,
    },
    /// A value that cannot be written.
    #[error("{pointer}: the value contains a NUL byte")]
    Nul {
        /// Where it stands in config.json.
        pointer: String,
    },
    /// It belongs to no namespace, or to one whose parameters are not known.
    #[error("{pointer}: {name:?} belongs to no namespace: it would be changed for the whole host")]
    Global {
        /// Where it stands in config.json.
        pointer: String,
        /// The name as given.
        name: String,
    },
    /// It belongs to a namespace of the host.
    #[error("{pointer}: {name:?} needs a {} namespace of the container's own", namespace.name())]
    Shared {
        /// Where it stands in config.json.
        pointer: String,
        /// The name as given.
        name: String,
        /// The namespace it belongs to.
        namespace: Kind,
    },
    /// config.json has a field for it.
    #[error("{pointer}: {name:?} conflicts with the field {field}")]
    Field {
        /// Where it stands in config.json.
        pointer: String,
        /// The name as given.
        name: String,
        /// Pointer of the field.
        field: &'static str,
    },
    /// Two spellings of one parameter.
    #[error("{pointer}: is the same parameter as {other}")]
    Twice {
        /// Where it stands in config.json.
        pointer: String,
        /// Where the other spelling stands.
        other: String,
    },
}

/// The writes, sorted by path.
///
/// Names are read as sysctl.d(5) does: the first separator decides. After a
/// first `/`, dots are ordinary (`net/ipv4/conf/eth0.100/forwarding`); after a
/// first `.`, dots and slashes change places
/// (`net.ipv4.conf.eth0/100.forwarding`).
pub fn resolve(
    asked: Option<&HashMap<String, String>>,
    surroundings: Surroundings<'_>,
) -> Result<Vec<Sysctl>, Error> {
    let mut given: Vec<(&str, &str)> =
        asked.into_iter().flatten().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    given.sort_unstable();
    let mut sysctls = given
        .into_iter()
        .map(|(name, value)| one(name, value, surroundings))
        .collect::<Result<Vec<_>, _>>()?;
    sysctls.sort_by(|a, b| a.path.cmp(&b.path));
    for pair in sysctls.windows(2) {
        if let [first, second] = pair
            && first.path == second.path
        {
            return Err(Error::Twice {
                pointer: pointer(&second.name),
                other: pointer(&first.name),
            });
        }
    }
    Ok(sysctls)
}

fn one(name: &str, value: &str, surroundings: Surroundings<'_>) -> Result<Sysctl, Error> {
    let malformed = || Error::Malformed { pointer: pointer(name), name: name.to_owned() };
    let path = path(name).ok_or_else(malformed)?;
    let requires = owner(&path)
        .ok_or_else(|| Error::Global { pointer: pointer(name), name: name.to_owned() })?;
    if let Some(field) = field(&path, value, surroundings) {
        return Err(Error::Field { pointer: pointer(name), name: name.to_owned(), field });
    }
    if surroundings.own & requires.flag() == 0 {
        return Err(Error::Shared {
            pointer: pointer(name),
            name: name.to_owned(),
            namespace: requires,
        });
    }
    Ok(Sysctl {
        name: name.to_owned(),
        path: CString::new(path).map_err(|_| malformed())?,
        value: CString::new(value).map_err(|_| Error::Nul { pointer: pointer(name) })?,
        requires,
    })
}

/// RFC 6901: `~` and `/` within a key are escaped.
fn pointer(name: &str) -> String {
    let key = name.replace('~', "~0").replace('/', "~1");
    format!("/linux/sysctl/{key}")
}

fn path(name: &str) -> Option<String> {
    let path: String = match name.find(['.', '/']).map(|at| name.as_bytes().get(at)) {
        Some(Some(b'/')) => name.to_owned(),
        _ => name.chars().map(exchanged).collect(),
    };
    let plain = |component: &str| {
        !matches!(component, "" | "." | "..") && !component.contains(|c: char| c.is_control())
    };
    (path.contains('/') && path.split('/').all(plain)).then_some(path)
}

fn exchanged(separator: char) -> char {
    match separator {
        '.' => '/',
        '/' => '.',
        other => other,
    }
}

/// ipc/ipc_sysctl.c: the parameters of an ipc namespace besides fs/mqueue.
const IPC: [&str; 12] = [
    "kernel/auto_msgmni",
    "kernel/msg_next_id",
    "kernel/msgmax",
    "kernel/msgmnb",
    "kernel/msgmni",
    "kernel/sem",
    "kernel/sem_next_id",
    "kernel/shm_next_id",
    "kernel/shm_rmid_forced",
    "kernel/shmall",
    "kernel/shmmax",
    "kernel/shmmni",
];

/// The namespace that a parameter belongs to on every kernel that has it.
/// kernel/pid_max, for one, is left out: before Linux 6.14 it was global.
fn owner(path: &str) -> Option<Kind> {
    match path {
        "kernel/hostname" | "kernel/domainname" => Some(Kind::Uts),
        path if IPC.contains(&path) || path.starts_with("fs/mqueue/") => Some(Kind::Ipc),
        path if path.starts_with("net/") => Some(Kind::Network),
        path if path.starts_with("user/") => Some(Kind::User),
        _ => None,
    }
}

/// The host name has a field, so it is never a parameter, as with runc. The
/// domain name is one for engines that predate its field; it must not
/// contradict the field.
fn field(path: &str, value: &str, surroundings: Surroundings<'_>) -> Option<&'static str> {
    match path {
        "kernel/hostname" => Some("/hostname"),
        "kernel/domainname" => {
            surroundings.domainname.filter(|domainname| *domainname != value).map(|_| "/domainname")
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Surroundings<'static> = Surroundings { own: u64::MAX, domainname: None };

    fn plan(pairs: &[(&str, &str)], surroundings: Surroundings<'_>) -> Result<Vec<Sysctl>, Error> {
        let asked =
            pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        resolve(Some(&asked), surroundings)
    }

    fn path_of(name: &str) -> String {
        let sysctls = plan(&[(name, "1")], ALL).unwrap();
        sysctls[0].path.to_str().unwrap().to_owned()
    }

    fn refusal(name: &str, value: &str, surroundings: Surroundings<'_>) -> String {
        plan(&[(name, value)], surroundings).unwrap_err().to_string()
    }

    #[test]
    fn absent_is_empty() {
        assert_eq!(resolve(None, ALL), Ok(vec![]));
    }

    #[test]
    fn a_write_in_full() {
        assert_eq!(
            plan(&[("net.ipv4.ip_forward", "1")], ALL).unwrap(),
            [Sysctl {
                name: "net.ipv4.ip_forward".to_owned(),
                path: c"net/ipv4/ip_forward".into(),
                value: c"1".into(),
                requires: Kind::Network,
            }]
        );
    }

    #[test]
    fn the_first_separator_decides() {
        for (name, path) in [
            ("net.core.somaxconn", "net/core/somaxconn"),
            ("net/core/somaxconn", "net/core/somaxconn"),
            ("net/ipv4/conf/eth0.100/forwarding", "net/ipv4/conf/eth0.100/forwarding"),
            ("net.ipv4.conf.eth0/100.forwarding", "net/ipv4/conf/eth0.100/forwarding"),
            ("fs.mqueue.msg_max", "fs/mqueue/msg_max"),
        ] {
            assert_eq!(path_of(name), path, "{name}");
        }
    }

    #[test]
    fn what_is_no_plain_path_is_refused() {
        for name in [
            "",
            ".",
            "/",
            "net",
            "net.",
            ".net.x",
            "/net/x",
            "net..x",
            "net//x",
            "net/../kernel/hostname",
            "net/./x",
            "net.//.kernel.hostname",
            "net./.x",
            "net.x\0",
            "net.x\ny",
        ] {
            let text = refusal(name, "1", ALL);
            assert!(text.ends_with("is not the name of a kernel parameter"), "{name:?}: {text}");
        }
    }

    #[test]
    fn each_parameter_has_its_namespace() {
        for (name, namespace) in [
            ("kernel.msgmax", Kind::Ipc),
            ("kernel.sem", Kind::Ipc),
            ("kernel.shm_rmid_forced", Kind::Ipc),
            ("fs.mqueue.queues_max", Kind::Ipc),
            ("net.ipv4.ping_group_range", Kind::Network),
            ("kernel.domainname", Kind::Uts),
            ("user.max_user_namespaces", Kind::User),
        ] {
            let own = |own| Surroundings { own, ..ALL };
            let sysctls = plan(&[(name, "1")], own(namespace.flag())).unwrap();
            assert_eq!(sysctls[0].requires, namespace);
            assert_eq!(
                refusal(name, "1", own(!namespace.flag())),
                format!(
                    "/linux/sysctl/{name}: {name:?} needs a {} namespace of the container's own",
                    namespace.name()
                )
            );
        }
    }

    #[test]
    fn what_belongs_to_the_host_is_refused() {
        for name in [
            "kernel.pid_max",
            "kernel.core_pattern",
            "kernel.semx",
            "vm.swappiness",
            "fs.file-max",
            "fs.mqueuex.y",
            "network.x",
            "users.x",
        ] {
            assert_eq!(
                refusal(name, "1", ALL),
                format!(
                    "/linux/sysctl/{name}: {name:?} belongs to no namespace: \
                     it would be changed for the whole host"
                )
            );
        }
    }

    #[test]
    fn names_that_have_fields() {
        assert_eq!(
            refusal("kernel.hostname", "x", ALL),
            "/linux/sysctl/kernel.hostname: \"kernel.hostname\" conflicts with the field /hostname"
        );
        let named = Surroundings { domainname: Some("x"), ..ALL };
        assert!(plan(&[("kernel.domainname", "x")], named).is_ok());
        assert_eq!(
            refusal("kernel/domainname", "y", named),
            "/linux/sysctl/kernel~1domainname: \"kernel/domainname\" conflicts with the field /domainname"
        );
    }

    #[test]
    fn two_spellings_of_one_parameter_are_refused() {
        assert_eq!(
            plan(&[("net.core.x", "1"), ("net/core/x", "1")], ALL).unwrap_err().to_string(),
            "/linux/sysctl/net~1core~1x: is the same parameter as /linux/sysctl/net.core.x"
        );
    }

    #[test]
    fn values_are_kept_but_for_nul() {
        let sysctls = plan(&[("kernel.sem", "250 32000\t100 128\n")], ALL).unwrap();
        assert_eq!(sysctls[0].value.as_c_str(), c"250 32000\t100 128\n");
        assert_eq!(
            refusal("kernel.sem", "1\0", ALL),
            "/linux/sysctl/kernel.sem: the value contains a NUL byte"
        );
    }

    #[test]
    fn writes_are_sorted_by_path() {
        let sysctls = plan(&[("net.b", "1"), ("kernel.sem", "1"), ("net/a", "1")], ALL).unwrap();
        let names: Vec<_> = sysctls.iter().map(|sysctl| sysctl.name.as_str()).collect();
        assert_eq!(names, ["kernel.sem", "net/a", "net.b"]);
    }

    #[test]
    fn keys_are_escaped_in_pointers() {
        assert_eq!(pointer("a/b~c"), "/linux/sysctl/a~1b~0c");
    }
}
