//! The options of `exec` as its request.

use super::{Error, options};
use crate::cgroup::Below;
use crate::plan::caps;
use crate::plan::exec::Changes;
use crate::verbs::exec::{Asked, Paused};
use crate::verbs::{ExecRequest, Mode};

/// Exit status of an `exec` that fails before its program could give one: callers tell by it
/// whether the program ran (RES-1).
pub const FAILURE: u8 = 255;

/// What the options ask for.
pub fn request(exec: options::Exec) -> Result<ExecRequest, Error> {
    let below = exec.cgroup.iter().map(|text| below(text)).collect::<Result<_, _>>()?;
    Ok(ExecRequest {
        id: exec.id.parse()?,
        mode: if exec.detach { Mode::Detached } else { Mode::Foreground },
        console_socket: exec.console_socket.clone(),
        pidfd_socket: exec.pidfd_socket.clone(),
        pid_file: exec.pid_file.clone(),
        preserve_fds: exec.preserve_fds,
        below,
        paused: if exec.ignore_paused { Paused::Wait } else { Paused::Refuse },
        process: process(exec)?,
    })
}

fn process(exec: options::Exec) -> Result<Asked, Error> {
    if let Some(file) = exec.process {
        return Ok(Asked::Described { file, terminal: exec.tty });
    }
    let (uid, gid) = match &exec.user {
        Some(text) => user(text)?,
        None => (None, None),
    };
    let gids = exec.additional_gids.iter().map(|text| id("--additional-gids", text));
    let caps = exec.cap.iter().map(|name| {
        caps::find(name).ok_or_else(|| usage(format!("--cap: unknown capability {name:?}")))
    });
    Ok(Asked::Changed(Changes {
        args: exec.args,
        cwd: exec.cwd,
        env: exec.env,
        uid,
        gid,
        additional_gids: gids.collect::<Result<_, _>>()?,
        terminal: exec.tty,
        label: exec.process_label,
        apparmor: exec.apparmor,
        no_new_privileges: exec.no_new_privs.then_some(true),
        capabilities: caps.collect::<Result<_, _>>()?,
    }))
}

/// `UID` or `UID:GID`, the whole text and nothing else (CVE-2026-30892).
fn user(text: &str) -> Result<(Option<u32>, Option<u32>), Error> {
    match text.split_once(':') {
        Some((uid, gid)) => Ok((Some(id("--user", uid)?), Some(id("--user", gid)?))),
        None => Ok((Some(id("--user", text)?), None)),
    }
}

fn id(option: &str, text: &str) -> Result<u32, Error> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let number = text.parse().ok().filter(|&id| digits && id != u32::MAX);
    number.ok_or_else(|| usage(format!("{option}: {text:?} is not an id between 0 and 4294967294")))
}

fn below(text: &str) -> Result<Below, Error> {
    Below::parse(text).map_err(|reason| usage(format!("--cgroup: {text:?}: {reason}")))
}

fn usage(sentence: String) -> Error {
    Error::Usage { sentence }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::normalise::normalise;
    use crate::cli::options::Verb;
    use std::ffi::OsString;

    fn parsed(line: &str) -> Result<ExecRequest, String> {
        let args = line.split(' ').map(OsString::from).collect();
        let mut command = options::command();
        let options = options::parse(&normalise(args, &mut command), command);
        match options.map_err(|refused| refused.to_string())?.verb {
            Some(Verb::Exec(exec)) => request(*exec).map_err(|error| error.to_string()),
            other => panic!("{other:?}"),
        }
    }

    fn changes(line: &str) -> Changes {
        match parsed(line).unwrap().process {
            Asked::Changed(changes) => changes,
            other => panic!("{other:?}"),
        }
    }

    /// CLI-8
    #[test]
    fn what_follows_the_id_belongs_to_the_program() {
        assert_eq!(changes("c exec x ls -la --tty").args, ["ls", "-la", "--tty"]);
        assert_eq!(changes("c exec -t x sh -c true").args, ["sh", "-c", "true"]);
        assert_eq!(changes("c exec x -- sh -d").args, ["sh", "-d"]);
        assert_eq!(changes("c exec -e A=1 -env B=2 x env").env, ["A=1", "B=2"]);
        assert!(parsed("c exec x").is_err());
    }

    /// As containerd's shim and conmon call.
    #[test]
    fn a_described_process_needs_no_program() {
        let line = "c exec --process /p --detach --pid-file /f --console-socket /s --tty x";
        let request = parsed(line).unwrap();
        assert_eq!(request.process, Asked::Described { file: "/p".into(), terminal: true });
        assert_eq!(request.mode, Mode::Detached);
        for more in ["--cwd /", "--user 1", "-e A=1", "--cap CAP_KILL", "--no-new-privs"] {
            assert!(parsed(&format!("c exec {more} -p /p x")).is_err(), "{more} means nothing");
        }
        assert!(parsed("c exec -p /p x ls").is_err());
    }

    /// CVE-2026-30892
    #[test]
    fn a_user_is_a_number_or_two() {
        let user = |text: &str| {
            let changes = changes(&format!("c exec --user {text} x id"));
            (changes.uid, changes.gid)
        };
        assert_eq!(user("1"), (Some(1), None));
        assert_eq!(user("0:0"), (Some(0), Some(0)));
        assert_eq!(user("4294967294:7"), (Some(u32::MAX - 1), Some(7)));
        for bad in ["1:", ":1", "1:2:3", "root", "+1", "-1", "0x1", "1 ", "4294967295", "1:x"] {
            let args = ["c", "exec", "--user", bad, "x", "id"].map(OsString::from).to_vec();
            let mut command = options::command();
            let options = options::parse(&normalise(args, &mut command), command);
            let Ok(Some(Verb::Exec(exec))) = options.map(|options| options.verb) else { continue };
            assert!(request(*exec).is_err(), "{bad}");
        }
    }

    #[test]
    fn capabilities_have_names() {
        assert_eq!(changes("c exec --cap CAP_KILL --cap net_raw x id").capabilities.len(), 2);
        assert_eq!(
            parsed("c exec --cap CAP_FROB x id").unwrap_err(),
            "--cap: unknown capability \"CAP_FROB\""
        );
    }

    #[test]
    fn places_below_the_cgroup_are_checked() {
        assert_eq!(parsed("c exec --cgroup cpu,memory:a --cgroup b x id").unwrap().below.len(), 2);
        assert!(parsed("c exec --cgroup ../a x id").is_err());
    }
}
