# What every command of a transcript can use; read by bash before it.

images=/var/tmp/engines-$(id -un)
here=/opt/lab/engines
box=docker.io/library/box:latest
pause=docker.io/library/pause:latest

# skip REASON: the scenario cannot be played here.
skip() { echo "$*"; exit 77; }

# readme LINE: the indented block of README.md that begins with that line, as it is.
readme() {
    awk -v first="    $1" '
        $0 == first { on = 1 }
        on && !/^    / { exit }
        on { print substr($0, 5) }' $here/README.md
}

# in_tty COMMAND: runs it on a terminal of 30 by 100 where nobody types. Nor does the input end, as script
# would type that, and a terminal inside may echo it. Engines may set the size inside a moment after
# the program has started.
in_tty() (
    set -o pipefail
    keys=$(mktemp --dry-run)
    mkfifo "$keys"
    exec <>"$keys"
    rm "$keys"
    script --quiet --return --command "stty rows 30 cols 100; $*" /dev/null | tr -d '\r'
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

# cgroup_of FILE: the directory of the cgroup of the process whose number is in the file.
cgroup_of() { echo "/sys/fs/cgroup$(cut -d: -f3 "/proc/$(cat "$1")/cgroup")"; }

# left: the containers that the runtime itself still knows.
left() { "$RUNTIME" $ROOT list --quiet 2>/dev/null; }

# For CRI (the words of Kubernetes' API are in cri.py). pod CONFIG: runs an empty pod of the class
# $HANDLER, with CONFIG (JSON) added to the least there has to be.
pod() {
    local parent=/lab
    [ $MANAGER = systemd ] && parent=lab.slice
    jq --null-input '{linux: {cgroup_parent: "'$parent'"}, metadata: {name: "p", uid: "u'$RANDOM'", namespace: "lab"}, log_directory: "'$PWD'/logs"} * '"$1" >pod.json
    cri RunPodSandbox "$(jq '{config: ., runtime_handler: "'${HANDLER:-lab}'"}' pod.json)" | jq -r .pod_sandbox_id >pod
}

# container NAME PROGRAM CONFIG: runs a container in the pod; its id is then in the file NAME.
container() {
    jq --slurp '{pod_sandbox_id: "'$(cat pod)'", sandbox_config: .[0],
        config: ({metadata: {name: "'$1'"}, image: {image: "'$box'"}, log_path: "'$1'.log", command: '"$2"'} * '"$3"')}' pod.json >"$1.json"
    cri CreateContainer "$(cat "$1.json")" | jq -r .container_id >"$1" && cri StartContainer '{"container_id":"'$(cat "$1")'"}' >/dev/null
}

# status NAME: state, exit code, and a reason that says more than they do.
status() {
    cri ContainerStatus '{"container_id":"'$(cat "$1")'"}' | jq -r '.status |
        [["CREATED", "RUNNING", "EXITED", "UNKNOWN"][.state // 0], (.exit_code // 0 | tostring),
         (.reason | select(. == "OOMKilled"))] | join(" ")'
}

# logs NAME: what the container has printed.
logs() { cut -d' ' -f4- "logs/$1.log"; }

# execute NAME PROGRAM...: runs a program in the container.
execute() {
    local name=$1 answer
    shift
    answer=$(cri ExecSync "$(jq --null-input '{container_id: "'$(cat "$name")'", timeout: 20, cmd: $ARGS.positional}' --args -- "$@")") || return
    jq -j '.stdout // ""' <<<"$answer"
    jq -j '.stderr // ""' <<<"$answer" >&2
    return "$(jq '.exit_code // 0' <<<"$answer")"
}

# For services. bundle SCRIPT: a bundle here, of the tree of systemd's image; limit RESOURCES, and edit
# FILTER (jq) change it; unit LINES: the service lab-box.
bundle() {
    ln -sfn $images/tree rootfs
    "$RUNTIME" spec
    local path
    case $MANAGER in systemd) path=system.slice:lab:unit ;; *) path=/lab-box ;; esac
    edit '.root = {path: "'$images/tree'", readonly: false} | .process.terminal = false
        | .process.args = ["sh", "-c", $script] | .linux.cgroupsPath = "'$path'"
        | .mounts += [{destination: "/sys/fs/cgroup", type: "cgroup", source: "cgroup", options: ["ro"]},
                      {destination: "/run", type: "tmpfs", source: "tmpfs"}]' --arg script "$1"
}
limit() { edit ".linux.resources += $1"; }
edit() { jq "$@" config.json >config.new && mv config.new config.json; }
unit() {
    { printf '%s\n' '[Service]' TimeoutStopSec=3 "$@"; } >/run/systemd/system/lab-box.service
    systemctl daemon-reload
}

PATH=$here/bin:$PATH
case $E in
    podman | buildah)
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
        case $MANAGER in systemd) CGROUPS="--runc-systemd-cgroup --cgroup system.slice:lab:c$RANDOM" ;; esac
        RUN="run --runc-binary $RUNTIME $CGROUPS"
        ROOT="--root /run/containerd/runc/lab"
        ;;
    service)
        case $MANAGER in systemd) RUN="$RUNTIME --systemd-cgroup" ;; *) RUN=$RUNTIME ;; esac
        ;;
esac
