//! The calls that are refused whatever their arguments, by reason.

/// A system call by name and number.
#[derive(Debug, Clone, Copy)]
pub(super) struct Call {
    #[cfg_attr(not(test), expect(dead_code, reason = "the tests name what they try"))]
    pub name: &'static str,
    pub number: libc::c_long,
}

macro_rules! calls {
    ($($name:ident),* $(,)?) => { &[$(Call { name: stringify!($name), number: number::$name }),*] };
}

/// The newest call this table was checked against: `file_setattr`, Linux 6.17 and 6.18 (scripts/syscall.tbl).
pub(super) const NEWEST_CALL: u32 = 469;

/// `AUDIT_ARCH_X86_64` (linux/audit.h).
#[cfg(target_arch = "x86_64")]
pub(super) const ARCHITECTURE: u32 = 0xc000_003e;
/// `AUDIT_ARCH_AARCH64` (linux/audit.h).
#[cfg(target_arch = "aarch64")]
pub(super) const ARCHITECTURE: u32 = 0xc000_00b7;
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
compile_error!("the system call filter knows x86_64 and aarch64");

/// Parts of the kernel with a long record of holes, and nothing in them that Python needs. `io_uring` also makes
/// sockets and opens files without a call that a filter could see.
const EXPOSED: &[Call] = calls![
    SYS_io_uring_setup,
    SYS_io_uring_enter,
    SYS_io_uring_register,
    SYS_bpf,
    SYS_userfaultfd,
    SYS_perf_event_open,
    SYS_add_key,
    SYS_request_key,
    SYS_keyctl,
    SYS_memfd_secret,
    SYS_fanotify_init,
    SYS_lookup_dcookie,
    SYS_nfsservctl
];

/// Looking into another process, or taking from it.
const OTHER_PROCESSES: &[Call] =
    calls![SYS_ptrace, SYS_process_vm_readv, SYS_process_vm_writev, SYS_process_madvise, SYS_pidfd_getfd, SYS_kcmp];

/// New namespaces bring capabilities in them. `clone` is checked by its flags.
const NAMESPACES: &[Call] = calls![SYS_unshare, SYS_setns];

/// What is mounted where.
const MOUNTS: &[Call] = calls![
    SYS_mount,
    SYS_umount2,
    SYS_pivot_root,
    SYS_chroot,
    SYS_open_tree,
    SYS_open_tree_attr,
    SYS_move_mount,
    SYS_fsopen,
    SYS_fsconfig,
    SYS_fsmount,
    SYS_fspick,
    SYS_mount_setattr,
    SYS_statmount,
    SYS_listmount
];

/// Files by number instead of by path: past every folder's permissions.
const FILE_HANDLES: &[Call] = calls![SYS_name_to_handle_at, SYS_open_by_handle_at];

/// The running kernel, the machine and its clock.
const MACHINE: &[Call] = calls![
    SYS_kexec_load,
    SYS_kexec_file_load,
    SYS_init_module,
    SYS_finit_module,
    SYS_delete_module,
    SYS_reboot,
    SYS_syslog,
    SYS_acct,
    SYS_swapon,
    SYS_swapoff,
    SYS_quotactl,
    SYS_quotactl_fd,
    SYS_settimeofday,
    SYS_clock_settime,
    SYS_adjtimex,
    SYS_clock_adjtime,
    SYS_sethostname,
    SYS_setdomainname,
    SYS_vhangup
];

/// Processor state that only emulators and drivers set.
#[cfg(target_arch = "x86_64")]
const PROCESSOR: &[Call] = calls![SYS_modify_ldt, SYS_iopl, SYS_ioperm];
#[cfg(not(target_arch = "x86_64"))]
const PROCESSOR: &[Call] = &[];

/// Placement of memory, also of other processes. Libraries take a refusal for a machine with one memory node.
const MEMORY_PLACEMENT: &[Call] =
    calls![SYS_mbind, SYS_set_mempolicy, SYS_set_mempolicy_home_node, SYS_migrate_pages, SYS_move_pages];

/// The policy lies in memory, where no filter sees it, and may be a realtime one.
const SCHEDULING: &[Call] = calls![SYS_sched_setattr];

/// Objects with names of their own beside the file system. Without a namespace, those of the host's user are open to it;
/// with one they still outlive the processes that made them, take memory until the session ends, and stay when a cell is
/// undone. `/dev/shm` does the same as files.
const LASTING_IPC: &[Call] = calls![
    SYS_shmget,
    SYS_shmat,
    SYS_shmdt,
    SYS_shmctl,
    SYS_semget,
    SYS_semop,
    SYS_semtimedop,
    SYS_semctl,
    SYS_msgget,
    SYS_msgsnd,
    SYS_msgrcv,
    SYS_msgctl,
    SYS_mq_open,
    SYS_mq_unlink,
    SYS_mq_timedsend,
    SYS_mq_timedreceive,
    SYS_mq_notify,
    SYS_mq_getsetattr
];

/// All calls that get EPERM.
pub(super) fn refused() -> impl Iterator<Item = &'static Call> {
    let groups = [
        EXPOSED,
        OTHER_PROCESSES,
        NAMESPACES,
        MOUNTS,
        FILE_HANDLES,
        MACHINE,
        PROCESSOR,
        MEMORY_PLACEMENT,
        SCHEDULING,
        LASTING_IPC,
    ];
    groups.into_iter().flatten()
}

/// All of the libc crate's numbers, and those it lacks.
#[allow(non_upper_case_globals)]
mod number {
    pub(super) use libc::*;

    // Linux 6.8, 6.8 and 6.15 (scripts/syscall.tbl); the same on every architecture.
    pub(super) const SYS_statmount: c_long = 457;
    pub(super) const SYS_listmount: c_long = 458;
    pub(super) const SYS_open_tree_attr: c_long = 467;
}
