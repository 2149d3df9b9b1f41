//! One trial: one blow at one system call, and what came of it.

use std::panic::{AssertUnwindSafe, catch_unwind};

use nix::errno::Errno;

use super::scene::{Shape, Stage, Verb, reap, settled};
use super::tracer::{Blow, Call, Target, Trace, trace};
use super::{errors, names};

/// The number of the container's first process among those of a create.
const INIT: usize = 1;

/// What came of a trial.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The call was not made this time, or another one was in its place.
    NotReached,
    /// The verb was killed, or has failed as it should.
    Refused(Sentence),
    /// The verb has done all it was asked for.
    Succeeded,
    /// It gave up for want of memory, and left nothing.
    OutOfMemory,
    /// Something is not as it should be.
    Wrong(Vec<String>),
}

/// What the error sentence names, for calls that failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sentence {
    /// What was done, and why it failed.
    pub cause: bool,
    /// The path of the call; none for calls without one.
    pub path: Option<bool>,
}

/// A scene that trials can be made in.
pub struct Theatre {
    verb: Verb,
    shape: Shape,
    stage: Option<Stage>,
    /// What the verb has done when nothing happened.
    expected: String,
    /// The system calls that it made then.
    pub calls: Vec<Vec<i64>>,
}

impl Theatre {
    /// Runs the verb without harm, to know what is right.
    pub fn open(verb: Verb, shape: Shape) -> Result<Self, String> {
        let mut theatre =
            Self { verb, shape, stage: None, expected: String::new(), calls: Vec::new() };
        // Twice, as the first time may fill a cache.
        for _ in 0..2 {
            let stage = theatre.stage();
            let seen = play(&stage, None);
            if seen.code != Some(verb.success()) {
                return Err(format!("{}: {}", stage.describe(), stage.stderr()));
            }
            theatre.expected = stage.done()?;
            theatre.calls =
                seen.calls.iter().map(|all| all.iter().map(|c| c.number).collect()).collect();
            let problems = theatre.clean_up(&stage, &seen);
            if !problems.is_empty() {
                return Err(problems.join("; "));
            }
            theatre.stage = Some(stage);
        }
        Ok(theatre)
    }

    fn stage(&mut self) -> Stage {
        self.stage.take().unwrap_or_else(|| Stage::new(self.verb, self.shape))
    }

    /// A new one whose image is as a run leaves it, which is what the expected outcome comes from.
    fn stage_like_the_first(&self) -> Stage {
        let stage = Stage::new(self.verb, self.shape);
        let seen = play(&stage, None);
        let _ = stage.done();
        let _ = self.clean_up(&stage, &seen);
        stage
    }

    /// Every trial that there is: first all kills, then all errors.
    pub fn targets(&self) -> (Vec<Target>, Vec<Target>) {
        let (mut kills, mut faults) = (Vec::new(), Vec::new());
        for (process, calls) in self.calls.iter().enumerate() {
            for (n, number) in calls.iter().enumerate() {
                kills.push(Target { process, n, blow: Blow::Kill });
                let errors = errors::fitting(*number).iter();
                faults.extend(errors.map(|e| Target { process, n, blow: Blow::Fail(*e) }));
            }
        }
        (kills, faults)
    }

    /// Makes one trial.
    pub fn attempt(&mut self, target: Target) -> (Verdict, String) {
        let stage = self.stage.take().unwrap_or_else(|| self.stage_like_the_first());
        let tried = catch_unwind(AssertUnwindSafe(|| {
            let seen = play(&stage, Some(target));
            let verdict = self.judge(&stage, target, &seen);
            (verdict, format!("{}: {:?}", describe(&stage, target, &seen), stage.stderr()))
        }));
        let (verdict, text) = tried.unwrap_or_else(|_| {
            let why = super::harness::runner::take_panic();
            (Verdict::Wrong(vec![why]), format!("{} {target:?}", stage.describe()))
        });
        if matches!(verdict, Verdict::Wrong(_)) {
            // What it left is taken away with it.
            let _ = catch_unwind(AssertUnwindSafe(|| drop(stage)));
        } else {
            self.stage = Some(stage);
        }
        (verdict, text)
    }

    fn judge(&self, stage: &Stage, target: Target, seen: &Trace) -> Verdict {
        let mut wrong = Vec::new();
        let stderr = stage.stderr();
        let mut verdict = Verdict::Refused(Sentence::default());
        let fault = match target.blow {
            Blow::Fail(errno) => Some(errno),
            Blow::Kill => None,
        };
        if seen.hung {
            wrong.push("it did not end".to_owned());
        } else if seen.code == Some(self.verb.success()) && self.is_past_its_word(target, seen) {
            verdict = Verdict::NotReached;
        } else if seen.code == Some(self.verb.success()) {
            match stage.done() {
                Ok(done) if done == self.expected => verdict = Verdict::Succeeded,
                Ok(done) => wrong.push(format!("false success: {}", diff(&self.expected, &done))),
                Err(why) => wrong.push(format!("false success: {why}")),
            }
        } else if seen.code.is_none() && (fault.is_some() || target.process > 0) {
            // Neither the C library at its start nor the standard library has another answer.
            let allocates = |call: &Call| matches!(call.number, libc::SYS_brk | libc::SYS_mmap);
            if seen.hit.as_ref().is_some_and(allocates) {
                verdict = Verdict::OutOfMemory;
            } else {
                wrong.push(format!("ended by a signal: {stderr}"));
            }
        } else if stderr.contains("error while loading shared libraries") {
            verdict = Verdict::OutOfMemory;
        } else if fault.is_some() || target.process > 0 {
            if let Err(why) = stage.undone() {
                wrong.push(why);
            }
            verdict = Verdict::Refused(self.sentence(&stderr, fault, seen, &mut wrong));
        }
        if seen.hit.is_none() && wrong.is_empty() {
            verdict = Verdict::NotReached;
        }
        wrong.extend(self.clean_up(stage, seen));
        if wrong.is_empty() { verdict } else { Verdict::Wrong(wrong) }
    }

    /// Whether init had told create all that it has to tell when it was killed: what becomes of it
    /// from then on create may or may not see before its end.
    fn is_past_its_word(&self, target: Target, seen: &Trace) -> bool {
        let said = |number: &&i64| **number == libc::SYS_sendmsg;
        let before = seen.calls.get(target.process).into_iter().flatten().take(target.n);
        let before: Vec<i64> = before.map(|call| call.number).collect();
        self.verb == Verb::Create
            && target.process == INIT
            && target.blow == Blow::Kill
            && self.calls.get(INIT).is_some_and(|all| {
                all.iter().filter(said).count() == before.iter().filter(said).count()
            })
    }

    fn sentence(
        &self,
        stderr: &str,
        fault: Option<Errno>,
        seen: &Trace,
        wrong: &mut Vec<String>,
    ) -> Sentence {
        let last = stderr.trim_end().lines().last().unwrap_or_default();
        if last.is_empty() {
            wrong.push("it failed without a word".to_owned());
        }
        if last.contains("panicked") || stderr.contains("RUST_BACKTRACE") {
            wrong.push(format!("panicked: {stderr}"));
        }
        let Some(errno) = fault else { return Sentence { cause: true, path: None } };
        let cause = last.to_lowercase().contains(&errno.desc().to_lowercase());
        let path = seen.hit.as_ref().and_then(|call| call.path.as_deref());
        let path = path.and_then(|path| path.rsplit('/').find(|part| !part.is_empty()));
        let path = path.filter(|part| !matches!(*part, "." | "..") && part.parse::<i32>().is_err());
        Sentence { cause, path: path.filter(|_| cause).map(|part| last.contains(part)) }
    }

    /// Asks what is, deletes it, and looks for what is left.
    fn clean_up(&self, stage: &Stage, seen: &Trace) -> Vec<String> {
        let mut wrong = Vec::new();
        let state = stage.state();
        let status = state.as_ref().and_then(|state| state["status"].as_str());
        let listed = stage.listed();
        // Between the two an init that was left alone may have ended.
        let ends = |one: Option<&str>| one.is_none() || one == Some("stopped");
        // Or one that was told to start, and was left alone then, has come to its program.
        let starts = status == Some("created") && listed.as_deref() == Some("running");
        if listed.as_deref() != status && !ends(listed.as_deref()) && !starts {
            wrong.push(format!("state says {status:?}, list {listed:?}"));
        }
        match status {
            None | Some("stopped") => {
                let left = settled(|| stage.processes());
                if !left.is_empty() {
                    wrong.push(format!("{status:?}, but there are {left:?}"));
                }
            }
            Some("creating") => {
                // Until init, which has its lock, has ended with the launcher.
                let still = || stage.state().is_some_and(|state| state["status"] == "creating");
                let left = settled(|| still().then(String::new).into_iter().collect());
                if !left.is_empty() {
                    wrong.push("nobody creates it, but state says so".to_owned());
                }
            }
            Some(_) => {
                let pid = state.as_ref().and_then(|s| s["pid"].as_i64()).unwrap_or(0);
                let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
                let again = stage.state();
                let again = again.as_ref().and_then(|state| state["status"].as_str());
                let gone = stat.is_empty() || stat.contains(") Z");
                if gone && again == status {
                    wrong.push(format!("{status:?}, but process {pid} is gone: {stat:?}"));
                }
            }
        }
        let deleted = stage.plainly("delete", &["--force"]);
        let unknown = state.is_none() && deleted.stderr.contains("does not exist");
        if deleted.code != 0 && !unknown {
            wrong.push(format!("delete --force: {}", deleted.stderr.trim()));
        }
        let left = settled(|| stage.left());
        if !left.is_empty() {
            wrong.push(format!("left after delete (status was {status:?}): {left:?}"));
        }
        if !wrong.is_empty() {
            wrong.push(format!("status {:?}, stderr {:?}", seen.code, stage.stderr()));
        }
        reap();
        wrong
    }
}

fn play(stage: &Stage, target: Option<Target>) -> Trace {
    reap();
    stage.prepare();
    let others = stage.others();
    let seen = trace(stage.spawn(), &others, target);
    // One that was born at the end of the trace stands still, with everything it has inherited.
    reap();
    seen
}

fn describe(stage: &Stage, target: Target, seen: &Trace) -> String {
    let who = match target.process {
        0 => "launcher".to_owned(),
        1 => "init".to_owned(),
        n => format!("process {n}"),
    };
    let call = match &seen.hit {
        Some(call) => format!("{} {}", names::of(call.number), call.path.as_deref().unwrap_or("")),
        None => "not reached".to_owned(),
    };
    let blow = match target.blow {
        Blow::Kill => "SIGKILL".to_owned(),
        Blow::Fail(errno) => errno.to_string(),
    };
    format!("{}: {who} call {} ({call}): {blow}", stage.describe(), target.n)
}

/// The first line that differs.
fn diff(expected: &str, done: &str) -> String {
    let mut lines = expected.lines().zip(done.lines());
    match lines.find(|(one, other)| one != other) {
        Some((one, other)) => format!("{other:?} in place of {one:?}"),
        None => format!("{done:?} in place of {expected:?}"),
    }
}
