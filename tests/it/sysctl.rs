//! `linux.sysctl`: kernel parameters of the container's namespaces.

use serde_json::json;

use crate::harness::{Bundle, Outcome, needs, tests};

tests![
    parameters_are_set,
    names_may_be_written_with_slashes,
    a_dot_in_a_name_is_a_slash_among_slashes,
    the_hosts_parameters_are_left_alone,
    they_are_set_although_proc_is_read_only,
];

const SETTINGS: [(&str, &str, &str); 5] = [
    ("net.ipv4.ip_forward", "net/ipv4/ip_forward", "1"),
    ("net.core.somaxconn", "net/core/somaxconn", "77"),
    ("kernel.shmmni", "kernel/shmmni", "123"),
    ("kernel.msgmax", "kernel/msgmax", "7777"),
    ("fs.mqueue.msg_max", "fs/mqueue/msg_max", "11"),
];

/// Prints the parameters that [`SETTINGS`] names.
fn printing(bundle: Bundle) -> Bundle {
    let files = SETTINGS.map(|(_, file, _)| format!("/proc/sys/{file}"));
    bundle.sh(&format!("cat {}", files.join(" ")))
}

fn expected() -> Vec<&'static str> {
    SETTINGS.iter().map(|(_, _, value)| *value).collect()
}

fn parameters_are_set() -> Outcome {
    let mut bundle = printing(Bundle::new());
    for (name, _, value) in SETTINGS {
        bundle = bundle.set(&format!("/linux/sysctl/{name}"), value);
    }
    assert_eq!(bundle.lines(), expected());
    Ok(())
}

fn names_may_be_written_with_slashes() -> Outcome {
    needs::other_than("crun", "knows dots only in this version")?;
    let mut bundle = printing(Bundle::new());
    let settings: serde_json::Map<_, _> =
        SETTINGS.iter().map(|(_, file, value)| ((*file).to_owned(), json!(value))).collect();
    bundle = bundle.set("/linux/sysctl", settings);
    assert_eq!(bundle.lines(), expected());
    Ok(())
}

/// `net/ipv4/conf/eth0.1/…` is how an interface with a dot is written.
fn a_dot_in_a_name_is_a_slash_among_slashes() -> Outcome {
    needs::other_than("runc", "knows no slashes among dots before 1.2")?;
    needs::other_than("crun", "knows dots only in this version")?;
    let bundle = Bundle::new()
        .set(
            "/linux/sysctl",
            json!({"net.ipv4.conf.lo.forwarding": "1", "net/ipv4/conf/default/forwarding": "1"}),
        )
        .sh("cat /proc/sys/net/ipv4/conf/lo/forwarding /proc/sys/net/ipv4/conf/default/forwarding");
    assert_eq!(bundle.lines(), ["1", "1"]);
    Ok(())
}

fn the_hosts_parameters_are_left_alone() -> Outcome {
    let own = |file: &str| std::fs::read_to_string(format!("/proc/sys/{file}")).expect("read");
    let before = SETTINGS.map(|(_, file, _)| own(file));
    let mut bundle = Bundle::new();
    for (name, _, value) in SETTINGS {
        bundle = bundle.set(&format!("/linux/sysctl/{name}"), value);
    }
    bundle.run().ok();
    assert_eq!(SETTINGS.map(|(_, file, _)| own(file)), before);
    Ok(())
}

fn they_are_set_although_proc_is_read_only() -> Outcome {
    let bundle = Bundle::new()
        .set("/linux/sysctl", json!({"net.ipv4.ip_forward": "1"}))
        .set("/linux/readonlyPaths", json!(["/proc/sys"]))
        .sh("cat /proc/sys/net/ipv4/ip_forward; echo 0 >/proc/sys/net/ipv4/ip_forward || echo refused");
    assert_eq!(bundle.lines(), ["1", "refused"]);
    Ok(())
}
