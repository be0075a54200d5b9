"""For the tests: plays launcher and init for an interpreter, over socket pairs, with the protocols they really speak.

CODEACT_TEST_PYTHON names the interpreter under test; without it, the one that runs the tests.
"""
import array
import os
import pathlib
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest

HERE = pathlib.Path(__file__).resolve().parent
PYTHON = os.environ.get("CODEACT_TEST_PYTHON", sys.executable)
SECONDS_MAX = 60
# One filter entry, BPF_RET | BPF_K with SECCOMP_RET_ALLOW: installed like a real one, and refuses nothing.
ALLOW_ALL = bytes([0x06, 0, 0, 0]) + (0x7FFF0000).to_bytes(4, "little")


def sources():
    names = [path for path in HERE.glob("*.py") if path.name not in ("boot.py", "harness.py")]
    return {path.name: path.read_bytes() for path in names if not path.name.startswith("test_")}


def encode(pairs):
    parts = []
    for item in (item for pair in pairs for item in pair):
        data = item.encode() if isinstance(item, str) else item
        parts.append(len(data).to_bytes(4, "little") + data)
    return b"".join(parts)


def decode(data):
    items, position = [], 0
    while position < len(data):
        size = int.from_bytes(data[position:position + 4], "little")
        items.append(data[position + 4:position + 4 + size])
        position += 4 + size
    return [(items[i].decode(), items[i + 1]) for i in range(0, len(items), 2)]


def send_with_fds(sock, data, fds):
    ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
    sock.sendmsg([data], ancillary)


class Launcher:
    """An interpreter in mode `zygote` or `alone`."""

    def __init__(self, mode, imports=(), environment=()):
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        for end in (ours, theirs):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 << 20)
        self.socket, self.mode = ours, mode
        boot = (HERE / "boot.py").read_text()
        arguments = [PYTHON, "-I", "-B", "-X", "utf8", "-c", boot, str(theirs.fileno()), mode]
        self.process = subprocess.Popen(arguments, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL)
        theirs.close()
        ours.settimeout(SECONDS_MAX)
        base = ["PATH=/usr/bin:/bin", "HOME=/tmp", "LANG=C.UTF-8", "MPLCONFIGDIR=" + tempfile.gettempdir()]
        self.environment = "\0".join([*base, *environment])
        pairs = [("source/" + name, text) for name, text in sources().items()]
        pairs += [("imports", "\n".join(imports)), ("environment", self.environment)]
        ours.send(encode(pairs))
        self.ready = dict(decode(ours.recv(1 << 20)))

    def session(self, directory, **fields):
        return Session(self, directory, fields)

    def close(self):
        self.socket.close()
        try:
            self.process.wait(SECONDS_MAX)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise


class Answer:
    """What a cell gave: the final frame, what came before it, and the pipes' bytes."""

    def __init__(self, tag, payload, displays, out, err):
        self.tag, self.fields = tag, dict(decode(payload)) if tag != "N" else {"reason": payload}
        self.displays, self.out, self.err = displays, out, err

    def value(self, mime="text/plain"):
        data = self.fields.get("value/" + mime)
        return data if data is None or mime.startswith("image/") else data.decode()

    def traceback(self):
        return self.fields.get("error/traceback", b"").decode()

    def name(self):
        return self.fields.get("error/name", b"").decode()

    def __repr__(self):
        return f"<{self.tag} {self.fields} displays={len(self.displays)} out={self.out!r} err={self.err!r}>"


class Dead(Exception):
    """The runner closed its socket."""


class Head:
    """The host's end of one runner's control socket."""

    def __init__(self, sock):
        self.socket, self.tools, self.ignored = sock, None, []
        sock.settimeout(SECONDS_MAX)

    def read(self, size):
        parts = []
        while size:
            try:
                part = self.socket.recv(min(size, 1 << 20))
            except ConnectionError:
                raise Dead from None
            if not part:
                raise Dead
            parts.append(part)
            size -= len(part)
        return b"".join(parts)

    def read_frame(self):
        body = self.read(int.from_bytes(self.read(4), "little"))
        return body[:16], body[16:17].decode(), body[17:]

    def send(self, nonce, tag, payload, fds=()):
        body = nonce + tag.encode() + payload
        data = len(body).to_bytes(4, "little") + body
        if fds:
            send_with_fds(self.socket, data[:4], fds)
            data = data[4:]
        try:
            self.socket.sendall(data)
        except ConnectionError:
            raise Dead from None

    def ask(self, tag, payload=b"", fds=()):
        """Send a request, serve tool calls, and return (tag, payload, displays) of the final answer."""
        nonce = os.urandom(16)
        self.send(nonce, tag, payload, fds)
        displays = []
        while True:
            got, kind, data = self.read_frame()
            if got != nonce:
                self.ignored.append((got, kind, data))
            elif kind == "D":
                displays.append(dict(decode(data)))
            elif kind == "T":
                answer = self.tools(dict(decode(data)))
                if answer is not None:
                    self.send(nonce, "T", encode(answer))
            else:
                return kind, data, displays


class Session(Head):
    def __init__(self, launcher, directory, fields):
        ours, theirs = socket.socketpair()
        super().__init__(ours)
        self.launcher, self.directory, self.children = launcher, directory, []
        self.out, out = os.pipe()
        self.err, err = os.pipe()
        for fd in (self.out, self.err):
            os.set_blocking(fd, False)
        attached = dict(fields.pop("attached", {}))
        values = {"fds": ",".join(["control", "stdout", "stderr", *attached]), "setns": "0", "directory": directory, "argv0": "cell",
                  "environment": launcher.environment, "seccomp": ALLOW_ALL}
        values.update(fields)
        pairs = [(key, item) for key, value in values.items() for item in (value if type(value) is list else [value])]
        send_with_fds(launcher.socket, encode(pairs), [theirs.fileno(), out, err, *attached.values()])
        theirs.close()
        os.close(out)
        os.close(err)
        self.reply = dict(decode(launcher.socket.recv(1 << 16)))
        nonce, self.hello, payload = self.read_frame()
        self.hello_payload = payload
        assert nonce == bytes(16)
        self.pid = self.peer_pid()

    def peer_pid(self):
        if self.launcher.mode == "alone":
            return self.launcher.process.pid
        return int(self.cell("__import__('os').getpid()").value()) if self.hello == "H" else 0

    def drain(self, fd, seconds=0.0):
        parts = []
        while select.select([fd], [], [], seconds)[0]:
            part = os.read(fd, 1 << 16)
            if not part:
                break
            parts.append(part)
        return b"".join(parts).decode("utf-8", "replace")

    def cell(self, code, head=None):
        tag, payload, displays = (head or self).ask("C", code.encode("utf-8", "surrogatepass"))
        return Answer(tag, payload, displays, self.drain(self.out), self.drain(self.err))

    def interrupt_after(self, *seconds):
        """SIGINT to the worker after each of these waits, from a child process, while the test waits for the answer."""
        code = f"import os, time\nfor wait in {seconds}: time.sleep(wait); os.kill({self.pid}, {int(signal.SIGINT)})"
        return subprocess.Popen([sys.executable, "-c", code])

    def checkpoint(self, head=None):
        """(answer of the head, the checkpoint's own socket or None)."""
        ours, theirs = socket.socketpair()
        tag, payload, _ = (head or self).ask("S", fds=[theirs.fileno()])
        theirs.close()
        answer = Answer(tag, payload, [], "", "")
        if tag != "S":
            ours.close()
            return answer, None
        child = Head(ours)
        self.children.append(child)
        _, kind, data = child.read_frame()
        assert (kind, data) == ("S", b""), (kind, data)
        return answer, child

    def close(self):
        """Also closes the checkpoints that are left."""
        for head in (self, *self.children):
            head.socket.close()
        for fd in (self.out, self.err):
            os.close(fd)


def wait_for(condition):
    """Until it holds; False after a generous while."""
    deadline = time.monotonic() + SECONDS_MAX
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.01)
    return False


def has_modules(*names):
    """Whether the interpreter under test can import them all."""
    code = "import " + ", ".join(names)
    return subprocess.run([PYTHON, "-I", "-c", code], capture_output=True).returncode == 0


class Case(unittest.TestCase):
    """Tests with one zygote for the class, and a session with a folder of its own for every call of `session`."""
    imports = ()
    environment = ()

    @classmethod
    def setUpClass(cls):
        cls.launcher = Launcher("zygote", cls.imports, cls.environment)
        cls.addClassCleanup(cls.launcher.close)

    def session(self, launcher=None, **fields):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        os.chmod(folder.name, 0o777)    # a worker may run as another user
        session = (launcher or self.launcher).session(folder.name, **fields)
        self.addCleanup(session.close)
        return session

    def alone(self, **fields):
        launcher = Launcher("alone", self.imports, self.environment)
        self.addCleanup(launcher.close)
        return self.session(launcher, **fields)


def skip(reason):
    """Skip a test so that it shows even where the runner prints no reasons."""
    print(f"skipped: {reason}", file=sys.stderr)
    raise unittest.SkipTest(reason)
