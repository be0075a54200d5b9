"""Checkpoints: a fork of this interpreter that waits on a socket of its own, and how one wakes up as the head.

A fork is one `os.fork`, so that the hooks of libraries run (OpenBLAS ends its threads in them). The child stays a child
of the head until the head ends: it is reaped here when it is dropped. Code that waits for *any* child in a loop until
there is none (`os.wait()`) therefore waits for the checkpoints too.
"""
import threading
import warnings
from _random import Random
from _thread import allocate_lock, get_ident
from fcntl import F_GETFD, F_GETFL, FD_CLOEXEC, fcntl
from os import (O_ACCMODE, O_CLOEXEC, O_CREAT, O_EXCL, O_RDONLY, O_TRUNC, SEEK_CUR, SEEK_SET, WNOHANG, chdir, close,
                dup2, fork, fstat, getcwd, getpid, listdir, lseek, open as open_fd, read, readlink, register_at_fork,
                waitpid)
from stat import S_ISREG
from sys import _current_frames as current_frames, modules
from time import sleep

encode, tools = load("fields").encode, load("tools").Tools
warnings_space, threading_active = vars(warnings), threading._active
main_thread = get_ident()
random_state_of, set_random_state = Random.getstate, Random.setstate
STANDARD_FDS = 3
THREAD_END_ROUNDS, THREAD_END_SECONDS = 20, 0.0002
OPEN_FLAGS_DROPPED = O_CREAT | O_EXCL | O_TRUNC


class Checkpoint:
    channel = None
    forking = False             # the fork at hand is ours and keeps the channel
    children = []               # checkpoints that were not reaped yet
    files = []                  # (fd, path, flags, close on exec, offset) at the fork
    directory = ""


def install(channel):
    """Children that a cell forks lose the control socket. Registered before any hook of a cell."""
    Checkpoint.channel = channel

    def after_in_child():
        if not Checkpoint.forking:
            close(Checkpoint.channel.fd)
    register_at_fork(after_in_child=after_in_child)


def thread_names():
    """Names of the Python threads alive besides this one."""
    names = []
    for number in current_frames():
        if number != main_thread:
            try:
                name = threading_active[number]._name
            except Exception:
                name = None     # started below the threading module, or a thread object of the cell's own making
            names.append(name if type(name) is str else f"thread {number}")
    return names


def native_thread_count():
    try:
        return max(len(listdir("/proc/self/task")) - len(current_frames()), 0)
    except OSError:
        return 0                # no /proc here


def let_threads_end():
    """Give threads that were joined a moment to be gone: they would make this checkpoint count as unclean.

    A thread that ends is running. One that a library keeps for later sleeps, and is not waited for.
    """
    for _ in range(THREAD_END_ROUNDS):
        try:
            others = [number for number in listdir("/proc/self/task") if int(number) != getpid()]
            if len(current_frames()) > 1 or not any(is_running(number) for number in others):
                return
        except OSError:
            return              # no /proc here
        sleep(THREAD_END_SECONDS)


def is_running(thread):
    try:
        fd = open_fd(f"/proc/self/task/{thread}/stat", O_RDONLY | O_CLOEXEC)
    except OSError:
        return False            # gone
    try:
        return read(fd, 4096).rpartition(b") ")[2].startswith(b"R")
    except OSError:
        return False
    finally:
        close(fd)


def open_files():
    """Regular files that are open: (fd, path, flags, close on exec, offset)."""
    found = []
    try:
        numbers = [int(name) for name in listdir("/proc/self/fd")]
    except OSError:
        return found
    for fd in numbers:
        if fd < STANDARD_FDS:
            continue
        try:
            if S_ISREG(fstat(fd).st_mode):
                flags = fcntl(fd, F_GETFL)
                found.append((fd, readlink(f"/proc/self/fd/{fd}"), flags, fcntl(fd, F_GETFD) & FD_CLOEXEC,
                              lseek(fd, 0, SEEK_CUR)))
        except OSError:
            pass                # the fd of the listing, closed by now
    return found


def reap():
    """Take the exit status of checkpoints that were dropped."""
    for pid in list(Checkpoint.children):
        try:
            done = waitpid(pid, WNOHANG)[0]
        except OSError:
            done = pid          # a cell waited for it already
        if done:
            Checkpoint.children.remove(pid)


def random_state():
    """The generator behind `random`: the library reseeds it in every child, and a checkpoint must not be reseeded."""
    generator = getattr(modules.get("random"), "_inst", None)
    if not issubclass(type(generator), Random):
        return None
    try:
        return generator, random_state_of(generator), generator.gauss_next
    except Exception:
        return None


def restore_random(kept):
    if kept is not None:
        generator, numbers, gauss = kept
        set_random_state(generator, numbers)
        generator.gauss_next = gauss


def take(fd):
    """Fork a checkpoint that uses `fd`. Returns (tag, payload) to answer with, in the head and in the checkpoint.

    Runs in the interruptible window: hooks of the cell run inside the fork, and may hang or raise.
    """
    reap()
    let_threads_end()
    try:
        Checkpoint.directory = getcwd()
    except OSError:
        Checkpoint.directory = ""       # the folder is gone
    Checkpoint.files = open_files()
    generator, parent, failure = random_state(), getpid(), None
    Checkpoint.forking = True
    with Checkpoint.channel.sending:    # no thread is in the middle of a frame
        try:
            Checkpoint.children.append(quiet_fork())
        except BaseException as error:  # an interrupt may come after the fork: only the pid tells who we are
            failure = error
        Checkpoint.forking = False
        if getpid() != parent:
            close(Checkpoint.channel.fd)
            Checkpoint.channel.adopt(fd)
            Checkpoint.children = []
            tools.calling = allocate_lock()     # a thread that is no longer here may have held it
            restore_random(generator)
            return b"S", b""
    native = native_thread_count()      # before anything lets a library start its threads again
    close(fd)
    if failure is not None:
        return b"N", reason(failure)
    writable = [entry[1] for entry in Checkpoint.files if entry[2] & O_ACCMODE != O_RDONLY]
    return b"S", encode([("threads", "\n".join(thread_names())), ("native_threads", str(native)),
                         ("files", "\n".join(writable))])


def reason(error):
    """Why there is no checkpoint. Only the errors of the system say more than their name: others are code of a cell."""
    text = f": {error.strerror}" if type(error) in (OSError, BlockingIOError, PermissionError) else ""
    return f"{type(error).__name__}{text}".encode("utf-8", "backslashreplace")


def quiet_fork():
    """fork() without the warning about threads of Python 3.12: they are reported to init instead.

    A cell that turned warnings into errors would otherwise make the fork fail after it happened.
    """
    before = warnings_space.get("filters")
    warnings_space["filters"] = [("ignore", None, Warning, None, 0)]
    try:
        return fork()
    finally:
        warnings_space["filters"] = before


def wake():
    """Become the head: files and folder as they were at the fork, on descriptors that nobody shares."""
    for fd, name, flags, close_on_exec, offset in Checkpoint.files:
        for source in (name, f"/proc/self/fd/{fd}"):    # the second one for files that were deleted
            try:
                again = open_fd(source, flags & ~OPEN_FLAGS_DROPPED)
            except OSError:
                continue
            try:
                if S_ISREG(fstat(again).st_mode):
                    dup2(again, fd, not close_on_exec)
                    lseek(fd, offset, SEEK_SET)
            finally:
                close(again)
            break
    if Checkpoint.directory:
        try:
            chdir(Checkpoint.directory)
        except OSError:
            pass                # gone from the workspace: the next cell will see that itself
