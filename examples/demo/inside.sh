# What a process in the container sees and is allowed. Only the shell, /proc
# and a few small programs are used, so that any root file system will do.

title() { printf '\n  -- %s\n' "$1"; }
fact() { printf '  %-14s %s\n' "$1" "$2"; }
status() { sed -n "s/^$1:[[:space:]]*//p" /proc/self/status; }
# The content of the first of the files that exists: cgroup v2, then v1.
limit() { for file; do [ -r "$file" ] && cat "$file" && return; done; echo '(not shown here)'; }
count() { echo $#; }

title 'partitions'
fact 'system' "$(sed -n 's/^PRETTY_NAME=//p' /etc/os-release 2>/dev/null || true) $(uname -sr)"
fact 'pid 1' "$(tr '\0' ' ' </proc/1/cmdline)"
fact 'processes' "$(count /proc/[0-9]*) to be seen"
fact 'hostname' "$(cat /proc/sys/kernel/hostname)"
fact 'interfaces' "$(sed -n 's/^ *\([^ ]*\):.*/\1/p' /proc/net/dev | tr '\n' ' ')"
fact 'root' "$(ls / | tr '\n' ' ')"
fact 'mounts' "$(count $(cut -d ' ' -f 2 /proc/mounts)) in all"
cut -d ' ' -f 1-4 /proc/mounts | cut -c 1-100 | sed 's/^/                 /'

title 'privileges'
fact 'capabilities' "effective $(status CapEff), bounding $(status CapBnd)"
fact 'no new privs' "$(status NoNewPrivs)"
fact 'seccomp' "mode $(status Seccomp) (2 is a filter)"
fact '' "$(mount -t tmpfs none /tmp 2>&1 | head -n 1)"
fact 'hostname' "$(hostname other 2>&1 || true)"
fact '/proc/sys' "$( (echo 1 >/proc/sys/kernel/panic) 2>&1 | sed 's/^[^:]*: //')"

title 'limits, as the cgroup states them'
fact 'cgroup' "$(tail -n 1 /proc/self/cgroup)"
fact 'memory' "$(limit /sys/fs/cgroup/memory.max /sys/fs/cgroup/memory/memory.limit_in_bytes)"
fact 'pids' "$(limit /sys/fs/cgroup/pids.max /sys/fs/cgroup/pids/pids.max)"
fact 'cpu' "$(limit /sys/fs/cgroup/cpu.max /sys/fs/cgroup/cpu/cpu.cfs_quota_us)"

title 'limits, as they are felt'
dd if=/dev/zero of=/dev/null bs=128M count=1 2>/dev/null && outcome='was granted' || outcome="ended with status $?"
fact 'memory' "taking 128 MiB $outcome (137 is a kill)"
started=$(sh -c 'n=0; while [ $n -lt 64 ]; do sleep 1 & n=$((n + 1)); echo $n; done' 2>/dev/null | tail -n 1)
fact 'pids' "of 64 processes at once, $started could start"
sleep 1
{ timeout 2 sh -c 'while :; do :; done'; } 2>/dev/null || true
times >/tmp/times
fact 'cpu' "two seconds of a busy loop, with all before it, took $(tail -n 1 /tmp/times | cut -d ' ' -f 1) of processor time"
