//! AppArmor and SELinux: the program is confined by what the configuration names.

use std::fs;
use std::path::Path;

use crate::harness::{Bundle, Outcome, Skip, eventually, needs, tests};

tests![
    an_apparmor_profile_confines_the_program,
    an_apparmor_profile_confines_what_is_executed_later,
    a_profile_that_is_not_there_is_an_error,
    unconfined_needs_no_module,
    an_selinux_label_is_the_programs,
    an_selinux_label_confines_the_program,
    a_mount_label_is_that_of_what_is_mounted,
    a_label_means_nothing_where_selinux_is_off,
];

const PARSER: &str = "/sbin/apparmor_parser";

/// A loaded profile, which is unloaded in the end.
struct Profile {
    name: String,
    file: std::path::PathBuf,
}

impl Profile {
    /// Allows everything but to read `/secret`.
    fn load(bundle: &Bundle) -> Result<Self, Skip> {
        needs::root()?;
        needs::path("/sys/kernel/security/apparmor/.replace")?;
        needs::path(PARSER)?;
        let name = format!("cloison-{}", bundle.id());
        let file = bundle.host_dir("profiles").join(&name);
        let text = format!(
            "profile {name} flags=(attach_disconnected,mediate_deleted) {{\n  file,\n  \
             capability,\n  network,\n  signal,\n  ptrace,\n  mount,\n  umount,\n  \
             unix,\n  deny /secret r,\n}}\n"
        );
        fs::write(&file, text).unwrap();
        let profile = Self { name, file };
        profile.parser(bundle, "--replace").ok();
        Ok(profile)
    }

    fn parser(&self, bundle: &Bundle, action: &str) -> crate::harness::Finished {
        let file = self.file.to_str().unwrap();
        let line = ["--skip-cache", action, file];
        bundle.sandbox().program(Path::new(PARSER), &line).finish()
    }
}

fn with_secret() -> Bundle {
    let bundle = Bundle::new();
    fs::write(bundle.rootfs().join("secret"), "text\n").unwrap();
    bundle
}

fn an_apparmor_profile_confines_the_program() -> Outcome {
    let bundle = with_secret();
    let profile = Profile::load(&bundle)?;
    let script = "cat /proc/self/attr/current; cat /secret && exit 9; echo denied";
    let bundle = bundle.set("/process/apparmorProfile", profile.name.clone()).sh(script);
    let output = bundle.run();
    profile.parser(&bundle, "--remove").ok();
    let lines: Vec<_> = output.stdout.lines().map(str::to_owned).collect();
    assert_eq!(lines, [format!("{} (enforce)", profile.name), "denied".to_owned()], "{output}");
    Ok(())
}

fn an_apparmor_profile_confines_what_is_executed_later() -> Outcome {
    let bundle = with_secret();
    let profile = Profile::load(&bundle)?;
    let bundle = bundle.set("/process/apparmorProfile", profile.name.clone());
    let container = bundle.args(&["sleep", "60"]).start();
    let output = container.verb("exec", &[], &["cat", "/secret"]);
    drop(profile.parser(container.bundle(), "--remove"));
    assert_eq!(output.exits(1).stdout, "");
    Ok(())
}

/// CONF-9
fn a_profile_that_is_not_there_is_an_error() -> Outcome {
    needs::other_than("crun", "ignores profiles where AppArmor is off")?;
    let bundle = Bundle::new().set("/process/apparmorProfile", "cloison-no-such-profile");
    let refusal = bundle.is_refused();
    needs::cloison()?;
    refusal.complains("/process/apparmorProfile");
    Ok(())
}

/// CONF-9
fn unconfined_needs_no_module() -> Outcome {
    needs::other_than("runc", "wants AppArmor for it")?;
    let bundle = Bundle::new().set("/process/apparmorProfile", "unconfined");
    assert_eq!(bundle.args(&["hostname"]).output(), "box");
    Ok(())
}

/// Labels as engines give them, which policies for containers know.
const PROCESS_LABEL: &str = "system_u:system_r:container_t:s0:c1,c2";
const MOUNT_LABEL: &str = "system_u:object_r:container_file_t:s0:c1,c2";

/// SELinux with a policy for containers: one that is small is in tests/vm/jobs.
fn selinux() -> Outcome {
    needs::path("/sys/fs/selinux/enforce")?;
    // Without a policy any label will do.
    let own = fs::read_to_string("/proc/self/attr/current").unwrap_or_default();
    if own.trim_end_matches('\0') == "kernel" {
        return Err(Skip("SELinux has no policy".to_owned()));
    }
    for label in [PROCESS_LABEL, MOUNT_LABEL] {
        if fs::write("/sys/fs/selinux/context", label).is_err() {
            return Err(Skip(format!("no policy of SELinux that knows {label}")));
        }
    }
    Ok(())
}

fn an_selinux_label_is_the_programs() -> Outcome {
    selinux()?;
    let bundle = Bundle::new().set("/process/selinuxLabel", PROCESS_LABEL);
    let script = "cat /proc/self/attr/current; exec sleep 60";
    let container = bundle.sh(script).start();
    assert!(eventually(|| container.stdout().trim_end_matches('\0') == PROCESS_LABEL));
    let output = container.verb("exec", &[], &["cat", "/proc/self/attr/current"]).ok();
    assert_eq!(output.stdout.trim_end_matches('\0'), PROCESS_LABEL);
    Ok(())
}

fn an_selinux_label_confines_the_program() -> Outcome {
    selinux()?;
    if fs::read_to_string("/sys/fs/selinux/enforce").unwrap().trim() != "1" {
        return Err(Skip("SELinux is permissive".to_owned()));
    }
    let bundle = || {
        let context = "context=system_u:object_r:shadow_t:s0";
        let script = "echo text >/secret/file; cat /secret/file || exit 9";
        Bundle::new().mount("/secret", "tmpfs", "tmpfs", &[context]).sh(script)
    };
    assert_eq!(bundle().output(), "text");
    let output = bundle().set("/process/selinuxLabel", PROCESS_LABEL).run();
    output.exits(9).complains("Permission denied");
    Ok(())
}

fn a_mount_label_is_that_of_what_is_mounted() -> Outcome {
    selinux()?;
    let bundle = Bundle::new()
        .mount("/room", "tmpfs", "tmpfs", &["size=64k"])
        .set("/linux/mountLabel", MOUNT_LABEL)
        .args(&["cat", "/proc/self/mountinfo"]);
    let option = format!("context=\"{MOUNT_LABEL}\"");
    let labelled: Vec<String> =
        bundle.lines().into_iter().filter(|l| l.contains(&option)).collect();
    for point in ["/dev", "/dev/pts", "/dev/shm", "/room"] {
        let is_there = labelled.iter().any(|line| line.split(' ').nth(4) == Some(point));
        assert!(is_there, "{point} is not in {labelled:?}");
    }
    Ok(())
}

/// CONF-9
fn a_label_means_nothing_where_selinux_is_off() -> Outcome {
    needs::other_than("crun", "writes it all the same")?;
    if selinux().is_ok() {
        return Err(Skip("SELinux is on".to_owned()));
    }
    let label = "system_u:object_r:container_file_t:s0:c1,c2";
    let bundle = Bundle::new()
        .set("/process/selinuxLabel", "system_u:system_r:container_t:s0:c1,c2")
        .set("/linux/mountLabel", label)
        .args(&["hostname"]);
    needs::other_than("runc", "refuses labels where SELinux is off")?;
    let output = bundle.run().ok();
    needs::cloison()?;
    output.complains("/process/selinuxLabel: ignored");
    Ok(())
}
