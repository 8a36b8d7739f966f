//! Describes the system call that a stopped thread is about to make.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;

use nix::libc;
use nix::unistd::Pid;

/// The index of the argument with the path.
const NO_PATH: usize = usize::MAX;
/// Only the beginning of longer paths is shown.
const PATH_MAX: usize = 200;

macro_rules! calls {
    ($($call:ident $path:expr),* $(,)?) => {
        &[$((libc::$call, stringify!($call), $path)),*]
    };
}

/// `(number, name, index of the path)` of the system calls that plugins make, on every
/// architecture.
const CALLS: &[(libc::c_long, &str, usize)] = calls![
    SYS_read NO_PATH, SYS_write NO_PATH, SYS_close NO_PATH, SYS_lseek NO_PATH, SYS_fstat NO_PATH,
    SYS_openat 1, SYS_newfstatat 1, SYS_statx 1, SYS_unlinkat 1, SYS_mkdirat 1, SYS_renameat 1,
    SYS_renameat2 1, SYS_linkat 1, SYS_symlinkat 2, SYS_readlinkat 1, SYS_faccessat 1, SYS_faccessat2 1,
    SYS_fchmodat 1, SYS_fchownat 1, SYS_chdir 0, SYS_mount 1, SYS_umount2 0, SYS_execve 0, SYS_statfs 0,
    SYS_truncate 0, SYS_fchmod NO_PATH, SYS_fchown NO_PATH, SYS_ftruncate NO_PATH, SYS_fsync NO_PATH,
    SYS_fdatasync NO_PATH, SYS_flock NO_PATH, SYS_fcntl NO_PATH, SYS_getdents64 NO_PATH, SYS_dup NO_PATH,
    SYS_dup3 NO_PATH, SYS_pipe2 NO_PATH, SYS_ioctl NO_PATH, SYS_pread64 NO_PATH, SYS_pwrite64 NO_PATH,
    SYS_readv NO_PATH, SYS_writev NO_PATH, SYS_sendfile NO_PATH, SYS_copy_file_range NO_PATH, SYS_getcwd NO_PATH,
    SYS_fallocate NO_PATH, SYS_memfd_create NO_PATH, SYS_utimensat 1, SYS_fchdir NO_PATH, SYS_umask NO_PATH,
    SYS_socket NO_PATH, SYS_bind NO_PATH, SYS_connect NO_PATH, SYS_listen NO_PATH, SYS_accept4 NO_PATH,
    SYS_sendto NO_PATH, SYS_recvfrom NO_PATH, SYS_sendmsg NO_PATH, SYS_recvmsg NO_PATH, SYS_sendmmsg NO_PATH,
    SYS_recvmmsg NO_PATH, SYS_getsockname NO_PATH, SYS_getpeername NO_PATH, SYS_setsockopt NO_PATH,
    SYS_getsockopt NO_PATH, SYS_shutdown NO_PATH, SYS_socketpair NO_PATH, SYS_setns NO_PATH, SYS_unshare NO_PATH,
    SYS_clone NO_PATH, SYS_clone3 NO_PATH, SYS_wait4 NO_PATH, SYS_waitid NO_PATH, SYS_exit NO_PATH,
    SYS_exit_group NO_PATH, SYS_kill NO_PATH, SYS_tgkill NO_PATH, SYS_pidfd_open NO_PATH,
    SYS_pidfd_send_signal NO_PATH, SYS_getpid NO_PATH, SYS_gettid NO_PATH, SYS_getppid NO_PATH, SYS_getuid NO_PATH,
    SYS_geteuid NO_PATH, SYS_getgid NO_PATH, SYS_getegid NO_PATH, SYS_setpgid NO_PATH, SYS_prctl NO_PATH,
    SYS_mmap NO_PATH, SYS_mprotect NO_PATH, SYS_munmap NO_PATH, SYS_mremap NO_PATH, SYS_madvise NO_PATH,
    SYS_brk NO_PATH, SYS_mincore NO_PATH, SYS_futex NO_PATH, SYS_set_tid_address NO_PATH,
    SYS_set_robust_list NO_PATH, SYS_rseq NO_PATH, SYS_membarrier NO_PATH, SYS_rt_sigaction NO_PATH,
    SYS_rt_sigprocmask NO_PATH, SYS_rt_sigreturn NO_PATH, SYS_sigaltstack NO_PATH, SYS_nanosleep NO_PATH,
    SYS_clock_nanosleep NO_PATH, SYS_clock_gettime NO_PATH, SYS_timer_create NO_PATH, SYS_timer_settime NO_PATH,
    SYS_timer_delete NO_PATH, SYS_sched_yield NO_PATH, SYS_sched_getaffinity NO_PATH, SYS_prlimit64 NO_PATH,
    SYS_getrandom NO_PATH, SYS_uname NO_PATH, SYS_sysinfo NO_PATH, SYS_capget NO_PATH, SYS_ppoll NO_PATH,
    SYS_pselect6 NO_PATH, SYS_epoll_create1 NO_PATH, SYS_epoll_ctl NO_PATH, SYS_epoll_pwait NO_PATH,
    SYS_eventfd2 NO_PATH, SYS_timerfd_create NO_PATH, SYS_timerfd_settime NO_PATH, SYS_inotify_init1 NO_PATH,
    SYS_inotify_add_watch 1, SYS_seccomp NO_PATH, SYS_restart_syscall NO_PATH,
];

/// System calls that newer architectures do not have.
#[cfg(target_arch = "x86_64")]
const OLD_CALLS: &[(libc::c_long, &str, usize)] = calls![
    SYS_open 0, SYS_creat 0, SYS_stat 0, SYS_lstat 0, SYS_access 0, SYS_unlink 0, SYS_mkdir 0, SYS_rmdir 0,
    SYS_rename 0, SYS_link 0, SYS_symlink 1, SYS_readlink 0, SYS_chmod 0, SYS_chown 0, SYS_lchown 0,
    SYS_getdents NO_PATH, SYS_dup2 NO_PATH, SYS_pipe NO_PATH, SYS_fork NO_PATH, SYS_vfork NO_PATH, SYS_poll NO_PATH,
    SYS_select NO_PATH, SYS_epoll_wait NO_PATH, SYS_getpgrp NO_PATH, SYS_arch_prctl NO_PATH, SYS_alarm NO_PATH,
    SYS_time NO_PATH,
];
#[cfg(not(target_arch = "x86_64"))]
const OLD_CALLS: &[(libc::c_long, &str, usize)] = &[];

/// The system call with its path: `openat /run/lock`.
pub(super) fn describe(thread: Pid) -> String {
    let words = fs::read_to_string(format!("/proc/{thread}/syscall")).unwrap_or_default();
    let mut words = words.split_whitespace();
    let number = words.next().and_then(|word| word.parse::<libc::c_long>().ok());
    let Some(number) = number else { return "a system call".to_owned() };
    let known = CALLS.iter().chain(OLD_CALLS).find(|(known, ..)| *known == number);
    let Some((_, name, path)) = known else { return format!("system call {number}") };
    let name = name.trim_start_matches("SYS_");
    let place = words.nth(*path).and_then(|word| u64::from_str_radix(word.get(2..)?, 16).ok());
    match place.and_then(|place| string(thread, place)).filter(|path| !path.is_empty()) {
        Some(path) => format!("{name} {path}"),
        None => name.to_owned(),
    }
}

/// Reads a string from a thread's memory.
fn string(thread: Pid, place: u64) -> Option<String> {
    let memory = File::open(format!("/proc/{thread}/mem")).ok()?;
    let mut bytes = vec![0; PATH_MAX];
    // The string, and the mapped memory, may end earlier.
    let count = memory.read_at(&mut bytes, place).ok()?;
    bytes.truncate(count);
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    bytes.truncate(end);
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// The process of a thread.
pub(super) fn process(thread: Pid) -> Option<Pid> {
    let status = fs::read_to_string(format!("/proc/{thread}/status")).ok()?;
    let id = status.lines().find_map(|line| line.strip_prefix("Tgid:"))?;
    id.trim().parse().ok().map(Pid::from_raw)
}

/// The name of the program that a thread runs.
pub(super) fn program(thread: Pid) -> String {
    let process = process(thread).unwrap_or(thread);
    let file = fs::read_link(format!("/proc/{process}/exe")).unwrap_or_default();
    file.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
