//! What the verbs may cost (specs/70-budgets.md): counts, never times.
//!
//! A test that fails here says that a change has made a verb heavier. If that
//! is worth it, the number in `tests/budgets.table` is raised in the same
//! commit, which says why; if a verb has become lighter, the number is lowered.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use nix::mount::{MsFlags, mount};

use crate::cgroups::{directory_of, on_v1, v1_directory};
use crate::harness::trace::{Calls, strace};
use crate::harness::{
    Bundle, Container, Outcome, Sandbox, eventually, in_private_mounts, needs, tests,
};

tests![
    no_verb_makes_more_system_calls_than_its_budget,
    what_is_kept_of_a_container_is_within_its_budget,
    system_calls_do_not_grow_with_the_mounts_of_the_host,
    system_calls_do_not_grow_with_other_containers,
    list_takes_few_system_calls_per_container,
    a_container_starts_within_a_mebibyte_and_is_charged_little,
    v1_a_container_starts_within_a_mebibyte_and_is_charged_little,
];

const TABLE: &str = include_str!("../budgets.table");

/// The lines of the table by their first word: the numbers that follow.
fn table() -> BTreeMap<&'static str, Vec<usize>> {
    let lines = TABLE.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    lines
        .map(|line| {
            let mut words = line.split_whitespace();
            let name = words.next().expect("a name");
            (name, words.map(|word| word.parse().expect("a number")).collect())
        })
        .collect()
}

fn allowed(verb: &str) -> Calls {
    let table = table();
    let numbers = table.get(verb).unwrap_or_else(|| panic!("{verb} is not in the table"));
    Calls { command: numbers[0], others: numbers[1] }
}

/// One bundle through every verb, with what each took. The first one of a sandbox makes what all
/// its containers share.
fn life(sandbox: &Arc<Sandbox>, name: &str) -> Vec<(&'static str, Calls)> {
    let sleeper = Bundle::in_sandbox(sandbox, name).args(&["sleep", "1000"]);
    let id = sleeper.id().to_owned();
    let verb = |words: &[&str]| sandbox.count_calls(words);
    let mut taken = Vec::new();
    taken.push(("create", verb(&creation("create", &sleeper, &id))));
    let container = sleeper.adopt();
    taken.push(("state", verb(&["state", &id])));
    taken.push(("start", verb(&["start", &id])));
    taken.push(("exec", verb(&["exec", &id, "/bin/true"])));
    taken.push(("list", verb(&["list"])));
    taken.push(("kill", verb(&["kill", &id, "KILL"])));
    assert!(eventually(|| !container.alive()), "killed");
    container.wait();
    taken.push(("delete", verb(&["delete", &id])));
    let short = Bundle::in_sandbox(sandbox, &format!("{name}-run"));
    taken.push(("run", verb(&creation("run", &short, short.id()))));
    taken
}

/// The words of `create` or `run`, config.json written.
fn creation<'a>(verb: &'a str, bundle: &Bundle, id: &'a str) -> [&'a str; 4] {
    bundle.write();
    // Leaked: a handful of paths in a test.
    let dir: &'static str = Box::leak(bundle.dir().display().to_string().into_boxed_str());
    [verb, "--bundle", dir, id]
}

/// What systemd says, and when, is not ours to count; nor is what newuidmap does, and what is kept
/// of the ids that an ordinary user has.
fn countable() -> Outcome {
    needs::root()?;
    needs::cgroupfs()?;
    needs::cloison()
}

fn no_verb_makes_more_system_calls_than_its_budget() -> Outcome {
    countable()?;
    strace()?;
    let heavier: Vec<String> = life(&Sandbox::new(), "a")
        .into_iter()
        .filter_map(|(verb, took)| {
            let may = allowed(verb);
            let within = took.command <= may.command && took.others <= may.others;
            (!within).then(|| format!("{verb}: {took:?}, allowed are {may:?}"))
        })
        .collect();
    assert!(heavier.is_empty(), "heavier than in tests/budgets.table:\n{}", heavier.join("\n"));
    Ok(())
}

fn what_is_kept_of_a_container_is_within_its_budget() -> Outcome {
    countable()?;
    let container = Bundle::new().create();
    let sandbox = container.bundle().sandbox();
    let kept = bytes_below(&sandbox.root().join(container.id()), sandbox.path());
    let may = table()["kept-bytes"][0];
    assert!(kept <= may, "{kept} bytes in the state directory, allowed are {may}");
    Ok(())
}

/// Where the tests have their directories is not the runtime's to keep short: `place` counts as
/// nothing.
fn bytes_below(directory: &Path, place: &Path) -> usize {
    let entries = std::fs::read_dir(directory).expect("read the directory");
    let sizes = entries.map(|entry| {
        let entry = entry.expect("an entry");
        let about = entry.metadata().expect("stat");
        if about.is_dir() {
            return bytes_below(&entry.path(), place);
        }
        let text = std::fs::read(entry.path()).unwrap_or_default();
        let place = place.as_os_str().as_encoded_bytes();
        let times = text.windows(place.len()).filter(|part| *part == place).count();
        about.len() as usize - times * place.len()
    });
    sizes.sum()
}

fn system_calls_do_not_grow_with_the_mounts_of_the_host() -> Outcome {
    countable()?;
    strace()?;
    in_private_mounts(MsFlags::MS_PRIVATE, || {
        let sandbox = Sandbox::new();
        life(&sandbox, "first");
        let (few, place) = (life(&sandbox, "a"), sandbox.path().join("mounts"));
        for number in 0..50 {
            let point = place.join(number.to_string());
            std::fs::create_dir_all(&point).expect("make a mount point");
            mount(Some(&place), &point, None::<&str>, MsFlags::MS_BIND, None::<&str>)
                .expect("bind");
        }
        let many = life(&sandbox, "b");
        for number in 0..50 {
            nix::mount::umount(&place.join(number.to_string())).expect("unmount");
        }
        not_grown(&few, &many, "with 50 more mounts on the host");
    });
    Ok(())
}

fn system_calls_do_not_grow_with_other_containers() -> Outcome {
    countable()?;
    strace()?;
    let sandbox = Sandbox::new();
    let apart_from_list = |name: &str| {
        let mut taken = life(&sandbox, name);
        taken.retain(|(verb, _)| *verb != "list");
        taken
    };
    apart_from_list("first");
    let alone = apart_from_list("a");
    let _others = others(&sandbox, 5);
    not_grown(&alone, &apart_from_list("b"), "beside five others");
    Ok(())
}

/// Whether a signal or the end of a process is seen first is a race, worth a few calls.
const RACE: usize = 4;

#[track_caller]
fn not_grown(before: &[(&str, Calls)], after: &[(&str, Calls)], since: &str) {
    for ((verb, before), (_, after)) in before.iter().zip(after) {
        let grown = after.command > before.command + RACE || after.others > before.others + RACE;
        assert!(!grown, "{verb} {since}: {after:?}, before {before:?}");
    }
}

fn others(sandbox: &Arc<Sandbox>, count: usize) -> Vec<Container> {
    (0..count).map(|n| Bundle::in_sandbox(sandbox, &format!("other-{n}")).create()).collect()
}

fn list_takes_few_system_calls_per_container() -> Outcome {
    needs::cloison()?;
    strace()?;
    let sandbox = Sandbox::new();
    let some = others(&sandbox, 2);
    let before = sandbox.count_calls(&["list"]).command;
    let more: Vec<Container> =
        (2..7).map(|n| Bundle::in_sandbox(&sandbox, &format!("other-{n}")).create()).collect();
    let per_container = (sandbox.count_calls(&["list"]).command - before).div_ceil(more.len());
    let may = table()["list-per-container"][0];
    assert!(per_container <= may, "{per_container} system calls, allowed are {may}");
    drop(some);
    Ok(())
}

/// As engines limit it, and little enough that what the runtime leaves in it shows.
fn limited(limit: usize) -> Bundle {
    Bundle::new().args(&["sleep", "1000"]).set("/linux/resources/memory/limit", limit)
}

/// `peak` reads the most that a container's memory cgroup has been charged, in bytes.
fn starts_within_a_mebibyte(peak: impl Fn(&Container) -> String) {
    limited(1 << 20).start();
    let container = limited(256 << 20).create();
    let charged: usize = peak(&container).trim().parse().expect("a number");
    let may = table()["charged-KiB"][0] * 1024;
    assert!(charged <= may, "{charged} bytes are charged when it is created, allowed are {may}");
}

fn a_container_starts_within_a_mebibyte_and_is_charged_little() -> Outcome {
    countable()?;
    needs::controller("memory")?;
    starts_within_a_mebibyte(|container| {
        let cgroup = directory_of(container.pid);
        // Linux < 5.19 has no peak; what is charged now is close.
        let files = ["memory.peak", "memory.current"].map(|name| cgroup.join(name));
        let file = files.iter().find(|file| file.exists()).expect("a file");
        std::fs::read_to_string(file).expect("read")
    });
    Ok(())
}

fn v1_a_container_starts_within_a_mebibyte_and_is_charged_little() -> Outcome {
    needs::cloison()?;
    on_v1(&["memory"], || {
        starts_within_a_mebibyte(|container| {
            let file = v1_directory(container, "memory").join("memory.max_usage_in_bytes");
            std::fs::read_to_string(file).expect("read")
        });
    })
}
