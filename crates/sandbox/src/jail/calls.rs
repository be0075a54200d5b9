//! The system calls of a launcher that no crate wraps: all of its unsafe code.

use rustix::thread::UnshareFlags;
use std::io;
use std::os::fd::{AsFd, AsRawFd, RawFd};

/// Copy this process into new namespaces; 0 is returned in the copy.
///
/// # Errors
/// What the kernel answers: EPERM, ENOSPC (no namespace left), EAGAIN (no process left).
pub(crate) fn fork_into(namespaces: UnshareFlags) -> io::Result<i32> {
    let flags = libc::c_long::from(namespaces.bits()) | libc::c_long::from(libc::SIGCHLD);
    // SAFETY: without a stack and without CLONE_VM this is fork. The launcher has one thread, so no lock is held in the
    // copy by a thread that is not there.
    let pid = unsafe { libc::syscall(libc::SYS_clone, flags, 0, 0, 0, 0) };
    if pid < 0 { Err(io::Error::last_os_error()) } else { Ok(pid as i32) }
}

/// Leave the namespaces that `namespaces` names for new ones.
///
/// # Errors
/// What the kernel answers.
pub(crate) fn unshare(namespaces: UnshareFlags) -> io::Result<()> {
    // SAFETY: file descriptors are not unshared, which is the one flag that could surprise other threads.
    unsafe { rustix::thread::unshare_unsafe(namespaces) }.map_err(io::Error::from)
}

/// End this process without running what the host program registered for its end.
pub(crate) fn exit(status: i32) -> ! {
    // SAFETY: never returns, and touches nothing of this process.
    unsafe { libc::_exit(status) }
}

/// Attributes of a mount, as `mount_setattr` takes them.
#[repr(C)]
#[derive(Default)]
struct MountAttributes {
    set: u64,
    clear: u64,
    propagation: u64,
    user_namespace_fd: u64,
}

/// No set-user-id programs, no devices.
pub(crate) const PLAIN: u64 = libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NODEV;
/// Likewise, and nothing can be written.
pub(crate) const READ_ONLY: u64 = PLAIN | libc::MOUNT_ATTR_RDONLY;

/// Set attributes on the mount `tree` and, if asked, on all mounts below it (Linux 5.12).
///
/// # Errors
/// ENOSYS before Linux 5.12; EINVAL for an id map that the file system does not know.
pub(crate) fn set_mount_attributes(tree: impl AsFd, attributes: u64, below: bool) -> io::Result<()> {
    mount_setattr(tree, below, &MountAttributes { set: attributes, ..MountAttributes::default() })
}

/// Show files of the mount with the ids that the user namespace `map` gives to those on the disk.
///
/// # Errors
/// EINVAL where the file system cannot.
pub(crate) fn map_ids(tree: impl AsFd, map: impl AsFd) -> io::Result<()> {
    let user_namespace_fd = map.as_fd().as_raw_fd() as u64;
    mount_setattr(
        tree,
        false,
        &MountAttributes { set: libc::MOUNT_ATTR_IDMAP, user_namespace_fd, ..Default::default() },
    )
}

fn mount_setattr(tree: impl AsFd, below: bool, attributes: &MountAttributes) -> io::Result<()> {
    let flags = libc::AT_EMPTY_PATH | if below { libc::AT_RECURSIVE } else { 0 };
    let fd = tree.as_fd().as_raw_fd();
    // SAFETY: the path is an empty C string, and the structure has the kernel's layout and outlives the call.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            fd,
            c"".as_ptr(),
            flags,
            attributes as *const MountAttributes,
            size_of::<MountAttributes>(),
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Switch a network interface of this namespace on.
///
/// # Errors
/// EPERM without CAP_NET_ADMIN over the namespace.
pub(crate) fn raise_interface(socket: i32, name: &std::ffi::CStr) -> io::Result<()> {
    // SAFETY: zero is a valid value of this plain structure.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(name.to_bytes()) {
        *to = *from as libc::c_char;
    }
    request.ifr_ifru.ifru_flags = libc::IFF_UP as libc::c_short;
    // SAFETY: the request is of the type that this call reads, and outlives it.
    let result = unsafe { libc::ioctl(socket, libc::SIOCSIFFLAGS, &raw const request) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// A descriptor that can be read whenever a child has ended. SIGCHLD is blocked from here on.
///
/// # Errors
/// EMFILE.
pub(crate) fn child_ends() -> io::Result<std::os::fd::OwnedFd> {
    // SAFETY: the set is initialised by the first call and outlives the others; the returned descriptor is new.
    unsafe {
        let mut signals: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut signals);
        libc::sigaddset(&raw mut signals, libc::SIGCHLD);
        if libc::sigprocmask(libc::SIG_BLOCK, &raw const signals, std::ptr::null_mut()) != 0 {
            return Err(io::Error::last_os_error());
        }
        match libc::signalfd(-1, &raw const signals, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK) {
            fd if fd >= 0 => Ok(std::os::fd::FromRawFd::from_raw_fd(fd)),
            _ => Err(io::Error::last_os_error()),
        }
    }
}

/// Close what this process inherited beyond its standard streams, and start a session without a terminal.
///
/// # Errors
/// When descriptors would stay open.
pub(crate) fn let_go_of_the_host() -> io::Result<()> {
    // SAFETY: nothing in this process uses these descriptors yet, and the other calls only change how it is treated.
    unsafe {
        libc::setsid();
        libc::signal(libc::SIGPIPE, libc::SIG_IGN);
        libc::signal(libc::SIGINT, libc::SIG_DFL);
        if libc::syscall(libc::SYS_close_range, 3 as libc::c_uint, libc::c_uint::MAX, 0) != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

/// Close all descriptors but `kept` and the standard streams, of which the first becomes `/dev/null`. For a copy of this
/// process that will leave by [`exit`] and uses nothing else of what it had.
///
/// # Errors
/// When descriptors would stay open.
pub(crate) fn keep_only(kept: &[RawFd]) -> io::Result<()> {
    let null = std::fs::File::open("/dev/null")?;
    // SAFETY: the standard input is nobody's here but this function's.
    if unsafe { libc::dup2(null.as_raw_fd(), libc::STDIN_FILENO) } < 0 {
        return Err(io::Error::last_os_error());
    }
    drop(null);
    let mut kept: Vec<u64> = kept.iter().map(|fd| u64::from(fd.cast_unsigned())).filter(|fd| *fd > 2).collect();
    kept.sort_unstable();
    let mut first = 3;
    for end in kept.into_iter().chain([u64::from(u32::MAX) + 1]) {
        // SAFETY: the range holds no descriptor that is used again, as the caller promises.
        if first < end && unsafe { libc::syscall(libc::SYS_close_range, first, end - 1, 0) } != 0 {
            return Err(io::Error::last_os_error());
        }
        first = end + 1;
    }
    Ok(())
}

/// Give the orphans among the descendants of this process to it.
pub(crate) fn adopt_orphans() {
    // SAFETY: touches no memory.
    unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) };
}
