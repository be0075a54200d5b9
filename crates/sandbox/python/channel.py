"""The control channel: framed requests and answers on one stream socket, whole frames only.

    frame = u32 LE length of body | body        body = 16-byte nonce | 1 byte tag | payload

The nonce of the request at hand lives in raw memory, outside every Python object, so that neither frames nor the
garbage collector lead to it while a cell runs. It is zeroed when the answer is out. A cell that reads its own process'
memory can still find it: it can then misreport its own cell and nothing else.

While a frame is written, signals are blocked and the thread's trace functions are off: an exception thrown half way
would leave the stream out of step.
"""
from _signal import SIG_BLOCK, SIG_SETMASK, pthread_sigmask, valid_signals
from _socket import AF_UNIX, CMSG_SPACE, MSG_CMSG_CLOEXEC, SCM_RIGHTS, SOCK_STREAM, SOL_SOCKET, socket
from _thread import allocate_lock
from ctypes import c_size_t, c_ssize_t, c_void_p, memmove, py_object, pythonapi
from os import _exit as exit_now, close, getpid, write
from select import POLLIN, POLLOUT, poll
from sys import getprofile, gettrace, setprofile, settrace

FRAME_BYTES_MAX = load("fields").FRAME_BYTES_MAX
NONCE_BYTES = 16
HEAD_BYTES = NONCE_BYTES + 1
CHUNK_BYTES = 1 << 16
DESCRIPTORS_MAX = 4
ALL_SIGNALS = frozenset(valid_signals())
NO_SIGNALS = frozenset()
NO_NONCE = bytes(NONCE_BYTES)

allocate_memory = pythonapi.PyMem_RawMalloc
allocate_memory.restype, allocate_memory.argtypes = c_void_p, [c_size_t]
bytes_at = pythonapi.PyBytes_FromStringAndSize
bytes_at.restype, bytes_at.argtypes = py_object, [c_void_p, c_ssize_t]


class Channel:
    """One socket to init. `adopt` changes the socket: the checkpoint that a fork makes has its own."""

    def __init__(self, fd):
        self.nonce_address = allocate_memory(NONCE_BYTES)
        memmove(self.nonce_address, NO_NONCE, NONCE_BYTES)
        self.ancillary_bytes = CMSG_SPACE(4 * DESCRIPTORS_MAX)
        self.socket = None
        self.adopt(fd)

    def adopt(self, fd):
        """Use this fd from now on, and forget what was half read on the one before."""
        if self.socket is not None:
            self.socket.detach()
        self.fd = fd
        self.socket = socket(AF_UNIX, SOCK_STREAM, 0, fd)
        self.receive_bytes = self.socket.recvmsg
        self.inbox = bytearray()
        self.descriptors = []
        self.sending = allocate_lock()
        self.owner = getpid()

    def is_owner(self):
        """False in a process that a cell forked: the channel is not its to use."""
        return getpid() == self.owner

    # ---- receiving

    def wait_until(self, event, milliseconds=-1):
        waiting = poll()
        waiting.register(self.fd, event)
        return bool(waiting.poll(milliseconds))

    def fill(self, size):
        """Read until the inbox holds `size` bytes. The process ends when init is gone: nobody is left to answer to."""
        while len(self.inbox) < size:
            try:
                part, ancillary, _, _ = self.receive_bytes(CHUNK_BYTES, self.ancillary_bytes, MSG_CMSG_CLOEXEC)
            except BlockingIOError:     # a cell found the fd and made it non-blocking
                self.wait_until(POLLIN)
                continue
            except OSError:
                exit_now(3)
            if not part:
                exit_now(0)
            self.inbox += part
            for level, kind, data in ancillary:
                if level == SOL_SOCKET and kind == SCM_RIGHTS:
                    self.descriptors += memoryview(data[:len(data) & ~3]).cast("i").tolist()

    def receive(self):
        """The next frame: (nonce, tag, payload)."""
        self.fill(4)
        size = int.from_bytes(self.inbox[:4], "little")
        if not HEAD_BYTES <= size <= FRAME_BYTES_MAX:
            exit_now(3)
        self.fill(4 + size)
        body = bytes(memoryview(self.inbox)[4:4 + size])
        del self.inbox[:4 + size]
        return body[:NONCE_BYTES], body[NONCE_BYTES:HEAD_BYTES], body[HEAD_BYTES:]

    def next_request(self):
        """(tag, payload); the nonce goes where `send` takes it from."""
        nonce, tag, payload = self.receive()
        memmove(self.nonce_address, nonce, NONCE_BYTES)
        return tag, payload

    def take_descriptor(self):
        """The oldest fd that came with a frame, or None."""
        return self.descriptors.pop(0) if self.descriptors else None

    def close_descriptors(self):
        """Close fds that nothing asked for."""
        while self.descriptors:
            close(self.descriptors.pop())

    # ---- sending

    def is_current(self, nonce):
        return bytes_at(self.nonce_address, NONCE_BYTES) == nonce != NO_NONCE

    def forget_nonce(self):
        memmove(self.nonce_address, NO_NONCE, NONCE_BYTES)

    def send(self, tag, payload):
        """Send one frame with the nonce of the request at hand. False, and nothing sent, in a fork of the cell."""
        if not self.is_owner():
            return False
        if HEAD_BYTES + len(payload) > FRAME_BYTES_MAX:
            raise ValueError(f"a message of {len(payload)} bytes is more than the sandbox sends at once")
        trace, profile = gettrace(), getprofile()
        before = pthread_sigmask(SIG_BLOCK, NO_SIGNALS)
        try:
            settrace(None)
            setprofile(None)
            pthread_sigmask(SIG_BLOCK, ALL_SIGNALS)
            with self.sending:
                self.write_frame(tag, payload)
        finally:
            pthread_sigmask(SIG_SETMASK, before)
            if profile is not None:
                setprofile(profile)
            if trace is not None:
                settrace(trace)
        return True

    def write_frame(self, tag, payload):
        size = (HEAD_BYTES + len(payload)).to_bytes(4, "little")
        if len(payload) <= CHUNK_BYTES:
            self.write_all(size + bytes_at(self.nonce_address, NONCE_BYTES) + tag + payload)
        else:
            self.write_all(size + bytes_at(self.nonce_address, NONCE_BYTES) + tag)
            self.write_all(payload)

    def write_all(self, data):
        rest = memoryview(data)
        while rest:
            try:
                rest = rest[write(self.fd, rest):]
            except BlockingIOError:
                self.wait_until(POLLOUT)
            except OSError:
                exit_now(0)     # init is gone, or the cell closed the socket: nobody can be answered
