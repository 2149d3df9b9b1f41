//! Runs the tests in parallel, counts skips with their reasons, and answers
//! the few options of libtest that people and tools use.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::panic::{self, AssertUnwindSafe};
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::{Skip, Test};

thread_local! {
    static LAST_PANIC: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// What the command line asked for.
pub struct Options {
    filters: Vec<String>,
    skips: Vec<String>,
    /// The lines of the file that `TESTS_DONE` names: tests that an earlier run, which came to no
    /// end, has results of.
    done: BTreeSet<String>,
    exact: bool,
    list: bool,
    ignored_only: bool,
    threads: usize,
}

impl Options {
    /// Reads libtest's options; those that mean nothing here are accepted and ignored.
    pub fn from_args() -> Self {
        let mut options = Self {
            filters: Vec::new(),
            skips: Vec::new(),
            done: done(),
            exact: false,
            list: false,
            ignored_only: false,
            threads: default_threads(),
        };
        let mut args = std::env::args().skip(1);
        while let Some(arg) = args.next() {
            match arg.as_str() {
                "--exact" => options.exact = true,
                "--list" => options.list = true,
                "--ignored" => options.ignored_only = true,
                "--skip" => options.skips.extend(args.next()),
                "--test-threads" => {
                    options.threads = args.next().and_then(|n| n.parse().ok()).unwrap_or(1)
                }
                "--format" | "--color" | "--logfile" => drop(args.next()),
                flag if flag.starts_with('-') => {
                    if let Some(n) = flag.strip_prefix("--test-threads=") {
                        options.threads = n.parse().unwrap_or(1);
                    }
                }
                filter => options.filters.push(filter.to_owned()),
            }
        }
        options
    }

    fn selects(&self, name: &str) -> bool {
        let hit = |pattern: &String| {
            if self.exact { name == pattern } else { name.contains(pattern.as_str()) }
        };
        !self.ignored_only
            && (self.filters.is_empty() || self.filters.iter().any(hit))
            && !self.skips.iter().any(hit)
            && !self.done.contains(name)
    }
}

fn done() -> BTreeSet<String> {
    let Some(path) = std::env::var_os("TESTS_DONE") else { return BTreeSet::new() };
    let text = std::fs::read_to_string(path).expect("read TESTS_DONE");
    text.lines().map(str::to_owned).collect()
}

/// Most of a test's time is spent waiting for the kernel, hence twice the processors.
fn default_threads() -> usize {
    2 * std::thread::available_parallelism().map_or(1, usize::from)
}

enum Verdict {
    Passed,
    Failed(String),
    Skipped(String),
}

struct Report {
    name: String,
    verdict: Verdict,
    took: Duration,
}

/// Runs what `options` select and prints one line per test and a summary.
pub fn run(options: &Options, tests: Vec<Test>) -> ExitCode {
    let tests: Vec<Test> = tests.into_iter().filter(|t| options.selects(&t.name)).collect();
    if options.list {
        for test in &tests {
            println!("{}: test", test.name);
        }
        return ExitCode::SUCCESS;
    }
    remember_panics();
    let started = Instant::now();
    let next = AtomicUsize::new(0);
    let reports = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..options.threads.clamp(1, tests.len().max(1)) {
            scope.spawn(|| {
                while let Some(test) = tests.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let report = carry_out(test);
                    announce(&report);
                    reports.lock().unwrap().push(report);
                }
            });
        }
    });
    summarise(&reports.into_inner().unwrap(), started.elapsed())
}

/// Keeps what panics say for [`take_panic`], instead of printing it.
pub fn remember_panics() {
    panic::set_hook(Box::new(|info| {
        LAST_PANIC.set(Some(info.to_string()));
    }));
}

/// What the last panic on this thread said, with its place.
pub fn take_panic() -> String {
    LAST_PANIC.take().unwrap_or_else(|| "panicked without a message".to_owned())
}

fn carry_out(test: &Test) -> Report {
    let started = Instant::now();
    let verdict = match panic::catch_unwind(AssertUnwindSafe(|| (test.body)())) {
        Ok(Ok(())) => Verdict::Passed,
        Ok(Err(Skip(reason))) => Verdict::Skipped(reason),
        Err(thrown) => match thrown.downcast::<Skip>() {
            Ok(skip) => Verdict::Skipped(skip.0),
            Err(_) => Verdict::Failed(take_panic()),
        },
    };
    Report { name: test.name.clone(), verdict, took: started.elapsed() }
}

fn announce(report: &Report) {
    let word = match &report.verdict {
        Verdict::Passed => "pass".to_owned(),
        Verdict::Failed(_) => "FAIL".to_owned(),
        Verdict::Skipped(reason) => format!("skip ({reason})"),
    };
    println!("{:>6} ms  {} ... {word}", report.took.as_millis(), report.name);
}

fn summarise(reports: &[Report], took: Duration) -> ExitCode {
    let mut passed = 0;
    let mut failures = Vec::new();
    let mut skips: BTreeMap<&str, usize> = BTreeMap::new();
    for report in reports {
        match &report.verdict {
            Verdict::Passed => passed += 1,
            Verdict::Failed(why) => failures.push((&report.name, why)),
            Verdict::Skipped(reason) => *skips.entry(reason).or_default() += 1,
        }
    }
    for (name, why) in &failures {
        println!("\n---- {name}\n{why}");
    }
    if !skips.is_empty() {
        println!("\nskipped:");
        for (reason, count) in &skips {
            println!("  {count:>3}  {reason}");
        }
    }
    if !failures.is_empty() {
        println!("\nfailed:");
        for (name, _) in &failures {
            println!("  {name}");
        }
    }
    let skipped: usize = skips.values().sum();
    println!("\ntook {:.1} s", took.as_secs_f64());
    println!("{passed} passed, {} failed, {skipped} skipped", failures.len());
    if failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
