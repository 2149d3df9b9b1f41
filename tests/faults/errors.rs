//! Which errors fit a system call: those that its manual page names and that
//! a busy or failing machine can give at any time.

use nix::errno::Errno::{self, EAGAIN, EINTR, EIO, ENOMEM, ENOSPC, EPERM};

/// The errors to try, none for calls that cannot fail.
pub fn fitting(number: i64) -> &'static [Errno] {
    match number {
        libc::SYS_exit
        | libc::SYS_exit_group
        | libc::SYS_rt_sigreturn
        | libc::SYS_getpid
        | libc::SYS_gettid
        | libc::SYS_getppid
        | libc::SYS_getuid
        | libc::SYS_geteuid
        | libc::SYS_getgid
        | libc::SYS_getegid
        | libc::SYS_umask
        | libc::SYS_sched_yield
        | libc::SYS_set_tid_address
        // Before main, where the C library has no choice but to die.
        | libc::SYS_arch_prctl
        | libc::SYS_rseq
        | libc::SYS_set_robust_list
        | libc::SYS_restart_syscall
        // They fail for arguments that are wrong, and for nothing else.
        | libc::SYS_capget
        | libc::SYS_rt_sigaction
        | libc::SYS_rt_sigprocmask => &[],
        libc::SYS_getrandom => &[EINTR],
        libc::SYS_close => &[EIO, EINTR],
        libc::SYS_brk | libc::SYS_mmap | libc::SYS_mprotect | libc::SYS_mremap => &[ENOMEM],
        libc::SYS_munmap | libc::SYS_madvise => &[ENOMEM],
        libc::SYS_read | libc::SYS_pread64 | libc::SYS_getdents64 => &[EIO, EINTR, ENOMEM],
        libc::SYS_write | libc::SYS_pwrite64 | libc::SYS_writev => {
            &[EIO, EINTR, ENOSPC, EPERM, EAGAIN]
        }
        libc::SYS_open | libc::SYS_openat | libc::SYS_openat2 => {
            &[EIO, EINTR, ENOMEM, EPERM, ENOSPC]
        }
        // EPERM is how the kernel says that a user namespace makes no devices; the answer is a
        // bind mount, and no failure.
        libc::SYS_mknodat => &[EIO, ENOSPC, ENOMEM],
        libc::SYS_mkdir
        | libc::SYS_mkdirat
        | libc::SYS_symlinkat
        | libc::SYS_linkat
        | libc::SYS_rename
        | libc::SYS_renameat
        | libc::SYS_renameat2 => &[EIO, ENOSPC, EPERM, ENOMEM],
        libc::SYS_sendmsg | libc::SYS_sendto => &[EINTR, ENOMEM],
        // What is there can be read.
        libc::SYS_recvmsg | libc::SYS_recvfrom => &[EINTR],
        libc::SYS_connect | libc::SYS_accept4 => &[EINTR, ENOMEM, EPERM],
        libc::SYS_poll | libc::SYS_ppoll | libc::SYS_wait4 | libc::SYS_waitid | libc::SYS_flock => {
            &[EINTR, ENOMEM]
        }
        libc::SYS_nanosleep | libc::SYS_clock_nanosleep | libc::SYS_futex => &[EINTR],
        libc::SYS_clone | libc::SYS_clone3 | libc::SYS_fork | libc::SYS_vfork => {
            &[EAGAIN, ENOMEM, EPERM, ENOSPC]
        }
        libc::SYS_unshare
        | libc::SYS_setns
        | libc::SYS_mount
        | libc::SYS_open_tree
        | libc::SYS_fsopen
        | libc::SYS_fsmount
        | libc::SYS_fsconfig
        | libc::SYS_move_mount
        | libc::SYS_mount_setattr
        | libc::SYS_bpf => &[EPERM, ENOMEM, ENOSPC],
        libc::SYS_setresuid | libc::SYS_setresgid | libc::SYS_setgroups => &[EPERM, EAGAIN, ENOMEM],
        libc::SYS_prctl | libc::SYS_capset | libc::SYS_seccomp => &[EPERM, ENOMEM],
        libc::SYS_sigaltstack => &[ENOMEM],
        _ => &[EPERM, EIO, ENOMEM],
    }
}
