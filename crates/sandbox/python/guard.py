"""What a cell may have changed about the interpreter, and how it is put back before and after each cell.

Between cells the main thread has every signal blocked, collects no garbage and runs no trace function, so that nothing
a cell left behind runs inside the loop. While a cell runs the window is `armed`: SIGINT then raises KeyboardInterrupt,
also in what the runner does for the cell (its `__repr__`, its figures, the text of its exception).
"""
import builtins
import faulthandler
import gc
import sys
from _signal import (ITIMER_PROF, ITIMER_REAL, ITIMER_VIRTUAL, SIG_BLOCK, SIG_SETMASK, SIGINT, pthread_sigmask,
                     set_wakeup_fd, setitimer, signal as set_signal, sigtimedwait, valid_signals)
from _collections import deque
from _functools import partial
from os import dup, dup2
from sys import (getrecursionlimit, getswitchinterval, setprofile, setrecursionlimit, setswitchinterval, settrace)
from types import ModuleType

ALL_SIGNALS = frozenset(valid_signals())
NO_SIGNALS = frozenset()
INTERRUPT_ONLY = frozenset({SIGINT})
TIMERS = (ITIMER_REAL, ITIMER_VIRTUAL, ITIMER_PROF)
RECURSION_LIMIT = getrecursionlimit()
RECURSION_LIMIT_MAX = 200_000
SWITCH_INTERVAL = getswitchinterval()
CORE_MODULES = ("sys", "builtins", "_frozen_importlib", "_frozen_importlib_external", "_imp", "_thread", "_warnings",
                "_weakref", "_io", "io", "abc", "marshal", "posix", "time", "codecs", "encodings", "encodings.utf_8",
                "os", "stat", "posixpath", "os.path", "site", "types", "warnings", "importlib", "importlib._bootstrap")
HOOKS = ("excepthook", "displayhook", "unraisablehook", "breakpointhook", "addaudithook")

gc_enable, gc_disable = gc.enable, gc.disable
cancel_dump = faulthandler.cancel_dump_traceback_later
system = sys
system_attributes = vars(sys)
modules = sys.modules
module_path, meta_path, path_hooks = sys.path, sys.meta_path, sys.path_hooks
builtins_module = builtins
builtins_now = vars(builtins)


def monitoring_steps():
    """Calls that end all monitoring (Python 3.12), also of tools whose id was given back with its events still on."""
    if not hasattr(sys, "monitoring"):
        return ()
    calls = sys.monitoring
    steps = []
    for tool in range(6):
        steps += [partial(calls.free_tool_id, tool), partial(calls.use_tool_id, tool, "codeact"),
                  partial(calls.set_events, tool, 0), partial(calls.free_tool_id, tool)]
    return tuple(steps)


# `each(map(call, STEPS))` makes these calls without calling a Python function, each of which a callback could end.
each, call, STEPS = deque, partial.__call__, monitoring_steps()
open_binary = open
TextIOWrapper = type(sys.stdout)
reconfigure = TextIOWrapper.reconfigure

main = ModuleType("__main__")
namespace = vars(main)


class State:
    """What changes while the runner runs."""
    armed = False           # SIGINT raises KeyboardInterrupt
    in_cell = False         # audit hooks of the cell are heard
    cells = 0               # windows opened so far
    saved_out = -1          # copies of fds 1 and 2
    saved_err = -1


state = State()
streams = {"stdout": None, "stderr": None, "stdin": None}
pristine = {}               # builtins, hooks, core modules and finders as they were before the first cell


def on_interrupt(signum, frame):
    if state.armed:
        raise KeyboardInterrupt


def remember():
    """Take everything that `restore` puts back. Called once, when the user's names are in the builtins."""
    pristine["builtins"] = dict(builtins_now)
    pristine["hooks"] = {name: system_attributes[name] for name in HOOKS}
    pristine["modules"] = {name: modules[name] for name in CORE_MODULES if name in modules}
    pristine["finders"] = list(meta_path)
    pristine["path_hooks"] = list(path_hooks)
    modules["__main__"] = main
    namespace["__builtins__"] = builtins_module
    state.saved_out, state.saved_err = dup(1), dup(2)


# ---- streams


def text_stream(fd):
    # closefd=False: `sys.stdout.close()` in a cell closes this object, not the pipe.
    binary = open_binary(fd, "wb", closefd=False)
    return TextIOWrapper(binary, encoding="utf-8", errors="backslashreplace", line_buffering=True)


def restore_streams():
    for saved, fd in ((state.saved_out, 1), (state.saved_err, 2)):
        try:
            dup2(saved, fd)
        except OSError:
            pass            # a cell closed the copy; the pipe itself may still be there
    for name, fd in (("stdout", 1), ("stderr", 2)):
        try:
            reconfigure(streams[name], encoding="utf-8", errors="backslashreplace", line_buffering=True)
        except BaseException:   # closed, detached, or not there yet
            streams[name] = text_stream(fd)
        system_attributes[name] = system_attributes[f"__{name}__"] = streams[name]
    try:
        reconfigure(streams["stdin"], encoding="utf-8")
    except BaseException:
        streams["stdin"] = open_binary(0, "r", encoding="utf-8", closefd=False)
    system_attributes["stdin"] = system_attributes["__stdin__"] = streams["stdin"]


def flush_streams():
    """Flush what the cell prints to, and our own streams where the cell replaced them."""
    current = [system_attributes.get("stdout"), system_attributes.get("stderr")]
    for stream in (*current, streams["stdout"], streams["stderr"]):
        try:
            stream.flush()
        except Exception:
            pass            # a stream the cell made or broke; fds 1 and 2 are restored before the next cell


# ---- before and after


def restore():
    """Put back what the runner and the next cell rely on. What a cell added and what is merely changed data stays."""
    restore_streams()
    for name, value in pristine["hooks"].items():
        system_attributes[name] = value
    for name, value in pristine["builtins"].items():
        if builtins_now.get(name, pristine) is not value:
            builtins_now[name] = value
    system_attributes["modules"] = modules
    for name, value in pristine["modules"].items():
        if modules.get(name) is not value:
            modules[name] = value
    modules["__main__"] = main
    namespace["__builtins__"] = builtins_module
    restore_import()


def restore_import():
    if type(system_attributes.get("path")) is not list:
        system_attributes["path"] = module_path
    for name, found, kept in (("meta_path", meta_path, "finders"), ("path_hooks", path_hooks, "path_hooks")):
        if system_attributes.get(name) is not found:
            system_attributes[name] = found
        for item in pristine[kept]:
            if not any(present is item for present in found):
                found.append(item)
    if type(system_attributes.get("path_importer_cache")) is not dict:
        system_attributes["path_importer_cache"] = {}


def open_window(in_cell):
    """User code begins: interrupts reach it from here on. Called with all signals blocked."""
    set_signal(SIGINT, on_interrupt)
    while sigtimedwait(INTERRUPT_ONLY, 0) is not None:
        pass                # it was meant for the cell before
    gc_enable()
    state.armed, state.in_cell, state.cells = True, in_cell, state.cells + 1
    pthread_sigmask(SIG_SETMASK, NO_SIGNALS)


def close_window():
    """The cell is over: nothing of it runs in the main thread until the next one begins."""
    state.armed = state.in_cell = False
    pthread_sigmask(SIG_BLOCK, ALL_SIGNALS)
    gc_disable()
    for timer in TIMERS:
        setitimer(timer, 0)
    set_wakeup_fd(-1)
    cancel_dump()
    if getswitchinterval() != SWITCH_INTERVAL:
        setswitchinterval(SWITCH_INTERVAL)


def stop_tracing():
    """First of all after user code: C calls only, because a trace function or a tiny recursion limit hits the rest.

    The audit hooks of the cell are deaf from here on: these calls are audited themselves.
    """
    state.in_cell = False
    settrace(None)
    setprofile(None)
    if not RECURSION_LIMIT <= getrecursionlimit() <= RECURSION_LIMIT_MAX:
        setrecursionlimit(RECURSION_LIMIT)


def is_cell_itself(event, arguments):
    """Whether the runner is compiling or starting a cell."""
    if event == "exec":
        return arguments[0].co_filename[:6] == "<cell " and arguments[0].co_name == "<module>"
    # A syntax tree comes without its file name.
    return event == "compile" and (type(arguments[1]) is not str or arguments[1][:6] == "<cell ")


def make_audit_guard():
    """`sys.addaudithook` that hears the cells and not the runner: a hook cannot be removed, and may raise.

    One that raised is heard to the end of its cell and no longer: no later cell could even be compiled.
    """
    add_hook = sys.addaudithook

    def addaudithook(hook):
        raised_in = []

        def hear(event, arguments):
            if not state.in_cell or raised_in and raised_in[0] != state.cells or is_cell_itself(event, arguments):
                return
            try:
                hook(event, arguments)
            except BaseException:
                raised_in.append(state.cells)
                raise
        add_hook(hear)

    addaudithook.__doc__ = add_hook.__doc__
    return addaudithook


def install():
    """What cells find different from a plain interpreter: no input, no debugger, and a guarded audit hook."""
    def no_input(prompt=""):
        """There is no input here: raises EOFError."""
        if prompt != "":
            print(prompt, end="", flush=True)
        raise EOFError("there is no input in this sandbox")

    def no_debugger(*args, **keywords):
        """Called by breakpoint()."""
        print("breakpoint(): there is no debugger in this sandbox; going on")

    no_input.__name__ = no_input.__qualname__ = "input"
    builtins_now["input"] = no_input
    system_attributes["breakpointhook"] = system_attributes["__breakpointhook__"] = no_debugger
    system_attributes["addaudithook"] = make_audit_guard()
