//! The command: argv in, exit status out.

fn main() -> std::process::ExitCode {
    cloison::cli::run(std::env::args_os()).into()
}
