//! What happens between fork and exec: the child takes its own rights away, and reports what worked.
//!
//! Everything here runs in a fork of a process with many threads, so it makes raw system calls and touches no heap,
//! no lock and no environment. A step that this host refuses does not stop the others: its error number goes into the
//! [`Report`], and [`crate::Protection`] says so.

use std::os::fd::RawFd;

/// The steps, as indices into a [`Report`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    Namespaces,
    Limits,
    Processes,
    Identity,
    NoNewPrivileges,
    Fence,
    ParentDeath,
}

const STEP_COUNT: usize = 7;
/// The step was not asked for.
pub(crate) const NOT_TRIED: i32 = -1;

/// Error number per step; 0: it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Report([i32; STEP_COUNT]);

/// Size of a report on the control socket.
pub(crate) const REPORT_BYTES: usize = STEP_COUNT * 4;

impl Report {
    pub(crate) fn from_bytes(bytes: &[u8; REPORT_BYTES]) -> Self {
        let mut errors = [NOT_TRIED; STEP_COUNT];
        for (error, chunk) in errors.iter_mut().zip(bytes.as_chunks::<4>().0) {
            *error = i32::from_ne_bytes(*chunk);
        }
        Report(errors)
    }

    pub(crate) fn error(&self, step: Step) -> i32 {
        self.0[step as usize]
    }

    pub(crate) fn holds(&self, step: Step) -> bool {
        self.error(step) == 0
    }
}

/// Whom the interpreter runs as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Identity {
    /// The host is not root: stay the same user.
    Same,
    /// The host is root, and cannot become somebody else: stay root, without capabilities.
    BareRoot,
    /// The host is root: become this user and group. `reads_all` keeps CAP_DAC_READ_SEARCH, for an interpreter that
    /// lies in a folder only root may enter; Landlock still decides what can be read.
    User { id: u32, reads_all: bool },
}

/// The plan of one child, made before the fork.
#[derive(Debug)]
pub(crate) struct Confinement {
    pub control_fd: RawFd,
    pub fence_fd: Option<RawFd>,
    pub parent_pid: libc::pid_t,
    pub identity: Identity,
    /// Resource and value, soft and hard alike.
    pub limits: [(libc::__rlimit_resource_t, u64); 5],
    pub processes_max: u64,
    /// `0 0 1`-style lines for the user namespace of a host that is not root.
    pub user_map: Vec<u8>,
    pub group_map: Vec<u8>,
}

const CAP_DAC_READ_SEARCH: u32 = 2;
const CAPABILITY_VERSION_3: u32 = 0x2008_0522;

#[repr(C)]
struct CapabilityHeader {
    version: u32,
    pid: i32,
}

#[repr(C)]
#[derive(Clone, Copy, Default)]
struct CapabilitySet {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

impl Confinement {
    /// Apply the plan to this process.
    ///
    /// # Errors
    /// Only where going on would be wrong: file descriptors that stay open, or a host that is gone.
    ///
    /// # Safety
    /// Only in a child between fork and exec.
    pub(crate) unsafe fn apply(&self) -> std::io::Result<()> {
        let mut report = [NOT_TRIED; STEP_COUNT];
        // SAFETY: plain system calls on this process; every pointer passed is to a live local or to `self`.
        unsafe {
            if libc::setsid() < 0 {
                return Err(std::io::Error::last_os_error());
            }
            // A host started with SIGINT ignored (nohup) would pass that on, and cells could not be interrupted.
            libc::signal(libc::SIGINT, libc::SIG_DFL);
            report[Step::Namespaces as usize] = self.enter_namespaces();
            let own_count = self.identity != Identity::BareRoot
                && (self.identity != Identity::Same || report[Step::Namespaces as usize] == 0);
            report[Step::Limits as usize] = self.set_limits();
            if own_count {
                report[Step::Processes as usize] = set_limit(libc::RLIMIT_NPROC, self.processes_max);
            }
            self.keep_only_control()?;
            report[Step::Identity as usize] = self.change_identity();
            if report[Step::Identity as usize] > 0 {
                // Still root, for whom the kernel does not count processes.
                report[Step::Processes as usize] = report[Step::Identity as usize];
            }
            report[Step::NoNewPrivileges as usize] = errno(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0).into());
            if let Some(fd) = self.fence_fd {
                report[Step::Fence as usize] = errno(libc::syscall(libc::SYS_landlock_restrict_self, fd, 0));
            }
            // After the change of user, which clears it.
            report[Step::ParentDeath as usize] = errno(libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL).into());
            if libc::getppid() != self.parent_pid {
                return Err(std::io::Error::from_raw_os_error(libc::ESRCH));
            }
            let written = libc::write(self.control_fd, report.as_ptr().cast(), REPORT_BYTES);
            if usize::try_from(written) != Ok(REPORT_BYTES) {
                return Err(std::io::Error::last_os_error());
            }
        }
        Ok(())
    }

    /// A network of its own with nothing in it, and own IPC and host names. Not root: inside a new user namespace.
    unsafe fn enter_namespaces(&self) -> i32 {
        let wanted = libc::CLONE_NEWNET | libc::CLONE_NEWIPC | libc::CLONE_NEWUTS;
        // SAFETY: system calls on this process; the maps are live byte slices.
        unsafe {
            if self.identity != Identity::Same {
                return errno(libc::unshare(wanted).into());
            }
            if libc::unshare(wanted | libc::CLONE_NEWUSER) != 0 {
                return errno(-1);
            }
            // Without a map Python would see itself as user 65534. Failing that is harmless.
            write_file(c"/proc/self/setgroups", b"deny");
            write_file(c"/proc/self/uid_map", &self.user_map);
            write_file(c"/proc/self/gid_map", &self.group_map);
        }
        0
    }

    unsafe fn set_limits(&self) -> i32 {
        for (resource, value) in self.limits {
            // SAFETY: a system call on this process.
            let error = unsafe { set_limit(resource, value) };
            if error != 0 {
                return error;
            }
        }
        0
    }

    /// Mark everything above stderr to close at exec, but the control socket.
    unsafe fn keep_only_control(&self) -> std::io::Result<()> {
        // SAFETY: system calls on this process's own descriptors.
        unsafe {
            let flags = libc::CLOSE_RANGE_CLOEXEC;
            if libc::syscall(libc::SYS_close_range, 3 as libc::c_uint, libc::c_uint::MAX, flags) != 0 {
                // Before Linux 5.11. The limit set just before bounds new descriptors, not the ones already open.
                for fd in 3..65_536 {
                    libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC);
                }
            }
            if libc::fcntl(self.control_fd, libc::F_SETFD, 0) != 0 {
                return Err(std::io::Error::last_os_error());
            }
        }
        Ok(())
    }

    unsafe fn change_identity(&self) -> i32 {
        // SAFETY: system calls on this process; the structures live on this stack and have the kernel's layout.
        unsafe {
            match self.identity {
                Identity::Same => NOT_TRIED,
                Identity::BareRoot => {
                    // NOROOT, locked: exec gives uid 0 no capabilities back.
                    let error = errno(libc::prctl(libc::PR_SET_SECUREBITS, 0b11, 0, 0, 0).into());
                    if error != 0 { error } else { set_capabilities(0) }
                }
                Identity::User { id, reads_all } => {
                    libc::prctl(libc::PR_SET_KEEPCAPS, libc::c_ulong::from(reads_all), 0, 0, 0);
                    if libc::setgroups(0, std::ptr::null()) != 0
                        || libc::setresgid(id, id, id) != 0
                        || libc::setresuid(id, id, id) != 0
                    {
                        return errno(-1);
                    }
                    if !reads_all {
                        return set_capabilities(0);
                    }
                    let error = set_capabilities(1 << CAP_DAC_READ_SEARCH);
                    if error != 0 {
                        return error;
                    }
                    let raise = libc::PR_CAP_AMBIENT_RAISE as libc::c_ulong;
                    let capability = libc::c_ulong::from(CAP_DAC_READ_SEARCH);
                    errno(libc::prctl(libc::PR_CAP_AMBIENT, raise, capability, 0, 0).into())
                }
            }
        }
    }
}

unsafe fn set_capabilities(bits: u32) -> i32 {
    let header = CapabilityHeader { version: CAPABILITY_VERSION_3, pid: 0 };
    let low = CapabilitySet { effective: bits, permitted: bits, inheritable: bits };
    let sets = [low, CapabilitySet::default()];
    // SAFETY: both structures have the layout of version 3 of this call and outlive it.
    unsafe { errno(libc::syscall(libc::SYS_capset, &raw const header, sets.as_ptr())) }
}

unsafe fn set_limit(resource: libc::__rlimit_resource_t, value: u64) -> i32 {
    let limit = libc::rlimit { rlim_cur: value, rlim_max: value };
    // SAFETY: `limit` outlives the call.
    unsafe { errno(libc::setrlimit(resource, &raw const limit).into()) }
}

unsafe fn write_file(path: &std::ffi::CStr, bytes: &[u8]) {
    // SAFETY: the path ends in a zero byte, and `bytes` is a live slice.
    unsafe {
        let fd = libc::open(path.as_ptr(), libc::O_WRONLY | libc::O_CLOEXEC);
        if fd >= 0 {
            libc::write(fd, bytes.as_ptr().cast(), bytes.len());
            libc::close(fd);
        }
    }
}

fn errno(result: libc::c_long) -> i32 {
    // SAFETY: the location of errno is valid for the calling thread.
    if result == 0 { 0 } else { unsafe { *libc::__errno_location() } }
}

/// Whether this process holds CAP_DAC_READ_SEARCH, and so could pass it on.
pub(crate) fn can_read_all() -> bool {
    let header = CapabilityHeader { version: CAPABILITY_VERSION_3, pid: 0 };
    let mut sets = [CapabilitySet::default(); 2];
    // SAFETY: both structures have the layout of version 3 of this call, which writes two sets.
    let result = unsafe { libc::syscall(libc::SYS_capget, &raw const header, sets.as_mut_ptr()) };
    result == 0 && sets[0].permitted & (1 << CAP_DAC_READ_SEARCH) != 0
}
