"""The loop of a worker: one request, one answer, for as long as init holds the other end.

    C code            -> F or R           run a cell
    D tools           -> F or R           define functions of the host (see tools.py)
    K code            -> F or R           compile a cell and run nothing of it
    S (with one fd)   -> S or N           fork a checkpoint
    W                 -> F                this checkpoint becomes the head
    T tool answer     -> nothing          it came too late: its cell is over

Every name the loop uses was bound before the first cell ran, on a private copy of the builtins, and nothing is imported
for it afterwards. The frames under a cell hold the code and the namespace, never the nonce.
"""
import sys
from _signal import SIG_BLOCK, pthread_sigmask
from gc import disable as gc_disable
from os import _exit as exit_now, environ, getcwd, path, write
from sys import modules

fields, guard, tracebacks = load("fields"), load("guard"), load("tracebacks")
encode, shorten = fields.encode, fields.shorten
state, namespace = guard.state, guard.namespace
each, call, STEPS = guard.each, guard.call, guard.STEPS
load("private_json")
cells, display, figures = load("cells"), load("display"), load("figures")
channels, checkpoint, tools = load("channel"), load("checkpoint"), load("tools")
magics, stand_in = load("magics"), load("stand_in")
PIPE_TEXT_BYTES_MAX = 1 << 16
OUT_OF_MEMORY = encode([("error/name", "MemoryError"), ("error/message", ""), ("error/traceback", "MemoryError")])


class Runner:
    channel = None


def install():
    """Everything that must be there before the first import: finders, and what cells see in the builtins."""
    guard.install()
    figures.install()
    stand_in.install()
    display.Display.figures = figures
    guard.builtins_now["display"] = display.display
    guard.builtins_now["get_ipython"] = magics.get_ipython
    if sys.version_info >= (3, 14):
        # The default became `forkserver`, whose children cannot find functions that a cell defined.
        import multiprocessing
        multiprocessing.set_start_method("fork")


def prepare(control, argv0):
    """Bind this process to its control socket. Called in the worker, confined already."""
    environ.setdefault("MPLBACKEND", "agg")      # for child processes; here the finder chooses the backend
    environ.setdefault("CODEACT_NETWORK", "none")
    packages = environ.get("CODEACT_PACKAGES", "")
    if packages:
        environ.setdefault("PIP_TARGET", packages)      # where `%pip` and `!pip` install to
        sys.path.append(packages)
    sys.path.insert(0, "")      # modules that a cell writes into its workspace; never while the zygote imports
    sys.argv[:] = [argv0]
    tracebacks.set_workspace(getcwd(), packages, path.dirname(path.__file__ if hasattr(path, "__file__") else ""))
    channel = channels.Channel(control)
    Runner.channel = display.Display.channel = tools.Tools.channel = channel
    checkpoint.install(channel)
    reseed()
    pthread_sigmask(SIG_BLOCK, guard.ALL_SIGNALS)
    gc_disable()
    guard.remember()
    guard.restore()


def reseed():
    """Generators seeded in the zygote would give every session the same numbers; `random` reseeds itself in a fork."""
    numpy_random = modules.get("numpy.random")
    if numpy_random is not None:
        numpy_random.seed()


# ---- cells


def in_window(in_cell, work, failed):
    """work() where interrupts reach it; what it raises goes to failed(), where they no longer do."""
    try:
        guard.open_window(in_cell)
        result = work()
        state.armed = False
    except BaseException as error:
        state.armed = False             # at once: a second interrupt must not come out of here
        each(map(call, STEPS))          # next: a callback may raise at every call of a Python function
        result = failed(error)
    each(map(call, STEPS))
    guard.stop_tracing()
    guard.close_window()
    return result


def execute(code):
    """Run a cell. Returns (tag, payload)."""
    def without_report(error):          # an interrupt while its report was made, or a report that cannot be made
        guard.stop_tracing()
        name = tracebacks.exception_name(type(error))
        return [("error/name", name), ("error/message", ""), ("error/traceback", name)], b"R"

    pairs, tag = in_window(True, lambda: run_window(code), without_report)
    return tag, encode(pairs)


def run_window(code):
    name = cells.begin(code)
    figures.begin_cell()
    pairs, tag = [], b"F"
    try:
        value = cells.run_source(code, name, namespace)
        if value is not None:
            cells.remember_value(value)
            pairs = [("value/" + mime, data) for mime, data in display.bundle(value, is_echo=True).items()]
    except BaseException as raised:
        each(map(call, STEPS))
        guard.stop_tracing()
        tag, pairs = b"R", error_pairs(raised)
        leave_fork(raised)
    each(map(call, STEPS))
    guard.stop_tracing()
    leave_fork(None)
    figures.end_cell()
    guard.flush_streams()
    return pairs, tag


def error_pairs(error):
    name, message, text = tracebacks.report(error)
    return [("error/name", name), ("error/message", message), ("error/traceback", text)]


def leave_fork(error):
    """A process that the cell forked came to the end of the cell: it ends here, as a script would."""
    if Runner.channel.is_owner():
        return
    guard.flush_streams()
    if error is None:
        exit_now(0)
    if type(error) is SystemExit and (error.code is None or type(error.code) is int):
        exit_now((error.code or 0) & 0xFF)
    text = shorten(tracebacks.traceback_of(error), PIPE_TEXT_BYTES_MAX) + "\n"
    write(2, text.encode("utf-8", "backslashreplace"))
    exit_now(1)


# ---- the loop


def handle(tag, payload):
    """Serve one request: (tag, payload) of the answer, or None."""
    if tag == b"C":
        try:
            return execute(payload.decode("utf-8", "replace"))
        finally:
            with tools.Tools.calling:       # a thread that waited for a tool gives the channel back
                pass
    if tag == b"S":
        return take_checkpoint()
    if tag == b"W":
        checkpoint.wake()
        return b"F", b""
    if tag == b"D":
        return define_tools(payload)
    if tag == b"K":
        return check(payload.decode("utf-8", "replace"))
    if tag != b"T":
        exit_now(3)
    return None


def take_checkpoint():
    fd = Runner.channel.take_descriptor()
    if fd is None:
        return b"N", b"no socket came with the request"
    return in_window(False, lambda: checkpoint.take(fd), lambda error: (b"N", checkpoint.reason(error)))


def check(code):
    """Whether a text is Python. What else goes wrong, such as a lack of memory, is found out when it runs."""
    def compiled():
        cells.check(code)
        return b"F", b""

    def failed(error):
        return (b"R", encode(error_pairs(error))) if isinstance(error, SyntaxError) else (b"F", b"")

    return in_window(False, compiled, failed)


def define_tools(payload):
    try:
        tools.define(payload)
        return b"F", b""
    except Exception as error:
        return b"R", encode(error_pairs(error))


def serve(version):
    """Never returns: the process ends when init closes the socket."""
    channel = Runner.channel
    channel.send(b"H", encode([("python", version)]))
    while True:
        tag, payload = channel.next_request()
        try:
            answer = handle(tag, payload)
            channel.close_descriptors()
            if answer is not None:
                channel.send(*answer)
        except MemoryError:         # raised before anything of the answer is out: a frame is made first, then written
            channel.send(b"R", OUT_OF_MEMORY)
        channel.forget_nonce()
        if tag in (b"C", b"W"):
            guard.restore()         # after the answer, which needs nothing of it: it touches hundreds of pages
        answer = payload = None
