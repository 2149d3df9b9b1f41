//! Crashes and faults, system call by system call: every verb is killed at
//! each of its system calls, and each of them is made to fail with every error
//! that fits. Whatever happens, nothing hangs, nothing is called done that is
//! not, `state` and `list` tell the truth, and after `delete --force` nothing
//! is left.
//!
//! Without options a sample is tried, which takes seconds; `--all` tries
//! everything (`make faults`). `RUNTIME=/usr/bin/crun` aims at another runtime.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    missing_docs
)]

use std::io::{BufRead, BufReader};
use std::process::{Command, ExitCode, Stdio};

use serde_json::{Value, json};

#[path = "../it/harness/mod.rs"]
#[allow(dead_code, unused_imports, unused_macros)]
mod harness;

mod errors;
mod names;
mod scene;
mod table;
mod tracer;
mod trial;

use scene::{SCENES, Shape, Verb};
use tracer::Blow;
use trial::{Theatre, Verdict};

/// So many trials in a scene are made by one process.
const FEW: usize = 20;

/// What the command line asks for.
struct Options {
    /// Trials per scene and kind; none for all.
    sample: Option<usize>,
    workers: usize,
    /// Scenes whose name contains one of these.
    filters: Vec<String>,
    /// One trial alone: process, call, SIGKILL or the number of an error.
    at: Option<(usize, usize, Option<i32>)>,
    /// Which share of the trials this process makes: number, of how many.
    share: Option<(usize, usize)>,
}

impl Options {
    fn from_args() -> Self {
        let mut options =
            Self { sample: Some(3), workers: 3, filters: Vec::new(), at: None, share: None };
        let mut args = std::env::args().skip(1);
        while let Some(arg) = args.next() {
            let mut number = || args.next().and_then(|n| n.parse().ok()).expect("a number");
            match arg.as_str() {
                "--all" => options.sample = None,
                "--sample" => options.sample = Some(number()),
                "--workers" => options.workers = number(),
                "--share" => options.share = Some((number(), number())),
                "--at" => {
                    options.at =
                        Some((number(), number(), args.next().and_then(|e| e.parse().ok())));
                    options.workers = 1;
                }
                flag if flag.starts_with('-') => {}
                filter => options.filters.push(filter.to_owned()),
            }
        }
        options
    }

    fn selects(&self, verb: Verb, shape: Shape) -> bool {
        let name = format!("{} {}", verb.name(), shape.name());
        self.filters.is_empty() || self.filters.iter().any(|f| name.contains(f.as_str()))
    }
}

fn main() -> ExitCode {
    if let Some(code) = harness::probe::main() {
        return code;
    }
    let options = Options::from_args();
    if std::env::args().any(|arg| arg == "--list") {
        return ExitCode::SUCCESS;
    }
    if !nix::unistd::geteuid().is_root() {
        println!("skipped: needs root");
        return ExitCode::SUCCESS;
    }
    match options.share {
        Some((number, of)) => work(&options, number, of),
        None => direct(&options),
    }
}

/// Makes a share of the trials and prints a line of JSON for each.
fn work(options: &Options, number: usize, of: usize) -> ExitCode {
    nix::sys::prctl::set_child_subreaper(true).expect("become a subreaper");
    harness::runner::remember_panics();
    harness::enter_unified_view();
    let scenes = SCENES.iter().filter(|scene| options.selects(scene.0, scene.1)).enumerate();
    for (index, &(verb, shape)) in scenes {
        // A scene costs as much to set as a few trials in it.
        let (mine, share) = match options.sample {
            Some(few) if few < FEW => (index % of == number, (0, 1)),
            _ => (true, (number, of)),
        };
        if !mine {
            continue;
        }
        let scene = format!("{} {}", verb.name(), shape.name());
        if shape == Shape::Host && !harness::on_host_hierarchies(has_controllers) {
            let why = "the host's hierarchies lack the controllers pids and memory";
            println!("{}", json!({"scene": scene, "skipped": why}));
        } else if shape == Shape::Host {
            harness::on_host_hierarchies(|| play(options, share, verb, shape));
        } else {
            play(options, share, verb, shape);
        }
    }
    harness::leave();
    ExitCode::SUCCESS
}

/// Whether what the calling thread sees can limit processes and memory.
fn has_controllers() -> bool {
    ["pids", "memory"].iter().all(|name| {
        harness::needs::controller(name).is_ok()
            || (!harness::hierarchies::is_unified() && harness::needs::v1_mount(name).is_some())
    })
}

fn play(options: &Options, share: (usize, usize), verb: Verb, shape: Shape) {
    let scene = format!("{} {}", verb.name(), shape.name());
    let mut theatre = match Theatre::open(verb, shape) {
        Ok(theatre) => theatre,
        Err(why) => return println!("{}", json!({"scene": scene, "closed": why})),
    };
    let calls: Vec<usize> = theatre.calls.iter().map(Vec::len).collect();
    println!("{}", json!({"scene": scene, "calls": calls}));
    if let Some((process, n, errno)) = options.at {
        let blow = errno.map_or(Blow::Kill, |e| Blow::Fail(nix::errno::Errno::from_raw(e)));
        let (verdict, text) = theatre.attempt(tracer::Target { process, n, blow });
        let kind = if blow == Blow::Kill { "kill" } else { "fault" };
        return println!("{}", report(&scene, kind, &verdict, &text));
    }
    let (kills, faults) = theatre.targets();
    for (kind, targets) in [("kill", kills), ("fault", faults)] {
        let step = options.sample.map_or(1, |most| targets.len().div_ceil(most).max(1));
        let chosen = targets.into_iter().skip(step / 2).step_by(step).enumerate();
        for (_, target) in chosen.filter(|(index, _)| index % share.1 == share.0) {
            let (verdict, text) = theatre.attempt(target);
            println!("{}", report(&scene, kind, &verdict, &text));
            debug_assert!(kind == "fault" || target.blow == Blow::Kill);
        }
    }
}

fn report(scene: &str, kind: &str, verdict: &Verdict, text: &str) -> Value {
    let mut line = json!({"scene": scene, "kind": kind});
    match verdict {
        Verdict::NotReached => line["verdict"] = json!("not reached"),
        Verdict::Succeeded => line["verdict"] = json!("succeeded"),
        Verdict::OutOfMemory => line["verdict"] = json!("out of memory"),
        Verdict::Refused(sentence) => {
            line["verdict"] = json!("refused");
            line["cause"] = json!(sentence.cause);
            line["path"] = json!(sentence.path);
            line["text"] = json!(text);
        }
        Verdict::Wrong(why) => {
            line["verdict"] = json!("wrong");
            line["text"] = json!(text);
            line["why"] = json!(why);
        }
    }
    line
}

/// Has the trials made by several processes, each of which traces and reaps for
/// itself, and sums up.
fn direct(options: &Options) -> ExitCode {
    let exe = std::env::current_exe().expect("own path");
    let mut table = table::Table::default();
    std::thread::scope(|scope| {
        let (sender, lines) = std::sync::mpsc::channel::<String>();
        for number in 0..options.workers {
            let mut command = Command::new(&exe);
            command.args(std::env::args_os().skip(1)).stdout(Stdio::piped());
            command.args(["--share", &number.to_string(), &options.workers.to_string()]);
            let mut worker = command.spawn().expect("start a worker");
            let sender = sender.clone();
            scope.spawn(move || {
                let output = worker.stdout.take().expect("a pipe");
                for line in BufReader::new(output).lines().map_while(Result::ok) {
                    let _ = sender.send(line);
                }
                if !worker.wait().expect("wait").success() {
                    let _ = sender.send(json!({"broken": number}).to_string());
                }
            });
        }
        drop(sender);
        for line in lines {
            table.add(&line);
        }
    });
    table.print();
    if table.is_right() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
