//! Answers to a command line that cannot be carried out: help, or one sentence.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;

use clap::error::ErrorKind;

use super::report::Reporter;
use super::{Error, options, output};

/// Prints help that was asked for, or says what is wrong, also in the log if one can be made out;
/// gives the status.
pub fn answer(refused: &clap::Error, args: &[OsString]) -> u8 {
    let text = refused.render().to_string();
    let error = match refused.kind() {
        ErrorKind::DisplayHelp => match output::text(&text) {
            Ok(()) => return 0,
            Err(error) => error,
        },
        _ => Error::Usage { sentence: sentence(&text, args) },
    };
    let asked = globals(args).and_then(|globals| Reporter::open(&globals).ok());
    asked.unwrap_or_else(Reporter::stderr).failure(&error)
}

/// What `--help` prints behind a verb, or without one.
pub fn help(verb: Option<OsString>) -> Result<String, Error> {
    let mut args = vec![OsString::from("cloison")];
    args.extend(verb);
    args.push("--help".into());
    match options::parse(&args, options::command()) {
        Err(answer) if answer.kind() == ErrorKind::DisplayHelp => Ok(answer.render().to_string()),
        Err(refused) => {
            Err(Error::Usage { sentence: sentence(&refused.render().to_string(), &args) })
        }
        Ok(_) => Ok(String::new()),
    }
}

/// The global options, whatever follows them.
fn globals(args: &[OsString]) -> Option<options::Globals> {
    use clap::FromArgMatches;
    let matches = options::command().ignore_errors(true).try_get_matches_from(args).ok()?;
    options::Globals::from_arg_matches(&matches).ok()
}

/// The first paragraph of clap's message about `args` as one line, and the words that engines look
/// for when they probe an option.
fn sentence(message: &str, args: &[OsString]) -> String {
    let message = message.strip_prefix("error: ").unwrap_or(message);
    let paragraph = message.split("\n\n").next().unwrap_or(message);
    let words: Vec<&str> = paragraph.split_whitespace().collect();
    let line = words.join(" ");
    match line.strip_prefix("a value is required for '") {
        Some(rest) => {
            let option = rest.split([' ', '\'']).next().unwrap_or(rest);
            // The message is the same for a value that is there and empty.
            match args.iter().any(|arg| arg.is_empty() || arg.as_bytes().ends_with(b"=")) {
                true => format!("{option}: its value is empty"),
                false => format!("flag needs an argument: {option}"),
            }
        }
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(line: &str) -> String {
        let args: Vec<OsString> = line.split(' ').map(OsString::from).collect();
        let mut command = options::command();
        let args = crate::cli::normalise::normalise(args, &mut command);
        sentence(&options::parse(&args, command).unwrap_err().render().to_string(), &args)
    }

    /// CLI-6
    #[test]
    fn a_refusal_is_one_sentence() {
        assert_eq!(refusal("c create --nope x"), "unexpected argument '--nope' found");
        assert_eq!(refusal("c frobnicate"), "unrecognized subcommand 'frobnicate'");
        assert_eq!(
            refusal("c create"),
            "the following required arguments were not provided: <CONTAINER_ID>"
        );
        assert_eq!(refusal("c start a b"), "unexpected argument 'b' found");
        assert_eq!(
            refusal("c create --preserve-fds x y"),
            "invalid value 'x' for '--preserve-fds <N>': invalid digit found in string"
        );
        assert_eq!(
            refusal("c --rootless maybe list"),
            "invalid value 'maybe' for '--rootless <WHEN>' [possible values: auto, true, false]"
        );
    }

    /// CLI-6
    #[test]
    fn a_missing_value_is_said_in_the_words_that_engines_look_for() {
        assert_eq!(refusal("c create --bundle"), "flag needs an argument: --bundle");
        assert_eq!(refusal("c create -pid-file"), "flag needs an argument: --pid-file");
        assert_eq!(refusal("c create --pid-file= x"), "--pid-file: its value is empty");
        assert_eq!(refusal("c create --pid-file  x"), "--pid-file: its value is empty");
    }

    /// CLI-6
    #[test]
    fn help_is_told_by_a_verb_of_its_own() {
        assert!(help(None).unwrap().contains("\n  create "));
        let text = help(Some("kill".into())).unwrap();
        assert!(text.contains("Usage: cloison kill [OPTIONS] <CONTAINER_ID> [SIGNAL]"), "{text}");
        let refused = help(Some("frobnicate".into())).unwrap_err().to_string();
        assert_eq!(refused, "unrecognized subcommand 'frobnicate'");
    }

    /// CLI-6
    #[test]
    fn the_log_is_found_though_the_verb_is_wrong() {
        let args: Vec<OsString> =
            ["c", "--log", "/l", "--log-format", "json", "create", "--nope"].map(Into::into).into();
        let globals = globals(&args).unwrap();
        assert_eq!(globals.log.unwrap(), std::path::Path::new("/l"));
        assert!(matches!(globals.log_format, options::LogFormat::Json));
    }
}
