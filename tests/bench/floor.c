/* floor ROOTFS CGROUP PROGRAM DEVICES [STATE CONFIG]: the least that a default
 * container costs on this kernel. A cgroup, with a device filter where DEVICES is
 * `devices`, one clone3 into it with six new namespaces, the default mounts,
 * devices, masked and read-only paths, pivot_root, exec, wait, and the cgroup is
 * gone.
 *
 * It is a yardstick, not a runtime: it reads no config, keeps no state and
 * checks nothing beyond the results of its system calls.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/capability.h>
#include <linux/sched.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#define COUNT(a) (sizeof(a) / sizeof *(a))
#define MUST(call)                                                               \
    do {                                                                         \
        if ((call) < 0) {                                                        \
            fprintf(stderr, "floor: %s: %s\n", #call, strerror(errno));          \
            _exit(1);                                                            \
        }                                                                        \
    } while (0)

static const unsigned long NOTHING_SPECIAL = MS_NOSUID | MS_NOEXEC | MS_NODEV;

static void default_mounts(void)
{
    MUST(mount("proc", "proc", "proc", 0, NULL));
    MUST(mount("tmpfs", "dev", "tmpfs", MS_NOSUID | MS_STRICTATIME, "mode=755,size=65536k"));
    MUST(mkdir("dev/pts", 0755));
    MUST(mkdir("dev/shm", 0755));
    MUST(mkdir("dev/mqueue", 0755));
    MUST(mount("devpts", "dev/pts", "devpts", MS_NOSUID | MS_NOEXEC,
               "newinstance,ptmxmode=0666,mode=0620,gid=5"));
    MUST(mount("shm", "dev/shm", "tmpfs", NOTHING_SPECIAL, "mode=1777,size=65536k"));
    MUST(mount("mqueue", "dev/mqueue", "mqueue", NOTHING_SPECIAL, NULL));
    MUST(mount("sysfs", "sys", "sysfs", NOTHING_SPECIAL | MS_RDONLY, NULL));
    MUST(mount("cgroup", "sys/fs/cgroup", "cgroup2",
               NOTHING_SPECIAL | MS_RELATIME | MS_RDONLY, NULL));
}

static void default_devices(void)
{
    static const struct { const char *path; unsigned major, minor; } devices[] = {
        {"dev/null", 1, 3},   {"dev/zero", 1, 5},    {"dev/full", 1, 7},
        {"dev/random", 1, 8}, {"dev/urandom", 1, 9}, {"dev/tty", 5, 0},
    };
    static const struct { const char *target, *path; } links[] = {
        {"/proc/self/fd", "dev/fd"},       {"/proc/self/fd/0", "dev/stdin"},
        {"/proc/self/fd/1", "dev/stdout"}, {"/proc/self/fd/2", "dev/stderr"},
        {"/proc/kcore", "dev/core"},       {"pts/ptmx", "dev/ptmx"},
    };

    umask(0);
    for (size_t i = 0; i < COUNT(devices); i++)
        MUST(mknod(devices[i].path, S_IFCHR | 0666, makedev(devices[i].major, devices[i].minor)));
    umask(022);
    for (size_t i = 0; i < COUNT(links); i++)
        MUST(symlink(links[i].target, links[i].path));
}

static void covered_paths(void)
{
    static const char *const readonly[] = {
        "proc/bus", "proc/fs", "proc/irq", "proc/sys", "proc/sysrq-trigger",
    };
    static const char *const masked[] = {
        "proc/acpi",       "proc/asound",     "proc/kcore",       "proc/keys", "proc/latency_stats",
        "proc/timer_list", "proc/timer_stats", "proc/sched_debug", "proc/scsi", "sys/firmware",
    };

    for (size_t i = 0; i < COUNT(readonly); i++)
        if (mount(readonly[i], readonly[i], NULL, MS_BIND | MS_REC, NULL) == 0)
            MUST(mount(NULL, readonly[i], NULL,
                       MS_BIND | MS_REMOUNT | MS_RDONLY | NOTHING_SPECIAL, NULL));
    for (size_t i = 0; i < COUNT(masked); i++)
        if (mount("dev/null", masked[i], NULL, MS_BIND, NULL) < 0 && errno == ENOTDIR)
            MUST(mount("tmpfs", masked[i], "tmpfs", MS_RDONLY, "size=0k"));
}

static void drop_privileges(void)
{
    const uint32_t kept = 1u << CAP_AUDIT_WRITE | 1u << CAP_KILL | 1u << CAP_NET_BIND_SERVICE;
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct sets[2] = {{kept, kept, 0}, {0, 0, 0}};
    struct rlimit files = {1024, 1024};

    MUST(setrlimit(RLIMIT_NOFILE, &files));
    for (int cap = 0; prctl(PR_CAPBSET_READ, cap) >= 0; cap++)
        if (cap > 31 || !(kept & 1u << cap))
            MUST(prctl(PR_CAPBSET_DROP, cap));
    MUST(syscall(SYS_capset, &header, sets));
    MUST(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
}

/* What a runtime has to do besides, where STATE is given. */
struct duties {
    int state;      /* The container's directory in STATE. */
    int link[2];    /* The runtime's end, and init's. */
};

/* Appears whole: written beside, and renamed. */
static void put_on_record(int state)
{
    static const char record[500] = {'{'};

    int file = openat(state, "record.new", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    MUST(file);
    MUST(write(file, record, sizeof record));
    close(file);
    MUST(renameat(state, "record.new", state, "record"));
}

/* A config that is read, a name that is claimed, and a record of what will be. */
static struct duties begin(const char *path, const char *config)
{
    struct duties duties;
    char text[4096];

    int file = open(config, O_RDONLY | O_CLOEXEC);
    MUST(file);
    MUST(read(file, text, sizeof text));
    close(file);
    MUST(mkdir(path, 0700));
    duties.state = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    MUST(duties.state);
    MUST(flock(duties.state, LOCK_EX | LOCK_NB));
    put_on_record(duties.state);
    MUST(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, duties.link));
    return duties;
}

/* Init is ready, is on record, and goes on. */
static void hear_and_answer(const struct duties *duties)
{
    char word;

    MUST(read(duties->link[0], &word, 1));
    put_on_record(duties->state);
    MUST(write(duties->link[0], &word, 1));
}

static void tell_and_wait(const struct duties *duties)
{
    char word = 0;

    MUST(write(duties->link[1], &word, 1));
    MUST(read(duties->link[1], &word, 1));
}

static void end(const struct duties *duties, const char *path)
{
    MUST(unlinkat(duties->state, "record", 0));
    MUST(rmdir(path));
}

static void bring_lo_up(void)
{
    struct ifreq lo = {.ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING};

    int socket_ = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    MUST(socket_);
    MUST(ioctl(socket_, SIOCSIFFLAGS, &lo));
    close(socket_);
}

static void contained(const char *rootfs, char *program, const struct duties *duties)
{
    char *argv[] = {program, NULL};
    char *environment[] = {"PATH=/bin", NULL};

    MUST(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL));
    MUST(mount(rootfs, rootfs, NULL, MS_BIND | MS_REC, NULL));
    MUST(chdir(rootfs));
    default_mounts();
    default_devices();
    covered_paths();
    MUST(syscall(SYS_pivot_root, ".", "."));
    MUST(umount2(".", MNT_DETACH));
    MUST(chdir("/"));
    MUST(sethostname("floor", 5));
    if (duties) {
        MUST(setsid());
        bring_lo_up();
    }
    drop_privileges();
    if (duties)
        tell_and_wait(duties);
    MUST(execve(program, argv, environment));
}

/* Lets majors 1 and 5 pass: about as large as what the default rules become. */
static void filter_devices(int cgroup)
{
    struct bpf_insn program[] = {
        {BPF_LDX | BPF_MEM | BPF_W, 2, 1, 4, 0}, /* r2 = major */
        {BPF_ALU64 | BPF_MOV | BPF_K, 0, 0, 0, 1},
        {BPF_JMP | BPF_JEQ | BPF_K, 2, 0, 2, 1},
        {BPF_JMP | BPF_JEQ | BPF_K, 2, 0, 1, 5},
        {BPF_ALU64 | BPF_MOV | BPF_K, 0, 0, 0, 0},
        {BPF_JMP | BPF_EXIT, 0, 0, 0, 0},
    };
    union bpf_attr attr = {
        .prog_type = BPF_PROG_TYPE_CGROUP_DEVICE,
        .insn_cnt = COUNT(program),
        .insns = (uintptr_t)program,
        .license = (uintptr_t) "",
    };
    int fd = syscall(SYS_bpf, BPF_PROG_LOAD, &attr, sizeof attr);
    MUST(fd);
    memset(&attr, 0, sizeof attr);
    attr.target_fd = cgroup;
    attr.attach_bpf_fd = fd;
    attr.attach_type = BPF_CGROUP_DEVICE;
    attr.attach_flags = BPF_F_ALLOW_MULTI;
    MUST(syscall(SYS_bpf, BPF_PROG_ATTACH, &attr, sizeof attr));
    close(fd);
}

int main(int argc, char **argv)
{
    if (argc != 5 && argc != 7) {
        fprintf(stderr, "usage: floor ROOTFS CGROUP PROGRAM DEVICES [STATE CONFIG]\n");
        return 2;
    }
    struct duties made, *duties = NULL;
    if (argc == 7) {
        made = begin(argv[5], argv[6]);
        duties = &made;
    }
    MUST(mkdir(argv[2], 0755));
    int cgroup = open(argv[2], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    MUST(cgroup);
    if (strcmp(argv[4], "devices") == 0)
        filter_devices(cgroup);

    int pidfd = -1;
    struct clone_args how = {
        .flags = CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS |
                 CLONE_NEWCGROUP | CLONE_INTO_CGROUP | CLONE_PIDFD,
        .pidfd = (uintptr_t)&pidfd,
        .exit_signal = SIGCHLD,
        .cgroup = cgroup,
    };
    long pid = syscall(SYS_clone3, &how, sizeof how);
    MUST(pid);
    if (pid == 0)
        contained(argv[1], argv[3], duties);
    if (duties)
        hear_and_answer(duties);

    siginfo_t how_it_ended = {0};
    MUST(waitid(P_PIDFD, pidfd, &how_it_ended, WEXITED));
    MUST(rmdir(argv[2]));
    if (duties)
        end(duties, argv[5]);
    return how_it_ended.si_code == CLD_EXITED ? how_it_ended.si_status
                                              : 128 + how_it_ended.si_status;
}
