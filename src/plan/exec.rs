//! Another process for a container that is there: its template, changed by what the caller asks
//! for, as the kernel's words.

use super::{Descriptors, Error, Keyring, Means, ProcessPlan, resolve_process};
use crate::host::Grantable;
use crate::id::ContainerId;
use crate::spec::Loaded;
use oci_spec::runtime::{Capability, LinuxCapabilities, Process, User};
use std::path::PathBuf;

/// Everything that is to be done to execute a process in a container.
#[derive(Clone, Debug)]
pub struct ExecPlan {
    /// The program and what it may do.
    pub wanted: ProcessPlan,
    /// User and group that set up processes in the container's own user namespace, if it has one.
    pub users: Option<(u32, u32)>,
    /// Session keyring.
    pub keyring: Keyring,
    /// Descriptors above the standard streams that the program gets.
    pub descriptors: Descriptors,
    /// What was asked for and means nothing.
    pub warnings: Vec<String>,
}

/// The container, the caller and the host, as far as they matter.
#[derive(Clone, Copy, Debug)]
pub struct Surroundings<'a> {
    /// Name of the container.
    pub id: &'a ContainerId,
    /// User and group that set up processes in the container's own user namespace, if it has one.
    pub users: Option<(u32, u32)>,
    /// Whether the caller is in a user namespace that is not the machine's.
    pub within_users: bool,
    /// Whether it has a session keyring of its own.
    pub own_keyring: bool,
    /// Capabilities that the caller can hand on.
    pub grantable: Grantable,
    /// Whether SELinux is on.
    pub selinux: bool,
    /// Descriptors above the standard streams that the program gets.
    pub descriptors: Descriptors,
}

/// What a process has in place of what the container's template says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Program and arguments.
    pub args: Vec<String>,
    /// Working directory.
    pub cwd: Option<PathBuf>,
    /// More of the environment: `NAME=VALUE` each.
    pub env: Vec<String>,
    /// User id.
    pub uid: Option<u32>,
    /// Group id.
    pub gid: Option<u32>,
    /// More supplementary groups.
    pub additional_gids: Vec<u32>,
    /// Whether it gets a terminal.
    pub terminal: bool,
    /// SELinux label.
    pub label: Option<String>,
    /// AppArmor profile.
    pub apparmor: Option<String>,
    /// Whether it is to gain no privileges by execve.
    pub no_new_privileges: Option<bool>,
    /// More capabilities.
    pub capabilities: Vec<Capability>,
}

impl Changes {
    /// The template with these changes. Capabilities are added to those that a process holds and
    /// can get, never to those that it hands on by itself: ambient ones only where the template
    /// lists them as inheritable (CVE-2022-29162).
    pub fn apply(self, mut process: Process) -> Process {
        process.set_args(Some(self.args)).set_terminal(Some(self.terminal));
        if let Some(cwd) = self.cwd {
            process.set_cwd(cwd);
        }
        let env = [process.env().clone().unwrap_or_default(), self.env].concat();
        process.set_env(Some(env));
        let mut user = process.user().clone();
        let (uid, gid) = (self.uid.unwrap_or(user.uid()), self.gid.unwrap_or(user.gid()));
        user.set_uid(uid).set_gid(gid);
        let gids = user.additional_gids().clone().unwrap_or_default();
        user.set_additional_gids(Some([gids, self.additional_gids].concat()));
        process.set_user(user);
        if self.label.is_some() {
            process.set_selinux_label(self.label);
        }
        if self.apparmor.is_some() {
            process.set_apparmor_profile(self.apparmor);
        }
        if self.no_new_privileges.is_some() {
            process.set_no_new_privileges(self.no_new_privileges);
        }
        if !self.capabilities.is_empty() {
            let held = process.capabilities().clone().unwrap_or_else(no_capabilities);
            process.set_capabilities(Some(with_more(held, &self.capabilities)));
        }
        process
    }
}

fn no_capabilities() -> LinuxCapabilities {
    let mut none = LinuxCapabilities::default();
    none.set_bounding(None).set_effective(None).set_permitted(None);
    none.set_inheritable(None).set_ambient(None);
    none
}

fn with_more(mut held: LinuxCapabilities, more: &[Capability]) -> LinuxCapabilities {
    let inheritable = held.inheritable().clone().unwrap_or_default();
    let added = |set: &Option<_>, more: &mut dyn Iterator<Item = Capability>| {
        let set: std::collections::HashSet<Capability> = set.clone().unwrap_or_default();
        Some(set.into_iter().chain(more).collect())
    };
    let all = || more.iter().copied();
    let (bounding, effective) =
        (added(held.bounding(), &mut all()), added(held.effective(), &mut all()));
    let permitted = added(held.permitted(), &mut all());
    let handed_on = &mut all().filter(|one| inheritable.contains(one));
    let ambient = added(held.ambient(), handed_on);
    held.set_bounding(bounding).set_effective(effective).set_permitted(permitted);
    held.set_ambient(ambient);
    held
}

/// A process that the caller describes in full, with what it leaves out taken from the template:
/// the security of a container is that of every process in it unless the caller says otherwise.
pub fn complete(mut given: Process, template: &Process) -> Process {
    let filled = |text: &Option<String>| text.as_ref().is_some_and(|text| !text.is_empty());
    if given.capabilities().is_none() {
        given.set_capabilities(template.capabilities().clone());
    }
    if !filled(given.apparmor_profile()) {
        given.set_apparmor_profile(template.apparmor_profile().clone());
    }
    if !filled(given.selinux_label()) {
        given.set_selinux_label(template.selinux_label().clone());
    }
    if given.rlimits().as_ref().is_none_or(Vec::is_empty) {
        given.set_rlimits(template.rlimits().clone());
    }
    if given.oom_score_adj().is_none() {
        given.set_oom_score_adj(template.oom_score_adj());
    }
    if given.io_priority().is_none() {
        given.set_io_priority(*template.io_priority());
    }
    if given.scheduler().is_none() {
        given.set_scheduler(template.scheduler().clone());
    }
    if given.exec_cpu_affinity().is_none() {
        given.set_exec_cpu_affinity(template.exec_cpu_affinity().clone());
    }
    let umask = given.user().umask().or(template.user().umask());
    let user: &mut User = given.user_mut();
    user.set_umask(umask);
    given
}

/// Turns a template with its changes applied into a plan.
///
/// # Errors
/// The first part of `/process` that is malformed or contradictory; a missing process.
pub fn resolve(loaded: &Loaded, around: Surroundings<'_>) -> Result<ExecPlan, Error> {
    let mut warnings: Vec<String> = loaded.warnings.iter().map(ToString::to_string).collect();
    let means = Means {
        grantable: around.grantable,
        selinux: around.selinux,
        own_users: around.users.is_some(),
        within_users: around.within_users,
        descriptors: around.descriptors,
        // They would be those of whoever enters.
        keep_groups: false,
    };
    let wanted = resolve_process(&loaded.spec, means, &mut warnings)?;
    let wanted = wanted.ok_or(super::process::Error::NoArgs)?;
    Ok(ExecPlan {
        wanted,
        users: around.users,
        keyring: Keyring::of(around.id, around.own_keyring),
        descriptors: around.descriptors,
        warnings,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn process(value: Value) -> Process {
        serde_json::from_value(value).unwrap()
    }

    fn template() -> Process {
        process(json!({
            "cwd": "/srv", "user": {"uid": 5, "gid": 6, "umask": 0o77, "additionalGids": [7]},
            "args": ["daemon"], "env": ["A=1"], "terminal": true, "noNewPrivileges": true,
            "capabilities": {"bounding": ["CAP_KILL"], "inheritable": ["CAP_CHOWN"]},
            "apparmorProfile": "box", "rlimits": [{"type": "RLIMIT_CORE", "soft": 1, "hard": 1}],
            "oomScoreAdj": 3,
        }))
    }

    #[test]
    fn without_changes_only_program_and_terminal_differ() {
        let changes = Changes { args: vec!["sh".into()], ..Changes::default() };
        let made = changes.apply(template());
        let mut expected = template();
        expected.set_args(Some(vec!["sh".into()])).set_terminal(Some(false));
        assert_eq!(made, expected);
    }

    #[test]
    fn environment_and_groups_are_added_and_ids_replaced() {
        let made = Changes {
            cwd: Some("/".into()),
            env: vec!["B=2".into()],
            uid: Some(9),
            additional_gids: vec![8],
            no_new_privileges: Some(false),
            apparmor: Some("other".into()),
            ..Changes::default()
        }
        .apply(template());
        assert_eq!(made.env().as_deref().unwrap(), ["A=1", "B=2"]);
        assert_eq!((made.user().uid(), made.user().gid()), (9, 6));
        assert_eq!(made.user().additional_gids().as_deref().unwrap(), [7, 8]);
        assert_eq!(made.no_new_privileges(), Some(false));
        assert_eq!(made.apparmor_profile().as_deref(), Some("other"));
        assert_eq!(made.cwd(), std::path::Path::new("/"));
    }

    /// CVE-2022-29162
    #[test]
    fn more_capabilities_are_ambient_only_where_they_were_inheritable() {
        let capabilities = vec![Capability::NetRaw, Capability::Chown];
        let made = Changes { capabilities, ..Changes::default() }.apply(template());
        let sets = made.capabilities().as_ref().unwrap();
        let names = |set: &Option<std::collections::HashSet<Capability>>| {
            let mut names: Vec<_> = set.iter().flatten().map(ToString::to_string).collect();
            names.sort();
            names.join(" ")
        };
        assert_eq!(names(sets.bounding()), "CHOWN KILL NET_RAW");
        assert_eq!(names(sets.effective()), "CHOWN NET_RAW");
        assert_eq!(names(sets.permitted()), "CHOWN NET_RAW");
        assert_eq!(names(sets.inheritable()), "CHOWN");
        assert_eq!(names(sets.ambient()), "CHOWN");
    }

    #[test]
    fn a_process_without_capabilities_gets_those_alone() {
        let mut bare = template();
        bare.set_capabilities(None);
        let made =
            Changes { capabilities: vec![Capability::Kill], ..Changes::default() }.apply(bare);
        let sets = made.capabilities().as_ref().unwrap();
        assert_eq!(sets.permitted().as_ref().unwrap().len(), 1);
        assert_eq!(sets.inheritable(), &None);
    }

    #[test]
    fn what_a_described_process_leaves_out_is_the_templates() {
        let given = process(json!({
            "cwd": "/", "user": {"uid": 1, "gid": 1}, "args": ["x"], "apparmorProfile": "",
        }));
        let made = complete(given, &template());
        let template = template();
        assert_eq!(made.capabilities(), template.capabilities());
        assert_eq!(made.apparmor_profile(), template.apparmor_profile());
        assert_eq!(made.rlimits(), template.rlimits());
        assert_eq!(made.oom_score_adj(), Some(3));
        assert_eq!(made.user().umask(), Some(0o77));
        assert_eq!(made.user().additional_gids(), &None, "the user is the caller's");
        assert_eq!((made.env(), made.no_new_privileges()), (&None, None));
    }

    #[test]
    fn what_a_described_process_says_stays() {
        let given = process(json!({
            "cwd": "/", "user": {"uid": 1, "gid": 1}, "args": ["x"], "apparmorProfile": "mine",
            "capabilities": {}, "oomScoreAdj": 0,
        }));
        let made = complete(given.clone(), &template());
        assert_eq!(made.capabilities(), given.capabilities());
        assert_eq!(made.apparmor_profile().as_deref(), Some("mine"));
        assert_eq!(made.oom_score_adj(), Some(0));
    }
}
