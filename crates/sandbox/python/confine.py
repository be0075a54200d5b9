"""How a process takes its own rights away, by captured functions of libc. Every result is checked.

The order is the point: namespaces while still privileged, then limits, then the bounding set (it needs a capability),
then identity, then what the change of identity cleared (dumpable), then capabilities, and seccomp last because it may
forbid the calls before it.
"""
import ctypes
from errno import EINVAL, EPERM
from os import close, closerange, listdir, setgroups, setresgid, setresuid, strerror, write
from resource import RLIM_INFINITY, getrlimit, setrlimit

LIBC = ctypes.CDLL(None, use_errno=True)
get_errno, set_errno = ctypes.get_errno, ctypes.set_errno
c_char, c_int, c_long, c_ulong, c_uint32 = ctypes.c_char, ctypes.c_int, ctypes.c_long, ctypes.c_ulong, ctypes.c_uint32
string_buffer, reference, address_of = ctypes.create_string_buffer, ctypes.byref, ctypes.addressof

PR_SET_DUMPABLE, PR_SET_SECCOMP = 4, 22
PR_CAPBSET_READ, PR_CAPBSET_DROP = 23, 24
PR_SET_NO_NEW_PRIVS, PR_GET_NO_NEW_PRIVS, PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL = 38, 39, 47, 4
SECCOMP_MODE_FILTER = 2
CAPABILITY_VERSION_3 = 0x20080522
CAPABILITIES_MAX = 64
CLONE_NEWPID = 0x20000000
LANDLOCK_RESTRICT_SELF = 446    # the same number on every architecture
FILTER_ENTRY_BYTES = 8
UNLIMITED = (1 << 64) - 1


class Failure(Exception):
    """A step that was asked for and did not work: its text names the step and the errno."""


class FilterProgram(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("entries", ctypes.c_void_p)]


class CapabilityHeader(ctypes.Structure):
    _fields_ = [("version", c_uint32), ("pid", c_int)]


def checked(step, result):
    if result < 0:
        number = get_errno()
        raise Failure(f"{step}: {strerror(number)} (errno {number})")
    return result


def prctl(option, first=0, second=0, third=0, fourth=0):
    set_errno(0)
    return LIBC.prctl(c_int(option), c_ulong(first), c_ulong(second), c_ulong(third), c_ulong(fourth))


def enter_namespaces(fd, flags):
    """setns through a pidfd: all namespaces named by the flags at once."""
    set_errno(0)
    checked(f"setns 0x{flags:x}", LIBC.setns(c_int(fd), c_int(flags)))


def join_cgroups(descriptors):
    for fd in descriptors:
        try:
            write(fd, b"0")
        except OSError as error:
            raise Failure(f"cgroup: {error.strerror} (errno {error.errno})") from None


def close_all_but(kept):
    """Close every fd above 2 except those in `kept`."""
    try:
        open_now = sorted(int(name) for name in listdir("/proc/self/fd"))
    except OSError:         # no /proc here: everything up to the limit, at most the kernel's usual one
        limit = getrlimit(7)[0]
        last = 1 << 20 if limit == RLIM_INFINITY else min(limit, 1 << 20)
        start = 3
        for fd in sorted(kept):
            closerange(start, fd)
            start = fd + 1
        closerange(start, max(last, start))
        return
    for fd in open_now:
        if fd > 2 and fd not in kept:
            try:
                close(fd)
            except OSError:
                pass        # the fd of the listing itself


def set_limits(pairs):
    """Soft and hard limits alike. A limit that is already stricter stays."""
    for kind, value in pairs:
        try:
            hard = getrlimit(kind)[1]
            wanted = RLIM_INFINITY if value == UNLIMITED else value
            if hard != RLIM_INFINITY and (wanted == RLIM_INFINITY or wanted > hard):
                wanted = hard
            setrlimit(kind, (wanted, wanted))
        except (OSError, ValueError) as error:
            raise Failure(f"limit {kind} = {value}: {error}") from None


def drop_bounding_set():
    """Needs CAP_SETPCAP: without it there is nothing to lose that no_new_privs does not already withhold."""
    for capability in range(CAPABILITIES_MAX):
        present = prctl(PR_CAPBSET_READ, capability)
        if present < 0 and get_errno() == EINVAL:
            return          # past the last one of this kernel
        if present == 1 and prctl(PR_CAPBSET_DROP, capability) < 0 and get_errno() != EPERM:
            checked(f"drop capability {capability} from the bounding set", -1)


def change_identity(uid, gid):
    try:
        if uid is not None or gid is not None:
            try:
                setgroups([])
            except PermissionError:
                pass        # not privileged, or a user namespace that denies it: the kernel keeps the groups it has
        if gid is not None:
            setresgid(gid, gid, gid)
        if uid is not None:
            setresuid(uid, uid, uid)
    except OSError as error:
        raise Failure(f"become user {uid} and group {gid}: {error.strerror} (errno {error.errno})") from None


def drop_capabilities():
    header = CapabilityHeader(CAPABILITY_VERSION_3, 0)
    nothing = string_buffer(24)     # two sets of effective, permitted, inheritable
    set_errno(0)
    checked("capset", LIBC.capset(reference(header), nothing))
    if prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL) < 0 and get_errno() != EINVAL:
        checked("clear the ambient capabilities", -1)


def restrict_self(landlock_fd, filter_bytes):
    checked("no_new_privs", prctl(PR_SET_NO_NEW_PRIVS, 1))
    if landlock_fd is not None:
        set_errno(0)
        result = LIBC.syscall(c_long(LANDLOCK_RESTRICT_SELF), c_int(landlock_fd), c_uint32(0))
        checked("landlock_restrict_self", result)
        close(landlock_fd)
    if filter_bytes:
        count, rest = divmod(len(filter_bytes), FILTER_ENTRY_BYTES)
        if rest or count > 4096:
            raise Failure(f"seccomp: a filter of {len(filter_bytes)} bytes")
        entries = string_buffer(filter_bytes, len(filter_bytes))
        program = FilterProgram(count, address_of(entries))
        address = address_of(program)
        checked("seccomp", prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, address))


def thread_count():
    """Threads of this process, or None where /proc does not tell."""
    try:
        return len(listdir("/proc/self/task"))
    except OSError:
        return None


def confine(plan):
    """Give up everything this plan says, in order. Landlock's fd must still be open."""
    count = thread_count()
    if count is not None and count > 1:
        # Landlock, seccomp and capabilities belong to a thread: another one would stay free.
        raise Failure(f"{count} threads before confinement")
    set_limits(plan.limits)
    drop_bounding_set()
    change_identity(plan.uid, plan.gid)
    checked("dumpable", prctl(PR_SET_DUMPABLE, 1))
    drop_capabilities()
    restrict_self(plan.landlock, plan.seccomp)
    if prctl(PR_GET_NO_NEW_PRIVS) != 1:
        raise Failure("no_new_privs did not hold")
