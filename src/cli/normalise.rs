//! Accepts options the way Go programs write them, which is how engines call: `-no-subreaper`,
//! `-pid-file=X`, `--systemd-cgroup=true`. All of it becomes what clap takes.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use clap::{Arg, Command};

/// Rewrites `args`, the first of which is the name of the command. The options of the verb that is
/// called are defined by that in `command`.
pub fn normalise(args: Vec<OsString>, command: &mut Command) -> Vec<OsString> {
    let mut verb: Option<String> = None;
    let mut out = Vec::with_capacity(args.len());
    let mut args = args.into_iter();
    out.extend(args.next());
    let mut value_follows = false;
    for arg in args.by_ref() {
        if std::mem::take(&mut value_follows) {
            match out.last_mut() {
                // Whatever stands behind an option that wants a value is its value.
                Some(option) if arg.as_bytes().starts_with(b"-") => {
                    option.push("=");
                    option.push(arg);
                }
                _ => out.push(arg),
            }
            continue;
        }
        if arg == "--" {
            out.push(arg);
            break;
        }
        let called = verb.as_deref().and_then(|name| command.find_subcommand(name));
        match Word::of(&arg, called.unwrap_or(command)) {
            Word::Plain if called.is_some_and(hands_words_on) => {
                // What follows the id is for another program, options and all.
                out.push(arg);
                let mut rest = args.by_ref().peekable();
                if rest.peek().is_some_and(|next| next != "--") {
                    out.push("--".into());
                }
                out.extend(rest);
                break;
            }
            Word::Plain => {
                // Verbs have no verbs of their own.
                if verb.is_none()
                    && let Some(called) = command.find_subcommand_mut(&arg)
                {
                    called.build();
                    verb = Some(called.get_name().to_owned());
                }
                out.push(arg);
            }
            Word::Long { name, value, arg: known } => {
                let takes_value = known.get_action().takes_values();
                value_follows = takes_value && value.is_none();
                out.extend(long(name, value, takes_value));
            }
            Word::Short { value_follows: wanted } => {
                value_follows = wanted;
                out.push(arg);
            }
            // Two dashes make the refusal name the whole word instead of its first letter.
            Word::Misspelt => out.push(OsString::from_vec([b"-", arg.as_bytes()].concat())),
            Word::Unknown => out.push(arg),
        }
    }
    out.extend(args);
    out
}

fn hands_words_on(command: &Command) -> bool {
    command.get_positionals().any(Arg::is_trailing_var_arg_set)
}

/// What one argument is, as far as it matters here.
enum Word<'a> {
    Plain,
    Long {
        name: &'a [u8],
        value: Option<&'a [u8]>,
        arg: &'a Arg,
    },
    /// One dash and letters, the first of which is an option.
    Short {
        value_follows: bool,
    },
    /// One dash and a word, whose first letter is no option either.
    Misspelt,
    Unknown,
}

impl<'a> Word<'a> {
    fn of(arg: &'a OsStr, scope: &'a Command) -> Self {
        let bytes = arg.as_bytes();
        let Some(body) = bytes.strip_prefix(b"-").filter(|body| !body.is_empty()) else {
            return Self::Plain;
        };
        let letter = |letter: u8| {
            let named = |arg: &&Arg| arg.get_short() == Some(char::from(letter));
            scope.get_arguments().find(named)
        };
        let (body, first) = match body.strip_prefix(b"-") {
            Some(body) => (body, None),
            None => (body, body.first()),
        };
        let (name, value) = match body.iter().position(|byte| *byte == b'=') {
            Some(at) => (&body[..at], Some(&body[at + 1..])),
            None => (body, None),
        };
        if let ([only], Some(_), Some(_)) = (name, first, value)
            && let Some((arg, long)) = letter(*only).and_then(|arg| Some((arg, arg.get_long()?)))
        {
            return Self::Long { name: long.as_bytes(), value, arg };
        }
        let named = |arg: &&Arg| arg.get_long().is_some_and(|long| long.as_bytes() == name);
        match scope.get_arguments().find(named) {
            Some(arg) => Self::Long { name, value, arg },
            None => match first {
                Some(first) if letter(*first).is_some() => {
                    // What follows the first letter that wants a value is its value.
                    let wants = |of: &u8| letter(*of).is_some_and(takes_value);
                    let at = body.iter().position(wants);
                    Self::Short { value_follows: at == Some(body.len() - 1) }
                }
                Some(_) if body.len() > 1 => Self::Misspelt,
                _ => Self::Unknown,
            },
        }
    }
}

fn takes_value(arg: &Arg) -> bool {
    arg.get_action().takes_values()
}

/// The option with two dashes. A switch that is set to false is none, and one set to true stands
/// alone.
fn long(name: &[u8], value: Option<&[u8]>, takes_value: bool) -> Option<OsString> {
    let mut option = b"--".to_vec();
    option.extend_from_slice(name);
    match value {
        Some(b"false") if !takes_value => return None,
        Some(b"true") if !takes_value => {}
        Some(value) => {
            option.push(b'=');
            option.extend_from_slice(value);
        }
        None => {}
    }
    Some(OsString::from_vec(option))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::options;

    fn normalised(line: &str) -> String {
        let args = line.split(' ').map(OsString::from).collect();
        let args = normalise(args, &mut options::command());
        let args: Vec<_> = args.iter().map(|arg| arg.to_str().unwrap()).collect();
        args.join(" ")
    }

    /// CLI-2
    #[test]
    fn single_dashes_become_double_ones() {
        for (given, expected) in [
            ("c run -no-subreaper x", "c run --no-subreaper x"),
            ("c create -pid-file X y", "c create --pid-file X y"),
            ("c create y -pid-file=X", "c create y --pid-file=X"),
            ("c -root /r -debug list -quiet", "c --root /r --debug list --quiet"),
            ("c kill -all x 9", "c kill --all x 9"),
        ] {
            assert_eq!(normalised(given), expected);
        }
    }

    #[test]
    fn the_rest_stays() {
        for line in [
            "c",
            "c create -b /b x",
            "c list -qf json",
            "c kill x -9",
            "c create -- -pid-file",
            "c create -book x",
            "c create -",
        ] {
            assert_eq!(normalised(line), line);
        }
    }

    /// CLI-9
    #[test]
    fn options_behind_the_id_are_for_ps() {
        assert_eq!(normalised("c ps x -ef"), "c ps x -- -ef");
        assert_eq!(normalised("c ps -format table x -o pid"), "c ps --format table x -- -o pid");
        assert_eq!(normalised("c ps x -- -ef"), "c ps x -- -ef");
        assert_eq!(normalised("c ps -f json x"), "c ps -f json x");
        let mut command = options::command();
        let args = ["c", "ps", "x", "-o", "pid,comm"].map(OsString::from).to_vec();
        let options = options::parse(&normalise(args, &mut command), command);
        match options.unwrap().verb {
            Some(options::Verb::Ps(ps)) => assert_eq!(ps.options, ["-o", "pid,comm"]),
            other => panic!("{other:?}"),
        }
    }

    /// CLI-2
    #[test]
    fn a_value_may_begin_with_a_dash() {
        let line = "c update --cpu-quota -100000 x";
        assert_eq!(normalised(line), "c update --cpu-quota=-100000 x");
        assert_eq!(normalised("c update -memory -1 x"), "c update --memory=-1 x");
        assert_eq!(normalised("c exec -u -1 x id"), "c exec -u=-1 x -- id");
        assert_eq!(normalised("c exec -tu 1 x id"), "c exec -tu 1 x -- id");
        assert_eq!(normalised("c exec -tu1 x id"), "c exec -tu1 x -- id");
        assert_eq!(normalised("c create --pid-file -- x"), "c create --pid-file=-- x");
        assert_eq!(normalised("c create --pid-file"), "c create --pid-file");
        let args = normalised(line).split(' ').map(OsString::from).collect::<Vec<_>>();
        match options::parse(&args, options::command()).unwrap().verb {
            Some(options::Verb::Update(update)) => {
                assert_eq!(update.limits.cpu_quota, Some(-100_000));
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_misspelt_option_is_refused_whole() {
        assert_eq!(normalised("c create -nope x"), "c create --nope x");
        assert_eq!(normalised("c list -root /r"), "c list --root /r");
        assert_eq!(normalised("c list -help"), "c list --help");
    }

    #[test]
    fn a_value_is_no_verb() {
        assert_eq!(normalised("c --root list -debug list -q"), "c --root list --debug list -q");
        assert_eq!(normalised("c --root=list -debug run"), "c --root=list --debug run");
        assert_eq!(normalised("c start list -quiet"), "c start list --quiet");
    }

    /// CLI-2
    #[test]
    fn switches_may_be_set_to_a_value() {
        assert_eq!(normalised("c --systemd-cgroup=true list"), "c --systemd-cgroup list");
        assert_eq!(normalised("c -systemd-cgroup=false list"), "c list");
        assert_eq!(normalised("c --rootless=false list"), "c --rootless=false list");
        assert_eq!(normalised("c --debug=maybe list"), "c --debug=maybe list");
        assert_eq!(normalised("c delete -f=true x"), "c delete --force x");
        assert_eq!(normalised("c delete -f=false x"), "c delete x");
        assert_eq!(normalised("c create -b=/b -x=y z"), "c create --bundle=/b --x=y z");
    }
}
