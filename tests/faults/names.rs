//! Names of system calls, for people.

macro_rules! names {
    ($number:expr, $($call:ident)*) => {
        match $number {
            $(libc::$call => stringify!($call).trim_start_matches("SYS_").to_owned(),)*
            other => format!("syscall {other}"),
        }
    };
}

/// The name of a system call.
pub fn of(number: i64) -> String {
    names!(
        number,
        SYS_accept4 SYS_arch_prctl SYS_bind SYS_bpf SYS_brk SYS_capget SYS_capset SYS_chdir
        SYS_clock_nanosleep SYS_clone SYS_clone3 SYS_close SYS_close_range SYS_connect SYS_dup
        SYS_dup2 SYS_dup3 SYS_epoll_create1 SYS_epoll_ctl SYS_epoll_wait SYS_execve SYS_execveat
        SYS_exit SYS_exit_group SYS_faccessat SYS_faccessat2 SYS_fchdir SYS_fchmod SYS_fchmodat
        SYS_fchown SYS_fchownat SYS_fcntl SYS_flock SYS_fork SYS_fsconfig SYS_fsmount SYS_fsopen
        SYS_fstat SYS_fstatfs SYS_ftruncate SYS_futex SYS_getcwd SYS_getdents64 SYS_getegid
        SYS_geteuid SYS_getgid SYS_getpid SYS_getppid SYS_getrandom SYS_getresuid SYS_getrlimit
        SYS_gettid SYS_getuid SYS_inotify_add_watch SYS_inotify_init1 SYS_ioctl SYS_keyctl SYS_kill
        SYS_lseek SYS_linkat SYS_listen SYS_madvise SYS_memfd_create SYS_mkdir SYS_mkdirat
        SYS_mknodat SYS_mmap SYS_mount SYS_mount_setattr SYS_move_mount SYS_mprotect SYS_mremap
        SYS_munmap SYS_name_to_handle_at SYS_nanosleep SYS_newfstatat SYS_open SYS_open_tree
        SYS_openat SYS_openat2 SYS_pidfd_open SYS_pidfd_send_signal SYS_pipe2 SYS_pivot_root
        SYS_poll SYS_ppoll SYS_prctl SYS_pread64 SYS_prlimit64 SYS_pwrite64 SYS_read SYS_readlink
        SYS_readlinkat SYS_recvfrom SYS_recvmsg SYS_rename SYS_renameat SYS_renameat2 SYS_rmdir
        SYS_rseq SYS_rt_sigaction SYS_rt_sigprocmask SYS_rt_sigreturn SYS_sched_getaffinity
        SYS_sched_setaffinity SYS_sched_yield SYS_seccomp SYS_sendmsg SYS_sendto SYS_setgid
        SYS_setgroups SYS_sethostname SYS_setdomainname SYS_setns SYS_setpgid SYS_setresgid
        SYS_setresuid SYS_setrlimit SYS_setsid SYS_setsockopt SYS_set_robust_list
        SYS_set_tid_address SYS_setuid SYS_setxattr SYS_sigaltstack SYS_socket SYS_socketpair
        SYS_stat SYS_statfs SYS_statx SYS_symlinkat SYS_tgkill SYS_timerfd_create
        SYS_timerfd_settime SYS_umask SYS_umount2 SYS_uname SYS_unlink SYS_unlinkat SYS_unshare
        SYS_utimensat SYS_vfork SYS_wait4 SYS_waitid SYS_write SYS_writev
    )
}
