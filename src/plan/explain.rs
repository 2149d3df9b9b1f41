//! A plan as text: what `cloison explain` prints and golden tests read.
//!
//! One section for each part of the plan, in the order in which it is carried out, left out when
//! there is nothing in it. Numbers are printed as the kernel knows them, with their names where
//! they have one.

use super::mounts::{Content, CopyUp, IdMap, Links, Mount};
use super::namespaces::Kind;
use super::seccomp::Profile;
use super::{Keyring, Plan, ProcessPlan, caps, rootfs};
use crate::error::one_line;
use crate::sys::fd::{S_IFBLK, S_IFCHR, S_IFMT};
use crate::sys::mount::{AttrChange, Reach, attr, propagation};
use std::ffi::{CStr, CString};
use std::fmt::{self, Write};

/// The text of a plan.
pub fn text(plan: &Plan) -> String {
    let mut page = Page::default();
    // Writing to a String cannot fail.
    let _ = write(plan, &mut page);
    page.text
}

#[derive(Default)]
struct Page {
    text: String,
}

impl Page {
    fn section(&mut self, name: &str) -> fmt::Result {
        writeln!(self.text, "{name}")
    }

    /// A name out of a config can neither break the line nor drive a terminal.
    fn line(&mut self, line: impl fmt::Display) -> fmt::Result {
        writeln!(self.text, "  {}", one_line(&line.to_string()))
    }
}

fn write(plan: &Plan, page: &mut Page) -> fmt::Result {
    page.section(&format!("container {}", plan.id))?;
    page.line(format_args!("bundle {}", plan.bundle.display()))?;
    page.line(format_args!("spec {}", plan.oci_version))?;
    for (key, value) in &plan.annotations {
        page.line(format_args!("annotation {key}={value}"))?;
    }
    for warning in &plan.warnings {
        page.line(format_args!("warning {warning}"))?;
    }
    cgroup(plan, page)?;
    resctrl(plan, page)?;
    namespaces(plan, page)?;
    root(plan, page)?;
    mounts(plan, page)?;
    devices(plan, page)?;
    hooks(plan, page)?;
    restrictions(plan, page)?;
    if let Some(wanted) = &plan.process {
        process(wanted, plan, page)?;
    }
    if let Some(profile) = &plan.seccomp {
        seccomp(profile, page)?;
    }
    Ok(())
}

fn cgroup(plan: &Plan, page: &mut Page) -> fmt::Result {
    use super::cgroup::Place;
    page.section("cgroup")?;
    match &plan.cgroup.place {
        Place::Unified { mount, path } => {
            page.line(format_args!("make {}", mount.join(path.as_str()).display()))?;
        }
        Place::Legacy { dirs, unified } => {
            for dir in dirs {
                page.line(format_args!("make {}", dir.mount.join(dir.path.as_str()).display()))?;
            }
            if let Some((mount, path)) = unified {
                page.line(format_args!("make {}", mount.join(path.as_str()).display()))?;
            }
        }
        Place::Scope(scope) => {
            page.line(format_args!("scope {} in {}", scope.unit, scope.slice))?;
            for property in &scope.properties {
                page.line(format_args!("property {}={:?}", property.name, property.value))?;
            }
        }
        Place::Disabled => page.line("none")?,
    }
    for write in plan.cgroup.unified.iter().chain(&plan.cgroup.legacy) {
        page.line(format_args!("write {} {:?} ({})", write.file, write.value, write.pointer))?;
    }
    if let Some(owner) = plan.cgroup.owner {
        page.line(format_args!("handed over to user {owner}"))?;
    }
    for rule in &plan.cgroup.devices.rules {
        page.line(format_args!("device {rule}"))?;
    }
    if !plan.cgroup.devices.program.is_empty() {
        let count = plan.cgroup.devices.program.len();
        page.line(format_args!("device filter of {count} instructions"))?;
    }
    Ok(())
}

fn resctrl(plan: &Plan, page: &mut Page) -> fmt::Result {
    use super::resctrl::Class;
    let Some(asked) = &plan.resctrl else { return Ok(()) };
    page.section("class of service")?;
    match &asked.class {
        Class::Own(name) => {
            page.line(format_args!("make {}", asked.mount.join(name).display()))?;
        }
        Class::Named(name) => {
            page.line(format_args!("use {}", asked.mount.join(name).display()))?;
        }
        Class::Default => page.line(format_args!("use {}", asked.mount.display()))?,
    }
    for schema in &asked.schemata {
        page.line(format_args!("write {} to schemata", schema.text))?;
    }
    if let Some(name) = &asked.monitor {
        page.line(format_args!("make mon_groups/{name}"))?;
    }
    Ok(())
}

fn namespaces(plan: &Plan, page: &mut Page) -> fmt::Result {
    page.section("namespaces")?;
    for kind in Kind::ALL {
        let name = kind.name();
        match plan.namespaces.joined(kind) {
            Some(join) => page.line(format_args!("{name} joined at {}", shown(&join.path)))?,
            None if plan.namespaces.is_new(kind) => page.line(format_args!("{name} new"))?,
            None => page.line(format_args!("{name} of the caller"))?,
        }
    }
    if let Some(maps) = &plan.id_maps {
        for (what, ranges) in [("uid", &maps.uids), ("gid", &maps.gids)] {
            for range in ranges {
                page.line(format_args!(
                    "{what} {} is {} outside, {} ids",
                    range.inside, range.outside, range.count
                ))?;
            }
        }
    }
    for offset in &plan.time_offsets {
        page.line(format_args!(
            "clock {} ahead by {} s and {} ns",
            offset.clock, offset.secs, offset.nanosecs
        ))?;
    }
    for device in &plan.net_devices {
        page.line(format_args!(
            "network device {} becomes {}",
            shown(&device.host_name),
            shown(device.name.text())
        ))?;
    }
    for (what, name) in [("hostname", &plan.hostname), ("domainname", &plan.domainname)] {
        if let Some(name) = name {
            page.line(format_args!("{what} {}", shown(name)))?;
        }
    }
    match &plan.keyring {
        Keyring::New(name) => page.line(format_args!("session keyring {}", shown(name))),
        Keyring::Inherit => page.line("session keyring of the caller"),
    }
}

fn root(plan: &Plan, page: &mut Page) -> fmt::Result {
    let rootfs = &plan.rootfs;
    page.section("root")?;
    page.line(format_args!("path {}", shown(&rootfs.path)))?;
    if let Some(change) = rootfs.propagation {
        page.line(format_args!("propagation {}", propagation_name(change)))?;
    }
    if rootfs.readonly {
        page.line("read-only")?;
    }
    match rootfs.switch {
        _ if rootfs.beginning == rootfs::Beginning::RootAlone => page.line(
            "alone in its mount namespace from the beginning, else (before Linux 7.0) switch by \
             pivot_root",
        ),
        rootfs::Switch::PivotRoot => page.line("switch by pivot_root"),
        rootfs::Switch::MoveMount => page.line("switch by moving the mount"),
    }
}

fn mounts(plan: &Plan, page: &mut Page) -> fmt::Result {
    if plan.mounts.is_empty() {
        return Ok(());
    }
    page.section("mounts")?;
    plan.mounts.iter().try_for_each(|mount| page.line(ShownMount(mount)))
}

struct ShownMount<'a>(&'a Mount);

impl fmt::Display for ShownMount<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mount = self.0;
        write!(f, "{} ", mount.destination)?;
        match &mount.content {
            Content::Bind { source, reach: Reach::Single } => write!(f, "bind {}", shown(source))?,
            Content::Bind { source, reach: Reach::Tree } => write!(f, "rbind {}", shown(source))?,
            Content::OwnCgroup(own) => {
                write!(f, "bind of {}", shown(own.path(true)))?;
                if own.made.is_some() {
                    f.write_str(", the container's cgroup")?;
                }
            }
            Content::Existing => f.write_str("as it is")?,
            Content::Link { target } => write!(f, "link to {}", shown(target))?,
            Content::FileSystem(fs) => {
                write!(f, "{} of {}", shown(&fs.fstype), shown(&fs.source))?;
                for parameter in &fs.parameters {
                    write!(f, " {}", shown(&parameter.key))?;
                    if let Some(value) = &parameter.value {
                        write!(f, "={}", shown(value))?;
                    }
                }
                if fs.copy_up == CopyUp::Yes {
                    f.write_str(" with a copy of what it covers")?;
                }
            }
        }
        for (change, reach) in
            [(mount.attributes, Reach::Single), (mount.tree_attributes, Reach::Tree)]
        {
            attributes(f, change, reach)?;
        }
        if mount.sealed {
            f.write_str(" +ro in the end")?;
        }
        for &change in &mount.propagation {
            write!(f, " {}", propagation_name(change))?;
        }
        if let Some(idmap) = &mount.idmap {
            idmapped(f, idmap)?;
        }
        if mount.links == Links::Refuse {
            f.write_str(" through no link")?;
        }
        write!(f, " (/mounts/{})", mount.index)
    }
}

fn idmapped(f: &mut fmt::Formatter<'_>, idmap: &IdMap) -> fmt::Result {
    f.write_str(if idmap.reach == Reach::Tree { " ridmap" } else { " idmap" })?;
    let Some(maps) = &idmap.maps else { return f.write_str(" as the container") };
    for (what, ranges) in [("uid", &maps.uids), ("gid", &maps.gids)] {
        for range in ranges {
            write!(f, " {what}:{}:{}:{}", range.inside, range.outside, range.count)?;
        }
    }
    Ok(())
}

const ATTRIBUTES: [(u64, &str); 8] = [
    (attr::RDONLY, "ro"),
    (attr::NOSUID, "nosuid"),
    (attr::NODEV, "nodev"),
    (attr::NOEXEC, "noexec"),
    (attr::NOATIME, "noatime"),
    (attr::STRICTATIME, "strictatime"),
    (attr::NODIRATIME, "nodiratime"),
    (attr::NOSYMFOLLOW, "nosymfollow"),
];

fn attributes(f: &mut fmt::Formatter<'_>, change: AttrChange, reach: Reach) -> fmt::Result {
    let below = if reach == Reach::Tree { "r" } else { "" };
    for (bit, name) in ATTRIBUTES {
        if change.set & bit != 0 {
            write!(f, " +{below}{name}")?;
        } else if change.clear & bit != 0 && bit & attr::ATIME_MASK == 0 {
            write!(f, " -{below}{name}")?;
        }
    }
    if change.clear & attr::ATIME_MASK != 0 && change.set & attr::ATIME_MASK == 0 {
        write!(f, " +{below}relatime")?;
    }
    Ok(())
}

fn propagation_name((kind, reach): (u64, Reach)) -> &'static str {
    match (kind, reach) {
        (propagation::SHARED, Reach::Single) => "shared",
        (propagation::SHARED, Reach::Tree) => "rshared",
        (propagation::SLAVE, Reach::Single) => "slave",
        (propagation::SLAVE, Reach::Tree) => "rslave",
        (propagation::PRIVATE, Reach::Single) => "private",
        (propagation::PRIVATE, Reach::Tree) => "rprivate",
        (_, Reach::Single) => "unbindable",
        (_, Reach::Tree) => "runbindable",
    }
}

fn devices(plan: &Plan, page: &mut Page) -> fmt::Result {
    if plan.devices.devices.is_empty() {
        return Ok(());
    }
    page.section("devices")?;
    for device in &plan.devices.devices {
        let kind = match device.mode & S_IFMT {
            S_IFCHR => 'c',
            S_IFBLK => 'b',
            _ => 'p',
        };
        page.line(format_args!(
            "{} {kind} {}:{} mode {:o} owner {}:{}",
            device.path,
            major(device.number),
            minor(device.number),
            device.mode & !S_IFMT,
            device.uid,
            device.gid
        ))?;
    }
    Ok(())
}

fn major(number: u64) -> u64 {
    ((number >> 32) & 0xffff_f000) | ((number >> 8) & 0xfff)
}

fn minor(number: u64) -> u64 {
    ((number >> 12) & 0xffff_ff00) | (number & 0xff)
}

fn hooks(plan: &Plan, page: &mut Page) -> fmt::Result {
    let all: Vec<_> =
        super::hooks::Point::ALL.into_iter().flat_map(|point| plan.hooks.at(point)).collect();
    if all.is_empty() {
        return Ok(());
    }
    page.section("hooks")?;
    for hook in all {
        let timeout =
            hook.timeout.map_or_else(String::new, |t| format!(" within {} ms", t.as_millis()));
        page.line(format_args!(
            "{} {}{} ({})",
            hook.pointer.point.name(),
            words(std::iter::once(&hook.path).chain(hook.args.iter().skip(1))),
            timeout,
            hook.pointer
        ))?;
    }
    Ok(())
}

fn restrictions(plan: &Plan, page: &mut Page) -> fmt::Result {
    if plan.sysctls.is_empty() && plan.readonly_paths.is_empty() && plan.masked_paths.is_empty() {
        return Ok(());
    }
    page.section("restrictions")?;
    for sysctl in &plan.sysctls {
        page.line(format_args!("sysctl {} = {}", shown(&sysctl.path), shown(&sysctl.value)))?;
    }
    for path in &plan.readonly_paths {
        page.line(format_args!("read-only {path}"))?;
    }
    for path in &plan.masked_paths {
        page.line(format_args!("masked {path}"))?;
    }
    Ok(())
}

fn process(wanted: &ProcessPlan, plan: &Plan, page: &mut Page) -> fmt::Result {
    let process = &wanted.process;
    page.section("process")?;
    page.line(format_args!("args {}", words(process.args.iter())))?;
    for candidate in &process.candidates {
        page.line(format_args!("try {}", shown(candidate)))?;
    }
    for entry in &process.env {
        page.line(format_args!("env {}", shown(entry)))?;
    }
    if process.home_missing {
        page.line("env HOME from /etc/passwd")?;
    }
    page.line(format_args!("cwd {}", shown(&process.cwd)))?;
    page.line(format_args!("user {}:{} umask {:03o}", process.uid, process.gid, process.umask))?;
    if wanted.keep_groups {
        page.line("groups of the caller")?;
    }
    if !process.additional_gids.is_empty() {
        page.line(format_args!("groups {:?}", process.additional_gids))?;
    }
    if let Some(terminal) = process.terminal {
        match terminal.size {
            Some(size) => {
                page.line(format_args!(
                    "terminal of {} rows and {} columns",
                    size.rows, size.columns
                ))?;
            }
            None => page.line("terminal")?,
        }
    }
    for (name, mask) in [
        ("bounding", wanted.caps.bounding),
        ("effective", wanted.caps.effective),
        ("permitted", wanted.caps.permitted),
        ("inheritable", wanted.caps.inheritable),
        ("ambient", wanted.caps.ambient),
    ] {
        let names: Vec<_> = caps::names(mask).collect();
        page.line(
            format_args!("{name} capabilities {mask:#x} {}", names.join(" "))
                .to_string()
                .trim_end(),
        )?;
    }
    for limit in &wanted.rlimits {
        page.line(format_args!("rlimit {} {} {}", limit.resource, limit.soft, limit.hard))?;
    }
    if process.no_new_privileges {
        page.line("no new privileges")?;
    }
    if let Some(score) = process.oom_score_adj {
        page.line(format_args!("oom_score_adj {score}"))?;
    }
    if let Some(persona) = wanted.personality {
        page.line(format_args!("personality {persona:#x}"))?;
    }
    if let Some(policy) = &wanted.scheduler {
        page.line(format_args!("{policy:?}"))?;
    }
    if let Some(priority) = &wanted.io_priority {
        page.line(format_args!("i/o priority {:#x}", priority.0))?;
    }
    if let Some(policy) = &wanted.memory_policy {
        page.line(format_args!("{policy:?}"))?;
    }
    if let Some(profile) = &wanted.lsm.apparmor {
        page.line(format_args!("apparmor {}", String::from_utf8_lossy(profile)))?;
    }
    if let Some(label) = &wanted.lsm.selinux {
        page.line(format_args!("selinux {}", shown(label)))?;
    }
    if plan.descriptors.end() > 3 {
        page.line(format_args!("keeps descriptors 3 to {}", plan.descriptors.end() - 1))?;
    }
    Ok(())
}

fn seccomp(profile: &Profile, page: &mut Page) -> fmt::Result {
    page.section("seccomp")?;
    page.line(format_args!("default {:?}", profile.default))?;
    page.line(format_args!("flags {:#x}", profile.flags))?;
    if let Some(listener) = &profile.listener {
        page.line(format_args!("listener goes to {}", shown(&listener.path)))?;
    }
    for (_, architecture) in &profile.architectures {
        page.line(format_args!("architecture {}", architecture.name))?;
    }
    for rule in &profile.rules {
        page.line(format_args!("{:?} {}", rule.action, rule.names.join(" ")))?;
        for alternative in &rule.alternatives {
            for comparison in alternative {
                page.line(format_args!(
                    "  if argument {} {:?} {:#x}",
                    comparison.argument, comparison.operator, comparison.value
                ))?;
            }
        }
    }
    Ok(())
}

fn shown(text: &CStr) -> String {
    text.to_string_lossy().escape_debug().to_string()
}

fn words<'a>(words: impl Iterator<Item = &'a CString>) -> String {
    words.map(|word| format!("{:?}", word.to_string_lossy())).collect::<Vec<_>>().join(" ")
}
