# What every command of a transcript can use; read by bash before it.

images=/var/tmp/engines-$(id -un)
here=/opt/lab/engines

# skip REASON: the scenario cannot be played here.
skip() { echo "$*"; exit 77; }

# readme LINE: the indented block of README.md that begins with that line, as it is.
readme() {
    awk -v first="    $1" '
        $0 == first { on = 1 }
        on && !/^    / { exit }
        on { print substr($0, 5) }' $here/README.md
}

# in_tty COMMAND: runs it on a terminal of 30 by 100.
in_tty() (
    set -o pipefail
    script --quiet --return --command "stty rows 30 cols 100; $*" /dev/null | tr -d '\000\r'
)

# apparmor_profile NAME RULES: loads one that allows all but what the rules say.
apparmor_profile() {
    apparmor_parser --replace <<EOF
profile $1 flags=(attach_disconnected,mediate_deleted) {
    file, capability, network, mount, umount, signal, ptrace, unix, pivot_root,
    $2
}
EOF
}

# left: the containers that the runtime itself still knows.
left() { "$RUNTIME" $ROOT list --quiet 2>/dev/null; }

PATH=$here/bin:$PATH
case $E in
    podman | buildah)
        export CONTAINERS_CONF_OVERRIDE=$images/containers.conf
        # podman's own option is not for its builds.
        BUILD="podman build --runtime $RUNTIME --isolation oci"
        SYSTEMD="podman run --systemd always"
        RUN="--runtime $RUNTIME --isolation oci"
        ;;
    docker)
        BUILD="docker build"
        SYSTEMD="docker run --privileged --cgroupns private --tmpfs /run --tmpfs /tmp"
        ROOT="--root $(echo /run/docker/runtime-*/moby)"
        ;;
    ctr)
        case $MANAGER in systemd) CGROUPS=--runc-systemd-cgroup ;; esac
        RUN="run --runc-binary $RUNTIME $CGROUPS"
        ROOT="--root /run/containerd/runc/lab"
        ;;
esac
