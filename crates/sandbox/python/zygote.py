"""The zygote: an interpreter with its imports loaded, whose forks become the workers of sessions.

It serves packets of fields on a SOCK_SEQPACKET, one per session, and ends when the launcher closes it. In mode `alone`
the first session packet makes this very process the worker, for hosts where nothing may be forked into a namespace.

    zygote ── fork ──> stem ── cgroups, setns, fork ──> worker        the stem exits, and init of the namespace
       └── reaps <──────┘                                             inherits the worker

`alone` imports only after confinement: libraries start threads, and Landlock and seccomp bind single threads.
"""
import gc
import sys
from _signal import SIG_IGN, SIG_SETMASK, SIGINT, pthread_sigmask, signal as set_signal
from _socket import CMSG_SPACE, MSG_CMSG_CLOEXEC, MSG_CTRUNC, MSG_TRUNC, SCM_RIGHTS, SOL_SOCKET
from os import (O_CLOEXEC, O_NONBLOCK, O_RDONLY, O_RDWR, _exit as exit_now, chdir, close, dup, dup2, environ, fork,
                fsdecode, open as open_fd, pipe2, read, set_inheritable, waitpid, write)
from sys import version_info
from time import tzset

fields, confine = load("fields"), load("confine")
encode, decode = fields.encode, fields.decode
PACKET_BYTES_MAX = 4 << 20
DESCRIPTORS_MAX = 32
REASON_BYTES_MAX = 4096
LIMIT_BYTES = 12                # u32 resource | u64 value
VERSION = ".".join(str(part) for part in version_info[:3])
ZERO_NONCE = bytes(16)


class Plan:
    """What one session packet asks for."""

    def __init__(self, data, descriptors):
        values = {"limits": []}
        for key, value in decode(data):
            if key == "limits":
                values["limits"] += unpack_limits(value)
            else:
                values[key] = value
        names = values.get("fds", b"").decode().split(",")
        if len(names) != len(descriptors):
            raise ValueError(f"{len(descriptors)} descriptors came for {len(names)} names")
        named = dict(zip(names, descriptors))
        self.control, self.stdout, self.stderr = named["control"], named["stdout"], named["stderr"]
        self.landlock, self.init = named.get("landlock"), named.get("init")
        self.cgroups = [fd for name, fd in zip(names, descriptors) if name == "cgroup"]
        self.flags = int(values.get("setns", b"0") or b"0")
        self.pid_namespace = self.init is not None and values.get("pid_namespace") == b"1"
        self.uid = int(values["uid"]) if values.get("uid") else None
        self.gid = int(values["gid"]) if values.get("gid") else None
        self.limits = values["limits"]
        self.seccomp = values.get("seccomp", b"")
        self.environment = values.get("environment", b"")
        self.directory = values.get("directory", b"")
        self.argv0 = fsdecode(values.get("argv0", b""))


def unpack_limits(data):
    if len(data) % LIMIT_BYTES:
        raise ValueError(f"limits of {len(data)} bytes")
    entries = [data[at:at + LIMIT_BYTES] for at in range(0, len(data), LIMIT_BYTES)]
    return [(int.from_bytes(entry[:4], "little"), int.from_bytes(entry[4:], "little")) for entry in entries]


def set_environment(data):
    """Replace the environment by K=V pairs joined by NUL."""
    environ.clear()
    for entry in data.split(b"\0"):
        key, separator, value = entry.partition(b"=")
        if key and separator:
            environ[fsdecode(key)] = fsdecode(value)
    tzset()


def import_all(names):
    """Import each module with fds 1 and 2 on /dev/null; the reasons of those that could not be."""
    saved = [(fd, copy_of(fd)) for fd in (1, 2)]
    silent = open_fd("/dev/null", O_RDWR | O_CLOEXEC)
    missing = []
    try:
        for fd, _ in saved:
            dup2(silent, fd)
        for name in names:
            try:
                __import__(name)
            except BaseException as error:      # a module may do anything while it is imported, exit as well
                reason = f"{type(error).__name__}: {error}".replace("\n", " ")[:500]
                missing.append(f"{name}: {reason}")
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
    finally:
        for fd, copy in saved:
            if copy is not None:
                dup2(copy, fd)
                close(copy)
        close(silent)
    return missing


def copy_of(fd):
    try:
        return dup(fd)
    except OSError:
        return None         # closed by whoever started us


# ---- one session


def worker(plan, names):
    """Become the worker: never returns. A step that fails is told to init, and ends the process."""
    try:
        dup2(plan.stdout, 1)
        dup2(plan.stderr, 2)
        null = open_fd("/dev/null", O_RDONLY | O_CLOEXEC)
        dup2(null, 0)
        set_inheritable(plan.control, False)
        kept = {plan.control}
        if plan.landlock is not None:
            kept.add(plan.landlock)
        confine.close_all_but(kept)
        set_environment(plan.environment)
        if plan.directory:
            chdir(plan.directory)
        runner = load("runner")
        confine.confine(plan)
        pthread_sigmask(SIG_SETMASK, ())
        if names:
            import_all(names)
        runner.prepare(plan.control, plan.argv0)
    except BaseException as error:
        refuse(plan.control, f"{type(error).__name__}: {error}")
    runner.serve(VERSION)


def refuse(control, reason):
    """Tell init on the control socket that this session does not start, and exit."""
    body = ZERO_NONCE + b"X" + reason.encode("utf-8", "backslashreplace")[:REASON_BYTES_MAX]
    try:
        write(control, len(body).to_bytes(4, "little") + body)
    except OSError:
        pass                # init is gone; the exit status is all that is left
    exit_now(1)


def stem(plan, report):
    """Enter the session's cgroups and namespaces, and leave a worker behind there."""
    try:
        confine.join_cgroups(plan.cgroups)
        if plan.flags:
            confine.enter_namespaces(plan.init, plan.flags)
        if fork() == 0:
            close(report)
            worker(plan, ())
            exit_now(70)    # not reached
    except BaseException as error:
        text = f"{type(error).__name__}: {error}"
        write(report, text.encode("utf-8", "backslashreplace")[:REASON_BYTES_MAX])
        refuse(plan.control, text)
    exit_now(0)


def start_session(launcher, plan, own_namespace):
    """Fork the stem and reap it. Returns an error text, or "" if the worker is on its way."""
    result, report = pipe2(O_CLOEXEC | O_NONBLOCK)
    try:
        if plan.pid_namespace:
            confine.enter_namespaces(plan.init, confine.CLONE_NEWPID)
        pid = fork()
        if pid == 0:
            launcher.detach()
            stem(plan, report)
        status = waitpid(pid, 0)[1]
        try:
            text = read(result, REASON_BYTES_MAX).decode("utf-8", "replace")
        except BlockingIOError:
            text = ""       # nothing written, and the worker still holds the other end
        return text or (f"the stem ended with status {status}" if status else "")
    finally:
        close(result)
        close(report)
        if plan.pid_namespace and own_namespace is not None:
            try:            # a later fork must not land in a namespace whose init is gone
                confine.enter_namespaces(own_namespace, confine.CLONE_NEWPID)
            except confine.Failure:
                pass        # then the next session's packet names its own


def receive_packet(launcher, ancillary_bytes):
    """(data, descriptors); data is empty when the launcher is gone."""
    data, ancillary, flags, _ = launcher.recvmsg(PACKET_BYTES_MAX, ancillary_bytes, MSG_CMSG_CLOEXEC)
    descriptors = []
    for level, kind, content in ancillary:
        if level == SOL_SOCKET and kind == SCM_RIGHTS:
            descriptors += memoryview(content[:len(content) & ~3]).cast("i").tolist()
    if flags & (MSG_TRUNC | MSG_CTRUNC):
        for fd in descriptors:
            close(fd)
        raise ValueError("a packet that is too large")
    return data, descriptors


def serve(launcher, alone, names):
    ancillary_bytes = CMSG_SPACE(4 * DESCRIPTORS_MAX)
    try:
        own_namespace = open_fd("/proc/self/ns/pid", O_RDONLY | O_CLOEXEC)
    except OSError:
        own_namespace = None
    while True:
        descriptors = []
        try:
            data, descriptors = receive_packet(launcher, ancillary_bytes)
            if not data and not descriptors:
                exit_now(0)
            plan = Plan(data, descriptors)
            if alone:
                launcher.send(encode([("ok", "1")]))
                launcher.detach()
                confine.join_cgroups(plan.cgroups)
                worker(plan, names)
            error = start_session(launcher, plan, own_namespace)
        except Exception as failure:
            error = f"{type(failure).__name__}: {failure}"
        for fd in descriptors:
            close(fd)
        launcher.send(encode([("error", error)] if error else [("ok", "1")]))


def start(launcher, mode, pairs):
    """Called by the boot code with the launcher's first packet. Answers it, then serves."""
    values = dict(pairs)
    set_signal(SIGINT, SIG_IGN)     # ^C in the terminal of the host is the host's to handle
    set_environment(values.get("environment", b""))
    names = [name for name in values.get("imports", b"").decode("utf-8", "replace").split("\n") if name]
    load("runner").install()
    missing = []
    if mode == "zygote":
        missing = import_all(names)
    launcher.send(encode([("python", VERSION), ("missing", "\n".join(missing))]))
    if mode == "zygote":
        gc.collect()
        gc.freeze()     # what exists now is never walked by a worker's collector, so its pages stay shared
    serve(launcher, mode == "alone", names if mode == "alone" else ())
