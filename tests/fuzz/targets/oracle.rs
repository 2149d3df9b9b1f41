//! What libseccomp's own compiler makes of a profile.

use std::fs::File;
use std::io::{Read, Seek};
use std::str::FromStr;

use cloison::plan::seccomp::{Action, Comparison, Operator, Profile, Rule};
use cloison::sys::fd::memfd;
use cloison::sys::seccomp::SockFilter;
use libseccomp::error::SeccompError;
use libseccomp::{
    ScmpAction, ScmpArch, ScmpArgCompare, ScmpCompareOp, ScmpFilterContext, ScmpSyscall,
};

/// libseccomp's API level that knows every action: set, so that the library
/// does not probe the running kernel for it. Level 6 came with 2.5.0.
const API_LEVEL: u32 = 6;

/// libseccomp's attribute for the shape of programs: a binary tree.
const BINARY_TREE: u32 = 2;

/// The program as runc has it made, without calls that the library does not know. It refuses
/// some profiles.
pub fn compile(profile: &Profile) -> Result<Vec<SockFilter>, SeccompError> {
    libseccomp::set_api(API_LEVEL)?;
    let mut context = ScmpFilterContext::new(action(profile.default))?;
    context.set_ctl_optimize(BINARY_TREE)?;
    for (_, architecture) in &profile.architectures {
        context.add_arch(ScmpArch::from_str(architecture.name)?)?;
    }
    for rule in profile.rules.iter().filter(|rule| rule.action != profile.default) {
        add(&mut context, rule)?;
    }
    export(&context)
}

fn add(context: &mut ScmpFilterContext, rule: &Rule) -> Result<(), SeccompError> {
    for name in &rule.names {
        let Ok(syscall) = ScmpSyscall::from_name(name) else { continue };
        for alternative in &rule.alternatives {
            let comparisons: Vec<_> = alternative.iter().map(compare).collect();
            context.add_rule_conditional(action(rule.action), syscall, &comparisons)?;
        }
    }
    Ok(())
}

fn action(action: Action) -> ScmpAction {
    match action {
        Action::KillThread => ScmpAction::KillThread,
        Action::KillProcess => ScmpAction::KillProcess,
        Action::Trap => ScmpAction::Trap,
        Action::Errno(errno) => ScmpAction::Errno(errno.into()),
        Action::Trace(message) => ScmpAction::Trace(message),
        Action::Log => ScmpAction::Log,
        Action::Notify => ScmpAction::Notify,
        Action::Allow => ScmpAction::Allow,
    }
}

fn compare(comparison: &Comparison) -> ScmpArgCompare {
    let operator = match comparison.operator {
        Operator::NotEqual => ScmpCompareOp::NotEqual,
        Operator::Less => ScmpCompareOp::Less,
        Operator::LessOrEqual => ScmpCompareOp::LessOrEqual,
        Operator::Equal => ScmpCompareOp::Equal,
        Operator::GreaterOrEqual => ScmpCompareOp::GreaterEqual,
        Operator::Greater => ScmpCompareOp::Greater,
        Operator::MaskedEqual { mask } => ScmpCompareOp::MaskedEqual(mask),
    };
    ScmpArgCompare::new(comparison.argument.into(), operator, comparison.value)
}

fn export(context: &ScmpFilterContext) -> Result<Vec<SockFilter>, SeccompError> {
    let mut file = File::from(memfd(c"seccomp").expect("a memory file"));
    context.export_bpf(&file)?;
    let mut bytes = Vec::new();
    file.rewind().expect("rewind");
    file.read_to_end(&mut bytes).expect("read");
    let instruction = |&[c0, c1, jt, jf, k0, k1, k2, k3]: &[u8; 8]| SockFilter {
        code: u16::from_ne_bytes([c0, c1]),
        jt,
        jf,
        k: u32::from_ne_bytes([k0, k1, k2, k3]),
    };
    Ok(bytes.as_chunks::<8>().0.iter().map(instruction).collect())
}
