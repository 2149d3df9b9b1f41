//! `hooks` as commands to execute.

use std::ffi::CString;
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::time::Duration;

use oci_spec::runtime as oci;
use thiserror::Error;

/// The six lists, each in the order of the configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hooks {
    /// Deprecated; run before `create_runtime`, in the same place.
    pub prestart: Vec<Hook>,
    /// Runtime namespace, during create, before pivot_root.
    pub create_runtime: Vec<Hook>,
    /// Container namespace, paths of the host, during create, before pivot_root.
    pub create_container: Vec<Hook>,
    /// Container namespace, paths of the container, during start, before exec.
    pub start_container: Vec<Hook>,
    /// Runtime namespace, after the process runs and before start returns.
    pub poststart: Vec<Hook>,
    /// Runtime namespace, after the container is gone and before delete returns.
    pub poststop: Vec<Hook>,
}

/// One command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hook {
    /// Absolute path of the program.
    pub path: CString,
    /// The argument vector; never empty: `path` stands for an absent or empty list.
    pub args: Vec<CString>,
    /// What the environment consists of.
    pub env: Environment,
    /// How long the hook may run; none is for ever.
    pub timeout: Option<Duration>,
    /// Which hook it is in config.json.
    pub pointer: Pointer,
}

/// Where a hook's environment comes from.
///
/// The specification leaves open what an absent `env` means. Hooks in the
/// runtime namespace then get the environment of the runtime, as with runc,
/// so that scripts find PATH; `startContainer` hooks run below the container's
/// root and get the environment of the container's process, as with runc,
/// crun and youki. An empty list is an empty environment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Environment {
    /// These entries and no others.
    Given(Vec<CString>),
    /// That of the runtime's caller.
    OfRuntime,
    /// That of the container's process.
    OfProcess,
}

/// A list of hooks, by its key in config.json.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Point {
    /// `prestart`
    Prestart,
    /// `createRuntime`
    CreateRuntime,
    /// `createContainer`
    CreateContainer,
    /// `startContainer`
    StartContainer,
    /// `poststart`
    Poststart,
    /// `poststop`
    Poststop,
}

impl Point {
    /// All points, in the order in which a container passes them.
    pub const ALL: [Self; 6] = [
        Self::Prestart,
        Self::CreateRuntime,
        Self::CreateContainer,
        Self::StartContainer,
        Self::Poststart,
        Self::Poststop,
    ];

    /// The key in config.json, which is also the name that `features` lists.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Prestart => "prestart",
            Self::CreateRuntime => "createRuntime",
            Self::CreateContainer => "createContainer",
            Self::StartContainer => "startContainer",
            Self::Poststart => "poststart",
            Self::Poststop => "poststop",
        }
    }
}

/// The JSON pointer of one hook: `/hooks/poststop/2`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pointer {
    /// The list.
    pub point: Point,
    /// The position in the list.
    pub index: usize,
}

impl fmt::Display for Pointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "/hooks/{}/{}", self.point.name(), self.index)
    }
}

/// A refused hook.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum Error {
    /// config.md: the path MUST be absolute.
    #[error("{hook}/path: {path:?} is not an absolute path")]
    NotAbsolute {
        /// The hook.
        hook: Pointer,
        /// The path as given.
        path: String,
    },
    /// A string that cannot be handed to execve(2).
    #[error("{hook}/{key}: contains a NUL byte")]
    Nul {
        /// The hook.
        hook: Pointer,
        /// The key below the hook: `path`, `args/1`, `env/0`.
        key: String,
    },
    /// config.md: if set, the timeout MUST be greater than zero.
    #[error("{hook}/timeout: {seconds} is not greater than zero")]
    Timeout {
        /// The hook.
        hook: Pointer,
        /// The timeout as given, in seconds.
        seconds: i64,
    },
}

/// The commands that the configuration asks for.
pub fn resolve(asked: Option<&oci::Hooks>) -> Result<Hooks, Error> {
    let Some(asked) = asked else {
        return Ok(Hooks::default());
    };
    #[allow(deprecated)]
    let prestart = asked.prestart();
    Ok(Hooks {
        prestart: list(Point::Prestart, prestart)?,
        create_runtime: list(Point::CreateRuntime, asked.create_runtime())?,
        create_container: list(Point::CreateContainer, asked.create_container())?,
        start_container: list(Point::StartContainer, asked.start_container())?,
        poststart: list(Point::Poststart, asked.poststart())?,
        poststop: list(Point::Poststop, asked.poststop())?,
    })
}

impl Hooks {
    /// The hooks of one point.
    pub fn at(&self, point: Point) -> &[Hook] {
        match point {
            Point::Prestart => &self.prestart,
            Point::CreateRuntime => &self.create_runtime,
            Point::CreateContainer => &self.create_container,
            Point::StartContainer => &self.start_container,
            Point::Poststart => &self.poststart,
            Point::Poststop => &self.poststop,
        }
    }
}

fn list(point: Point, hooks: &Option<Vec<oci::Hook>>) -> Result<Vec<Hook>, Error> {
    let hooks = hooks.iter().flatten().enumerate();
    hooks.map(|(index, hook)| one(Pointer { point, index }, hook)).collect()
}

fn one(pointer: Pointer, hook: &oci::Hook) -> Result<Hook, Error> {
    if !hook.path().is_absolute() {
        return Err(Error::NotAbsolute { hook: pointer, path: hook.path().display().to_string() });
    }
    let path = CString::new(hook.path().as_os_str().as_bytes())
        .map_err(|_| Error::Nul { hook: pointer, key: "path".to_owned() })?;
    let mut args = strings(pointer, "args", hook.args().iter().flatten())?;
    if args.is_empty() {
        args.push(path.clone());
    }
    let env = match hook.env() {
        Some(env) => Environment::Given(strings(pointer, "env", env.iter())?),
        None if pointer.point == Point::StartContainer => Environment::OfProcess,
        None => Environment::OfRuntime,
    };
    Ok(Hook {
        path,
        args,
        env,
        timeout: hook.timeout().map(|t| timeout(pointer, t)).transpose()?,
        pointer,
    })
}

fn strings<'a>(
    hook: Pointer,
    key: &str,
    values: impl Iterator<Item = &'a String>,
) -> Result<Vec<CString>, Error> {
    values
        .enumerate()
        .map(|(index, value)| {
            CString::new(value.as_bytes())
                .map_err(|_| Error::Nul { hook, key: format!("{key}/{index}") })
        })
        .collect()
}

fn timeout(hook: Pointer, seconds: i64) -> Result<Duration, Error> {
    match u64::try_from(seconds) {
        Ok(positive) if positive > 0 => Ok(Duration::from_secs(positive)),
        _ => Err(Error::Timeout { hook, seconds }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn plan(value: serde_json::Value) -> Result<Hooks, Error> {
        resolve(Some(&serde_json::from_value(value).unwrap()))
    }

    fn refusal(value: serde_json::Value) -> String {
        plan(value).unwrap_err().to_string()
    }

    #[test]
    fn absent_is_empty() {
        assert_eq!(resolve(None), Ok(Hooks::default()));
        assert_eq!(plan(json!({})), Ok(Hooks::default()));
    }

    #[test]
    fn every_point_has_its_list_in_order() {
        let hooks = plan(json!({
            "prestart": [{ "path": "/a" }],
            "createRuntime": [{ "path": "/b" }],
            "createContainer": [{ "path": "/c" }],
            "startContainer": [{ "path": "/d" }],
            "poststart": [{ "path": "/e" }],
            "poststop": [{ "path": "/f" }, { "path": "/g" }],
        }))
        .unwrap();
        let paths: Vec<_> = Point::ALL
            .into_iter()
            .flat_map(|point| hooks.at(point))
            .map(|hook| format!("{} {}", hook.pointer, hook.path.to_str().unwrap()))
            .collect();
        assert_eq!(
            paths,
            [
                "/hooks/prestart/0 /a",
                "/hooks/createRuntime/0 /b",
                "/hooks/createContainer/0 /c",
                "/hooks/startContainer/0 /d",
                "/hooks/poststart/0 /e",
                "/hooks/poststop/0 /f",
                "/hooks/poststop/1 /g",
            ]
        );
    }

    #[test]
    fn a_hook_in_full() {
        let hooks = plan(json!({ "poststart": [{
            "path": "/bin/tell", "args": ["tell", ""], "env": ["A=1"], "timeout": 5,
        }] }))
        .unwrap();
        assert_eq!(
            hooks.poststart,
            [Hook {
                path: c"/bin/tell".into(),
                args: vec![c"tell".into(), c"".into()],
                env: Environment::Given(vec![c"A=1".into()]),
                timeout: Some(Duration::from_secs(5)),
                pointer: Pointer { point: Point::Poststart, index: 0 },
            }]
        );
    }

    #[test]
    fn the_path_stands_for_absent_arguments() {
        let hooks =
            plan(json!({ "poststop": [{ "path": "/x" }, { "path": "/y", "args": [] }] })).unwrap();
        assert_eq!(hooks.poststop[0].args, vec![CString::from(c"/x")]);
        assert_eq!(hooks.poststop[1].args, vec![CString::from(c"/y")]);
    }

    #[test]
    fn an_absent_environment_is_the_callers_or_the_process_s() {
        let hooks = plan(json!({
            "createContainer": [{ "path": "/x" }, { "path": "/x", "env": [] }],
            "startContainer": [{ "path": "/x" }],
        }))
        .unwrap();
        assert_eq!(hooks.create_container[0].env, Environment::OfRuntime);
        assert_eq!(hooks.create_container[1].env, Environment::Given(vec![]));
        assert_eq!(hooks.start_container[0].env, Environment::OfProcess);
    }

    #[test]
    fn a_relative_path_is_refused() {
        assert_eq!(
            refusal(json!({ "poststop": [{ "path": "/x" }, { "path": "bin/x" }] })),
            "/hooks/poststop/1/path: \"bin/x\" is not an absolute path"
        );
        assert_eq!(
            refusal(json!({ "prestart": [{ "path": "" }] })),
            "/hooks/prestart/0/path: \"\" is not an absolute path"
        );
    }

    #[test]
    fn nul_bytes_are_refused_with_their_place() {
        for (hook, key) in [
            (json!({ "path": "/a\0" }), "path"),
            (json!({ "path": "/a", "args": ["a", "b\0"] }), "args/1"),
            (json!({ "path": "/a", "env": ["A=\0"] }), "env/0"),
        ] {
            assert_eq!(
                refusal(json!({ "createRuntime": [hook] })),
                format!("/hooks/createRuntime/0/{key}: contains a NUL byte")
            );
        }
    }

    #[test]
    fn a_timeout_is_positive() {
        for seconds in [0, -1] {
            assert_eq!(
                refusal(json!({ "poststart": [{ "path": "/a", "timeout": seconds }] })),
                format!("/hooks/poststart/0/timeout: {seconds} is not greater than zero")
            );
        }
    }
}
