//! `linux.netDevices`: devices of the host that become the container's. Each test has a network
//! namespace of its own for a host, with a pair of linked devices, `v0` and `veth0`.

use std::path::Path;

use serde_json::json;

use crate::harness::{Bundle, Finished, Namespace, Outcome, needs, runtime_path, tests};
use nix::sched::CloneFlags;

tests![
    a_device_moves_with_its_addresses_and_is_up,
    a_device_gets_another_name,
    a_template_names_several_devices,
    two_devices_exchange_names,
    attributes_are_kept,
    only_permanent_addresses_that_are_valid_everywhere_move,
    the_devices_are_there_for_hooks,
    a_device_in_a_user_namespace_moves_too,
    a_name_that_is_taken_is_an_error,
    a_device_that_is_not_there_is_an_error,
    the_loopback_device_cannot_move,
    a_failed_create_gives_devices_back,
    a_virtual_device_ends_with_the_container,
    a_device_stays_in_a_namespace_of_others,
    moving_needs_a_network_namespace,
];

const MAKE: &str = "ip link add v0 type veth; ip addr add 192.0.2.1/24 dev v0; \
                    ip addr add 2001:db8::1/64 dev v0; ip link set veth0 up";

fn bundle(devices: serde_json::Value) -> Result<Bundle, crate::harness::Skip> {
    needs::since("runc", "1.4.0", "moves network devices")?;
    needs::since("crun", "1.23", "moves network devices")?;
    needs::path("/usr/bin/unshare")?;
    needs::root()?;
    Ok(Bundle::new().set("/linux/netDevices", devices))
}

/// Runs a script in a network namespace of its own: `ip` is there, and `container VERB [OPTIONS]`
/// is the verb on this bundle.
fn on_a_host(bundle: &Bundle, script: &str) -> Finished {
    bundle.write();
    let text = |path: &Path| path.to_str().unwrap().to_owned();
    let busybox = text(&bundle.rootfs().join("bin/busybox"));
    let (runtime, root, dir) =
        (text(&runtime_path()), text(&bundle.sandbox().root()), text(&bundle.dir()));
    let id = bundle.id();
    let script = format!(
        "set -e; ip() {{ {busybox} ip \"$@\"; }}
         container() {{ verb=$1; shift; {runtime} --root {root} $verb \"$@\" {id}; }}
         bundle={dir}
         {MAKE}\n{script}"
    );
    let line = ["--net", "sh", "-c", &script];
    bundle.sandbox().program(Path::new("/usr/bin/unshare"), &line).finish()
}

fn run(bundle: &Bundle, setup: &str) -> Finished {
    on_a_host(bundle, &format!("{setup}\ncontainer run --bundle $bundle"))
}

/// NET-1, NET-3
fn a_device_moves_with_its_addresses_and_is_up() -> Outcome {
    let bundle = bundle(json!({"v0": {}}))?.sh("ip addr show v0");
    let output = run(&bundle, "").ok().stdout;
    assert!(output.contains("inet 192.0.2.1/24"), "{output}");
    assert!(output.contains("inet6 2001:db8::1/64"), "{output}");
    assert!(output.contains(",UP") && output.contains("scope global v0"), "{output}");
    Ok(())
}

/// NET-2
fn a_device_gets_another_name() -> Outcome {
    let bundle = bundle(json!({"v0": {"name": "wan"}}))?.sh("ip addr show wan; ls /sys/class/net");
    let output = run(&bundle, "").ok().stdout;
    assert!(output.contains("192.0.2.1/24") && output.contains("scope global wan"), "{output}");
    assert!(output.contains(",UP") && !output.contains("v0\n"), "{output}");
    Ok(())
}

/// NET-2
fn a_template_names_several_devices() -> Outcome {
    let devices = json!({"v0": {"name": "net%d"}, "v1": {"name": "net%d"}});
    let bundle = bundle(devices)?.sh("ip addr show net0; ip addr show net1");
    let output = run(&bundle, "ip link add v1 type veth; ip addr add 192.0.2.9/32 dev v1").ok();
    assert!(output.stdout.contains("192.0.2.1/24"), "{output}");
    assert!(output.stdout.contains("192.0.2.9/32"), "{output}");
    Ok(())
}

/// NET-2
fn two_devices_exchange_names() -> Outcome {
    let bundle = bundle(json!({"v0": {"name": "v1"}, "v1": {"name": "v0"}}))?;
    let bundle = bundle.sh("ip addr show v1");
    let output = run(&bundle, "ip link add v1 type veth").ok().stdout;
    assert!(output.contains("192.0.2.1/24"), "{output}");
    Ok(())
}

fn attributes_are_kept() -> Outcome {
    let bundle =
        bundle(json!({"v0": {"name": "wan"}}))?.sh("cd /sys/class/net/wan; cat mtu address");
    let setup = "ip link set v0 mtu 1300; ip link set v0 address 02:00:00:00:00:07";
    assert_eq!(run(&bundle, setup).ok().stdout, "1300\n02:00:00:00:00:07\n");
    Ok(())
}

/// NET-3
fn only_permanent_addresses_that_are_valid_everywhere_move() -> Outcome {
    let bundle = bundle(json!({"v0": {}}))?.sh("ip addr show v0");
    let setup = "ip addr add 198.51.100.1/24 dev v0 scope link";
    let output = run(&bundle, setup).ok().stdout;
    assert!(output.contains("192.0.2.1") && !output.contains("198.51.100.1"), "{output}");
    Ok(())
}

fn the_devices_are_there_for_hooks() -> Outcome {
    let bundle = bundle(json!({"v0": {"name": "wan"}}))?
        .hook("createContainer", "ip link show wan >/dev/null || exit 7")
        .hook("createRuntime", "read state; ! ip link show v0 2>/dev/null");
    needs::path("/usr/sbin/ip")?;
    run(&bundle, "").ok();
    Ok(())
}

fn a_device_in_a_user_namespace_moves_too() -> Outcome {
    let bundle = bundle(json!({"v0": {"name": "wan"}}))?.in_user_namespace(200_000);
    let output = run(&bundle.sh("ip addr show wan"), "").ok().stdout;
    assert!(output.contains("192.0.2.1/24") && output.contains(",UP"), "{output}");
    Ok(())
}

/// NET-2
fn a_name_that_is_taken_is_an_error() -> Outcome {
    let network = Namespace::new(CloneFlags::CLONE_NEWNET, "net");
    let bundle = bundle(json!({"v0": {"name": "lo"}}))?.join_namespace("network", &network.path());
    let output = on_a_host(&bundle, "container run --bundle $bundle && exit 9; ip addr show v0");
    let output = output.ok();
    assert!(output.stdout.contains("192.0.2.1/24"), "the device has to be back: {output}");
    needs::cloison()?;
    output.complains("/linux/netDevices/v0: name the network device in the container");
    Ok(())
}

fn a_device_that_is_not_there_is_an_error() -> Outcome {
    let bundle = bundle(json!({"eth7": {}}))?;
    let refusal = run(&bundle, "").refused();
    needs::cloison()?;
    refusal.complains("/linux/netDevices/eth7: find the network device");
    Ok(())
}

fn the_loopback_device_cannot_move() -> Outcome {
    let bundle = bundle(json!({"lo": {"name": "other"}}))?;
    run(&bundle, "").refused();
    Ok(())
}

/// NET-5
fn a_failed_create_gives_devices_back() -> Outcome {
    needs::cloison()?;
    let bundle = bundle(json!({"v0": {"name": "wan"}, "v1": {"name": "n%d"}}))?
        .hook("createRuntime", "exit 1");
    let script = "ip link add v1 type veth; ip link set v0 up
                  container create --bundle $bundle && exit 9
                  ip addr show v0; ip link show v1";
    let output = on_a_host(&bundle, script).ok();
    assert!(output.stdout.contains("inet 192.0.2.1/24"), "{output}");
    assert!(output.stdout.contains("inet6 2001:db8::1/64"), "{output}");
    let flags = |line: &str| line.contains(",UP");
    let lines: Vec<&str> = output.stdout.lines().filter(|line| line.contains(": v")).collect();
    assert_eq!(lines.iter().map(|line| flags(line)).collect::<Vec<_>>(), [true, false], "{output}");
    Ok(())
}

/// NET-4
fn a_virtual_device_ends_with_the_container() -> Outcome {
    let bundle = bundle(json!({"v0": {}}))?.args(&["sleep", "60"]);
    let script = "container create --bundle $bundle >/dev/null; container start
                  container delete --force
                  for i in 1 2 3 4 5 6 7 8 9; do
                      ip link show veth0 2>/dev/null || exit 0; sleep 0.2
                  done; exit 9";
    on_a_host(&bundle, script).ok();
    Ok(())
}

/// NET-4
fn a_device_stays_in_a_namespace_of_others() -> Outcome {
    let network = Namespace::new(CloneFlags::CLONE_NEWNET, "net");
    let bundle = bundle(json!({"v0": {"name": "wan"}}))?;
    let bundle = bundle.join_namespace("network", &network.path());
    let script = format!(
        "container create --bundle $bundle >/dev/null; container delete --force
         nsenter --net={} ip addr show wan",
        network.path()
    );
    needs::path("/usr/sbin/ip")?;
    let output = on_a_host(&bundle, &script).ok().stdout;
    assert!(output.contains("inet 192.0.2.1/24") && output.contains(",UP"), "{output}");
    Ok(())
}

/// NET-1
fn moving_needs_a_network_namespace() -> Outcome {
    let bundle = bundle(json!({"v0": {}}))?.without_namespace("network");
    let refusal = run(&bundle, "").refused();
    needs::cloison()?;
    refusal.complains("/linux/netDevices: needs a network namespace");
    Ok(())
}
