//! `process`: what is executed, as whom and with what on its standard streams.

use std::collections::HashMap;
use std::ffi::CString;
use std::fmt;
use std::os::unix::ffi::OsStrExt;

use oci_spec::runtime as oci;
use thiserror::Error;

/// The file mode creation mask of a process whose `user.umask` is absent.
///
/// config.md says that the caller's mask then should not be changed. runc and
/// crun use 0022 whoever calls, and so does cloison: what a container creates
/// must not depend on the shell or the daemon that started it.
pub const DEFAULT_UMASK: u32 = 0o022;

/// Where a program without a slash is looked for when the environment has no
/// PATH: `confstr(_CS_PATH)` of glibc, which its execvp(3) uses.
const DEFAULT_PATH: &str = "/bin:/usr/bin";

/// Groups that setgroups(2) takes (NGROUPS_MAX).
const GROUPS_MAX: usize = 65536;

/// What execve(2) and the calls just before it need.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// The argument vector; never empty, and `args[0]` is not the empty string.
    pub args: Vec<CString>,
    /// The environment: `NAME=VALUE` each, every name once (see [`resolve`]).
    pub env: Vec<CString>,
    /// The working directory, absolute within the container.
    pub cwd: CString,
    /// User id within the container's user namespace.
    pub uid: u32,
    /// Group id within the container's user namespace.
    pub gid: u32,
    /// Mode creation mask, [`DEFAULT_UMASK`] when not configured.
    pub umask: u32,
    /// All supplementary groups; empty means that there are to be none.
    pub additional_gids: Vec<u32>,
    /// Paths to try with execve(2) in this order, relative ones from `cwd`.
    pub candidates: Vec<CString>,
    /// Where `candidates` come from: what the sentence of a failure says.
    pub search: Search,
    /// The pseudoterminal to make, if one is asked for.
    pub terminal: Option<Terminal>,
    /// Whether `PR_SET_NO_NEW_PRIVS` is set.
    pub no_new_privileges: bool,
    /// Written to /proc/self/oom_score_adj; none leaves it untouched.
    pub oom_score_adj: Option<i32>,
    /// `env` has no HOME: init adds the home directory of `uid` in the
    /// container's /etc/passwd, or `/`.
    pub home_missing: bool,
}

/// How `args[0]` is turned into a path; execvp(3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Search {
    /// It has a slash: it is the path.
    Direct,
    /// In each directory of PATH of the container's environment.
    Path,
    /// In the directories of the C library, as the environment has no PATH.
    DefaultPath,
}

/// A pseudoterminal for the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terminal {
    /// Its size; none leaves the kernel's, 0 by 0.
    pub size: Option<ConsoleSize>,
}

/// Size of a terminal in characters: `ws_row` and `ws_col` of TIOCSWINSZ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConsoleSize {
    /// Height.
    pub rows: u16,
    /// Width.
    pub columns: u16,
}

/// Something that was configured and has no effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Warning {
    /// `process.user.username` is for Windows; `uid` and `gid` count.
    Username,
    /// `process.commandLine` is for Windows; `args` counts.
    CommandLine,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Username => "/process/user/username: ignored: it is for Windows alone",
            Self::CommandLine => "/process/commandLine: ignored: it is for Windows alone",
        })
    }
}

/// A refused process.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum Error {
    /// config.md: at least one entry is required.
    #[error("/process/args: no program to execute is given")]
    NoArgs,
    /// execvp(3) has no meaning for it.
    #[error("/process/args/0: exec: \"\": executable file not found in $PATH")]
    EmptyProgram,
    /// A string that cannot be handed to the kernel.
    #[error("{pointer}: contains a NUL byte")]
    Nul {
        /// Where it stands in config.json.
        pointer: String,
    },
    /// config.md: the working directory MUST be absolute.
    #[error("/process/cwd: {cwd:?} is not an absolute path")]
    RelativeCwd {
        /// The directory as given.
        cwd: String,
    },
    /// Not `NAME=VALUE`.
    #[error("/process/env/{index}: {entry:?} is not of the form NAME=VALUE")]
    Env {
        /// Position in `env`.
        index: usize,
        /// The entry as given.
        entry: String,
    },
    /// 4294967295 is "no id" to the kernel.
    #[error("{pointer}: {id} is not a valid id")]
    Id {
        /// Where it stands in config.json.
        pointer: String,
        /// The id as given.
        id: u32,
    },
    /// More than NGROUPS_MAX.
    #[error(
        "/process/user/additionalGids: {count} groups are more than the kernel takes ({GROUPS_MAX})"
    )]
    Groups {
        /// How many were given.
        count: usize,
    },
    /// Bits beyond the nine of rwxrwxrwx.
    #[error("/process/user/umask: {umask:#o} is above 0777")]
    Umask {
        /// The mask as given.
        umask: u32,
    },
    /// Beyond what proc_pid_oom_score_adj(5) takes.
    #[error("/process/oomScoreAdj: {value} is not between -1000 and 1000")]
    OomScoreAdj {
        /// The value as given.
        value: i32,
    },
    /// Beyond `struct winsize`.
    #[error("/process/consoleSize/{key}: {value} is above 65535")]
    ConsoleSize {
        /// `height` or `width`.
        key: &'static str,
        /// The value as given.
        value: u64,
    },
}

/// The process to execute; none when the configuration has none, which create
/// accepts and start refuses (config.md: required when start is called).
///
/// Of environment entries with one name the last counts, as with runc and
/// crun, and takes the place of the first. An empty HOME counts as absent,
/// as with runc.
pub fn resolve(asked: Option<&oci::Process>) -> Result<(Option<Process>, Vec<Warning>), Error> {
    let Some(asked) = asked else {
        return Ok((None, Vec::new()));
    };
    let args = args(asked)?;
    let env = env(asked)?;
    let program = asked.args().iter().flatten().next();
    let (search, candidates) = candidates(program.map_or("", String::as_str), env.path.as_deref())?;
    let user = asked.user();
    let process = Process {
        args,
        env: env.entries,
        cwd: cwd(asked)?,
        uid: id("/process/user/uid", user.uid())?,
        gid: id("/process/user/gid", user.gid())?,
        umask: umask(user.umask())?,
        additional_gids: groups(user.additional_gids().as_deref().unwrap_or_default())?,
        candidates,
        search,
        terminal: terminal(asked)?,
        no_new_privileges: asked.no_new_privileges().unwrap_or(false),
        oom_score_adj: asked.oom_score_adj().map(oom_score_adj).transpose()?,
        home_missing: env.home_missing,
    };
    Ok((Some(process), warnings(asked)))
}

impl Process {
    /// Tells the program of the `count` sockets that it gets (sd_listen_fds(3)); whose number goes
    /// with them is known only to the process itself. Without sockets there is nothing to tell.
    pub(super) fn announce(&mut self, count: u32) {
        if count == 0 {
            return;
        }
        let about = |entry: &CString, name: &[u8]| entry.to_bytes().starts_with(name);
        self.env.retain(|entry| !about(entry, b"LISTEN_FDS=") && !about(entry, b"LISTEN_PID="));
        // A number holds no NUL.
        self.env.extend(CString::new(format!("LISTEN_FDS={count}")));
    }
}

fn warnings(asked: &oci::Process) -> Vec<Warning> {
    let given = |value: &Option<String>| value.as_deref().is_some_and(|value| !value.is_empty());
    let username = given(asked.user().username());
    let command_line = given(asked.command_line());
    [username.then_some(Warning::Username), command_line.then_some(Warning::CommandLine)]
        .into_iter()
        .flatten()
        .collect()
}

fn text(value: &[u8], pointer: impl FnOnce() -> String) -> Result<CString, Error> {
    CString::new(value).map_err(|_| Error::Nul { pointer: pointer() })
}

fn args(asked: &oci::Process) -> Result<Vec<CString>, Error> {
    let args = asked.args().as_deref().unwrap_or_default();
    let program = args.first().ok_or(Error::NoArgs)?;
    if program.is_empty() {
        return Err(Error::EmptyProgram);
    }
    args.iter()
        .enumerate()
        .map(|(index, arg)| text(arg.as_bytes(), || format!("/process/args/{index}")))
        .collect()
}

struct Env {
    entries: Vec<CString>,
    path: Option<String>,
    home_missing: bool,
}

fn env(asked: &oci::Process) -> Result<Env, Error> {
    let given = asked.env().as_deref().unwrap_or_default();
    let mut places: HashMap<&str, usize> = HashMap::with_capacity(given.len());
    let mut last: Vec<(&str, &str, CString)> = Vec::with_capacity(given.len());
    for (index, entry) in given.iter().enumerate() {
        let (name, value) = match entry.split_once('=') {
            Some((name, value)) if !name.is_empty() => (name, value),
            _ => {
                return Err(Error::Env { index, entry: entry.clone() });
            }
        };
        let word = text(entry.as_bytes(), || format!("/process/env/{index}"))?;
        match places.get(name).and_then(|place| last.get_mut(*place)) {
            Some(earlier) => *earlier = (name, value, word),
            None => {
                places.insert(name, last.len());
                last.push((name, value, word));
            }
        }
    }
    last.retain(|(name, value, _)| *name != "HOME" || !value.is_empty());
    let value_of = |wanted: &str| last.iter().find(|(name, ..)| *name == wanted);
    Ok(Env {
        path: value_of("PATH").map(|(_, value, _)| (*value).to_owned()),
        home_missing: value_of("HOME").is_none(),
        entries: last.into_iter().map(|(_, _, word)| word).collect(),
    })
}

fn candidates(program: &str, path: Option<&str>) -> Result<(Search, Vec<CString>), Error> {
    let one = |candidate: String| text(candidate.as_bytes(), || "/process/args/0".to_owned());
    if program.contains('/') {
        return Ok((Search::Direct, vec![one(program.to_owned())?]));
    }
    let search = match path {
        Some(_) => Search::Path,
        None => Search::DefaultPath,
    };
    Ok((search, in_path(program, path).map(one).collect::<Result<_, _>>()?))
}

/// Where execvp(3) looks for a program: an empty element of PATH is the working directory.
pub(crate) fn in_path(program: &str, path: Option<&str>) -> impl Iterator<Item = String> {
    path.unwrap_or(DEFAULT_PATH).split(':').map(move |directory| match directory {
        "" => format!("./{program}"),
        slashed if slashed.ends_with('/') => format!("{slashed}{program}"),
        plain => format!("{plain}/{program}"),
    })
}

fn cwd(asked: &oci::Process) -> Result<CString, Error> {
    let cwd = asked.cwd();
    if !cwd.is_absolute() {
        return Err(Error::RelativeCwd { cwd: cwd.display().to_string() });
    }
    text(cwd.as_os_str().as_bytes(), || "/process/cwd".to_owned())
}

fn id(pointer: impl Into<String>, id: u32) -> Result<u32, Error> {
    if id == u32::MAX {
        return Err(Error::Id { pointer: pointer.into(), id });
    }
    Ok(id)
}

fn groups(gids: &[u32]) -> Result<Vec<u32>, Error> {
    if gids.len() > GROUPS_MAX {
        return Err(Error::Groups { count: gids.len() });
    }
    gids.iter()
        .enumerate()
        .map(|(index, gid)| id(format!("/process/user/additionalGids/{index}"), *gid))
        .collect()
}

fn umask(umask: Option<u32>) -> Result<u32, Error> {
    match umask.unwrap_or(DEFAULT_UMASK) {
        umask if umask > 0o777 => Err(Error::Umask { umask }),
        umask => Ok(umask),
    }
}

fn oom_score_adj(value: i32) -> Result<i32, Error> {
    if (-1000..=1000).contains(&value) { Ok(value) } else { Err(Error::OomScoreAdj { value }) }
}

/// config.md: `consoleSize` MUST be ignored without a terminal, so a size that
/// no terminal could have is an error only with one.
fn terminal(asked: &oci::Process) -> Result<Option<Terminal>, Error> {
    if !asked.terminal().unwrap_or(false) {
        return Ok(None);
    }
    let side = |key, value| u16::try_from(value).map_err(|_| Error::ConsoleSize { key, value });
    let size = match asked.console_size() {
        None => None,
        Some(size) => Some(ConsoleSize {
            rows: side("height", size.height())?,
            columns: side("width", size.width())?,
        }),
    };
    Ok(Some(Terminal { size }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn spec(changes: Value) -> oci::Process {
        let mut value = json!({
            "cwd": "/", "user": { "uid": 0, "gid": 0 }, "args": ["/bin/sh"],
        });
        for (key, change) in changes.as_object().unwrap() {
            value[key] = change.clone();
        }
        serde_json::from_value(value).unwrap()
    }

    fn plan(changes: Value) -> Process {
        resolve(Some(&spec(changes))).unwrap().0.unwrap()
    }

    fn refusal(changes: Value) -> String {
        resolve(Some(&spec(changes))).unwrap_err().to_string()
    }

    fn strings(words: &[CString]) -> Vec<&str> {
        words.iter().map(|word| word.to_str().unwrap()).collect()
    }

    #[test]
    fn a_missing_process_is_legal() {
        assert_eq!(resolve(None), Ok((None, Vec::new())));
    }

    #[test]
    fn the_least_process() {
        assert_eq!(
            plan(json!({})),
            Process {
                args: vec![c"/bin/sh".into()],
                env: vec![],
                cwd: c"/".into(),
                uid: 0,
                gid: 0,
                umask: 0o022,
                additional_gids: vec![],
                candidates: vec![c"/bin/sh".into()],
                search: Search::Direct,
                terminal: None,
                no_new_privileges: false,
                oom_score_adj: None,
                home_missing: true,
            }
        );
    }

    #[test]
    fn a_process_in_full() {
        let process = plan(json!({
            "args": ["sh", "-c", ""],
            "env": ["PATH=/bin:/usr/bin/", "HOME=/root", "EMPTY=", "TWO=a=b"],
            "cwd": "/work dir",
            "user": { "uid": 1000, "gid": 100, "umask": 0o077, "additionalGids": [5, 6, 5] },
            "terminal": true,
            "consoleSize": { "height": 25, "width": 80 },
            "noNewPrivileges": true,
            "oomScoreAdj": -1000,
        }));
        assert_eq!(
            process,
            Process {
                args: vec![c"sh".into(), c"-c".into(), c"".into()],
                env: vec![
                    c"PATH=/bin:/usr/bin/".into(),
                    c"HOME=/root".into(),
                    c"EMPTY=".into(),
                    c"TWO=a=b".into(),
                ],
                cwd: c"/work dir".into(),
                uid: 1000,
                gid: 100,
                umask: 0o077,
                additional_gids: vec![5, 6, 5],
                candidates: vec![c"/bin/sh".into(), c"/usr/bin/sh".into()],
                search: Search::Path,
                terminal: Some(Terminal { size: Some(ConsoleSize { rows: 25, columns: 80 }) }),
                no_new_privileges: true,
                oom_score_adj: Some(-1000),
                home_missing: false,
            }
        );
    }

    #[test]
    fn a_program_is_required() {
        let missing = "/process/args: no program to execute is given";
        assert_eq!(refusal(json!({ "args": null })), missing);
        assert_eq!(refusal(json!({ "args": [] })), missing);
        assert_eq!(
            refusal(json!({ "args": ["", "x"] })),
            "/process/args/0: exec: \"\": executable file not found in $PATH"
        );
    }

    #[test]
    fn a_slash_means_no_search() {
        let process = plan(json!({ "args": ["bin/x"], "env": ["PATH=/bin"] }));
        assert_eq!(strings(&process.candidates), ["bin/x"]);
        assert_eq!(process.search, Search::Direct);
    }

    #[test]
    fn empty_path_elements_are_the_working_directory() {
        let of = |path: &str| {
            let process = plan(json!({ "args": ["x"], "env": [path] }));
            (process.search, strings(&process.candidates).join(" "))
        };
        let found = |text: &str| (Search::Path, text.to_owned());
        assert_eq!(of("PATH=:/bin"), found("./x /bin/x"));
        assert_eq!(of("PATH=/bin::/sbin"), found("/bin/x ./x /sbin/x"));
        assert_eq!(of("PATH="), found("./x"));
        assert_eq!(of("PATH=tools"), found("tools/x"));
        assert_eq!(of("PATH=/"), found("/x"));
        assert_eq!(of("OTHER=1"), (Search::DefaultPath, "/bin/x /usr/bin/x".to_owned()));
    }

    #[test]
    fn the_last_of_two_variables_counts() {
        let process = plan(json!({
            "args": ["x"], "env": ["PATH=/a", "B=1", "PATH=/b", "B=2"],
        }));
        assert_eq!(strings(&process.env), ["PATH=/b", "B=2"]);
        assert_eq!(strings(&process.candidates), ["/b/x"]);
    }

    #[test]
    fn an_empty_home_is_looked_up() {
        let process = plan(json!({ "env": ["A=1", "HOME="] }));
        assert!(process.home_missing);
        assert_eq!(strings(&process.env), ["A=1"]);
        let process = plan(json!({ "env": ["HOME=", "HOME=/h"] }));
        assert!(!process.home_missing);
    }

    #[test]
    fn sockets_are_announced_in_place_of_what_was_said() {
        let mut process = plan(json!({ "env": ["LISTEN_PID=7", "A=1", "LISTEN_FDS=9"] }));
        process.announce(0);
        assert_eq!(strings(&process.env), ["LISTEN_PID=7", "A=1", "LISTEN_FDS=9"]);
        process.announce(2);
        assert_eq!(strings(&process.env), ["A=1", "LISTEN_FDS=2"]);
    }

    #[test]
    fn variables_have_names_and_values() {
        for bad in ["PATH", "", "=x"] {
            assert_eq!(
                refusal(json!({ "env": ["A=1", bad] })),
                format!("/process/env/1: {bad:?} is not of the form NAME=VALUE")
            );
        }
    }

    #[test]
    fn nul_bytes_are_refused_with_their_place() {
        for (changes, pointer) in [
            (json!({ "args": ["/a", "b\0"] }), "/process/args/1"),
            (json!({ "args": ["a\0"] }), "/process/args/0"),
            (json!({ "env": ["A=\0"] }), "/process/env/0"),
            (json!({ "cwd": "/a\0" }), "/process/cwd"),
        ] {
            assert_eq!(refusal(changes), format!("{pointer}: contains a NUL byte"));
        }
    }

    #[test]
    fn the_working_directory_is_absolute() {
        for bad in ["", "work", "./"] {
            assert_eq!(
                refusal(json!({ "cwd": bad })),
                format!("/process/cwd: {bad:?} is not an absolute path")
            );
        }
    }

    #[test]
    fn ids_that_mean_none_are_refused() {
        for (user, pointer) in [
            (json!({ "uid": u32::MAX, "gid": 0 }), "uid"),
            (json!({ "uid": 0, "gid": u32::MAX }), "gid"),
            (json!({ "uid": 0, "gid": 0, "additionalGids": [1, u32::MAX] }), "additionalGids/1"),
        ] {
            assert_eq!(
                refusal(json!({ "user": user })),
                format!("/process/user/{pointer}: 4294967295 is not a valid id")
            );
        }
        let many = vec![1; 65537];
        assert_eq!(
            refusal(json!({ "user": { "uid": 0, "gid": 0, "additionalGids": many } })),
            "/process/user/additionalGids: 65537 groups are more than the kernel takes (65536)"
        );
    }

    #[test]
    fn numbers_have_ranges() {
        assert_eq!(
            refusal(json!({ "user": { "uid": 0, "gid": 0, "umask": 0o1000 } })),
            "/process/user/umask: 0o1000 is above 0777"
        );
        assert_eq!(plan(json!({ "user": { "uid": 0, "gid": 0, "umask": 0 } })).umask, 0);
        for value in [-1001, 1001] {
            assert_eq!(
                refusal(json!({ "oomScoreAdj": value })),
                format!("/process/oomScoreAdj: {value} is not between -1000 and 1000")
            );
        }
        assert_eq!(plan(json!({ "oomScoreAdj": 0 })).oom_score_adj, Some(0));
    }

    #[test]
    fn the_console_size_needs_a_terminal() {
        let huge = json!({ "height": 1, "width": 65536 });
        assert_eq!(plan(json!({ "consoleSize": huge })).terminal, None);
        assert_eq!(plan(json!({ "terminal": false, "consoleSize": huge })).terminal, None);
        assert_eq!(
            refusal(json!({ "terminal": true, "consoleSize": huge })),
            "/process/consoleSize/width: 65536 is above 65535"
        );
        assert_eq!(plan(json!({ "terminal": true })).terminal, Some(Terminal { size: None }));
    }

    #[test]
    fn what_is_for_windows_is_a_warning() {
        let asked = spec(json!({
            "user": { "uid": 0, "gid": 0, "username": "x" }, "commandLine": "x",
        }));
        let (_, warnings) = resolve(Some(&asked)).unwrap();
        let texts: Vec<_> = warnings.iter().map(ToString::to_string).collect();
        assert_eq!(
            texts,
            [
                "/process/user/username: ignored: it is for Windows alone",
                "/process/commandLine: ignored: it is for Windows alone",
            ]
        );
    }
}
