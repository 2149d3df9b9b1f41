//! Device rules as programs for the kernel.

use cloison::plan::device_filter::{
    Access, DEFAULT_RULES, Kind, Rule, compile, exceptions, resolve,
};
use serde_json::json;

use super::bytes::Bytes;
use super::ebpf;

/// The program decides as the rules read: the last one that covers an access
/// decides it, and what none covers is denied. So does what cgroup v1 is told.
pub fn hold(data: &[u8]) {
    let mut bytes = Bytes::new(data);
    let numbers = [-1, 0, 1, 3, 5, 8, 136, i64::from(i32::MAX)];
    let letters = ["r", "w", "m", "rw", "rm", "wm", "rwm"];
    let mut asked = Vec::new();
    while !bytes.is_empty() && asked.len() < 32 {
        asked.push(json!({
            "allow": bytes.flag(),
            "type": bytes.of(&["a", "b", "c", "u"]),
            "major": bytes.of(&numbers),
            "minor": bytes.of(&numbers),
            "access": bytes.of(&letters),
        }));
    }
    let asked = serde_json::from_value::<Vec<_>>(json!(asked)).expect("rules");
    let rules = resolve(&asked).expect("rules without a fault");
    assert_eq!(rules.len(), 1 + asked.len() + DEFAULT_RULES.len());
    let program = compile(&rules);
    ebpf::verify(&program);
    let reduced = exceptions(&rules).ok().map(|state| {
        let start = Rule { allow: state.allow, ..rules[0] };
        [vec![start], state.list].concat()
    });
    for (kind, number) in [(Kind::Block, 1), (Kind::Char, 2)] {
        for major in [0, 1, 3, 5, 8, 136, 137, i32::MAX as u32] {
            for minor in [0, 3, 5, 9, i32::MAX as u32] {
                for wanted in 1..8 {
                    let context = [(u32::from(wanted) << 16) | number, major, minor];
                    let access = Access::from_bits(wanted);
                    let allowed = decided(&rules, kind, major, minor, access);
                    let answer = ebpf::run(&program, context);
                    assert_eq!(answer, u64::from(allowed), "{kind:?} {major}:{minor} {access}");
                    // The kernel asks v1 for each access on its own.
                    if let (Some(reduced), 1 | 2 | 4) = (&reduced, wanted) {
                        assert_eq!(decided(reduced, kind, major, minor, access), allowed);
                    }
                }
            }
        }
    }
}

fn decided(rules: &[Rule], kind: Kind, major: u32, minor: u32, wanted: Access) -> bool {
    let covers = |rule: &&Rule, one: Access| {
        (rule.kind == Kind::Any || rule.kind == kind)
            && rule.major.is_none_or(|number| number == major)
            && rule.minor.is_none_or(|number| number == minor)
            && !(rule.access & one).is_empty()
    };
    let each = [Access::READ, Access::WRITE, Access::MKNOD];
    each.into_iter()
        .filter(|one| !(wanted & *one).is_empty())
        .all(|one| rules.iter().rev().find(|rule| covers(rule, one)).is_some_and(|rule| rule.allow))
}
