"""Run cells for codeact-sandbox inside one persistent interpreter.

Started as `python -I -B -X utf8 -c <this text> <control fd>`. Cells write to fds 1 and 2, which are raw pipes; the
control socket carries length-prefixed frames and nothing else (see frame.rs):

    request   u32 length | 16 byte nonce | b"C" | code, UTF-8
    answer    u32 length | 16 byte nonce | b"F" or b"R" | u32 length of value or NONE | value | error, UTF-8

The nonce is drawn per cell by the host, so an answer that belongs to no running cell is recognised and dropped.
A cell may change any object of this interpreter. What the loop needs is therefore taken by reference before the first
cell runs, on a private copy of the builtins, and nothing is imported afterwards.
"""
import _ast
import _signal
import builtins
import gc
import linecache
import os
import sys
import types

# Functions defined below look names up here: `builtins.len = None` in a cell does not reach them.
__builtins__ = dict(vars(builtins))

CONTROL = int(sys.argv[1])
NONCE_BYTES = 16
NONE_LENGTH = 0xFFFFFFFF
FRAME_BYTES_MAX = 16 << 20
TEXT_CHARS_MAX = 1 << 20    # of a value or an error; the host keeps even less
FRAMES_SHOWN_MAX = 20
REPEATS_SHOWN_MAX = 3


def make_runner():
    """Build the loop as a closure, so that everything it uses is a captured reference."""
    read, write, dup, dup2, exit_now, getpid = os.read, os.write, os.dup, os.dup2, os._exit, os.getpid
    set_signal, SIGINT = _signal.signal, int(_signal.SIGINT)   # in C; signal.signal is Python
    Expr, Expression, ONLY_AST = _ast.Expr, _ast.Expression, _ast.PyCF_ONLY_AST
    gc_enable = gc.enable
    sources = {}            # file name of a cell -> its lines
    line_cache = linecache.cache
    system = sys
    modules = sys.modules
    system_attributes = vars(sys)
    main_pid = getpid()
    saved_out, saved_err = dup(1), dup(2)   # not inheritable; fds 1 and 2 are restored from these before each cell
    state = {"armed": False, "count": 0}

    def read_exactly(size):
        parts = []
        while size:
            part = read(CONTROL, min(size, 1 << 16))
            if not part:
                exit_now(0)     # the host is gone
            parts.append(part)
            size -= len(part)
        return b"".join(parts)

    def read_request():
        size = int.from_bytes(read_exactly(4), "little")
        if not NONCE_BYTES < size <= FRAME_BYTES_MAX:
            exit_now(3)
        body = read_exactly(size)
        return body[:NONCE_BYTES], body[NONCE_BYTES:NONCE_BYTES + 1], body[NONCE_BYTES + 1:]

    def send(nonce, tag, value, error):
        value_bytes = b"" if value is None else shorten(value).encode("utf-8", "backslashreplace")
        length = NONE_LENGTH if value is None else len(value_bytes)
        body = nonce + tag + length.to_bytes(4, "little") + value_bytes
        body += shorten(error).encode("utf-8", "backslashreplace")
        frame = memoryview(len(body).to_bytes(4, "little") + body)
        while frame:
            frame = frame[write(CONTROL, frame):]

    def shorten(text):
        if len(text) <= TEXT_CHARS_MAX:
            return text
        half = TEXT_CHARS_MAX // 2
        return f"{text[:half]}\n[... {len(text) - 2 * half} characters omitted ...]\n{text[-half:]}"

    def on_interrupt(signum, frame):
        # Raises once per cell, and never in the loop between two cells.
        if state["armed"]:
            state["armed"] = False
            raise KeyboardInterrupt

    # ---- tracebacks, by hand: the `traceback` module can be patched by a cell, and shows frames that are not the cell's

    def source_line(name, number):
        lines = sources.get(name, ())
        return lines[number - 1].strip() if 0 < number <= len(lines) else ""

    def frames_of(trace):
        entries = []
        while trace is not None:
            code = trace.tb_frame.f_code
            if code.co_filename in sources:
                entry = (code.co_filename, trace.tb_lineno, code.co_name)
                if entries and entries[-1][0] == entry:
                    entries[-1][1] += 1
                else:
                    entries.append([entry, 1])
            trace = trace.tb_next
        return entries

    def frame_lines(trace):
        shown = []
        for (name, number, function), count in frames_of(trace):
            suffix = "" if function == "<module>" else f", in {function}"
            text = f'  File "<cell>", line {number}{suffix}\n'
            line = source_line(name, number)
            text += f"    {line}\n" if line else ""
            shown += [text] * min(count, REPEATS_SHOWN_MAX)
            if count > REPEATS_SHOWN_MAX:
                shown.append(f"  [Previous line repeated {count - REPEATS_SHOWN_MAX} more times]\n")
        if len(shown) > FRAMES_SHOWN_MAX:
            half = FRAMES_SHOWN_MAX // 2
            shown[half:-half] = [f"  [{len(shown) - 2 * half} frames omitted]\n"]
        return "".join(shown)

    def exception_name(kind):
        module = kind.__module__
        hidden = module in ("builtins", "__main__") or not isinstance(module, str)
        return kind.__qualname__ if hidden else f"{module}.{kind.__qualname__}"

    def syntax_lines(error):
        name = "<cell>" if error.filename in sources else error.filename
        text = f'  File "{name}", line {error.lineno}\n'
        line = error.text or source_line(error.filename, error.lineno or 0)
        if isinstance(line, str) and line.strip():
            line = line.rstrip("\n")
            stripped = line.lstrip()
            text += f"    {stripped}\n"
            if isinstance(error.offset, int) and error.offset > 0:
                start = max(error.offset - 1 - (len(line) - len(stripped)), 0)
                end = error.end_offset if error.end_lineno == error.lineno else len(line) + 1
                width = max((end or 0) - error.offset, 1)
                text += " " * (4 + min(start, len(stripped))) + "^" * min(width, max(len(stripped) - start, 1)) + "\n"
        return text, error.msg

    def exception_lines(error):
        kind = type(error)
        head = ""
        try:
            if isinstance(error, SyntaxError) and error.lineno is not None:
                head, message = syntax_lines(error)
            else:
                message = str(error)
        except BaseException:
            message = "<exception str() failed>"
        text = head + (f"{exception_name(kind)}: {message}\n" if message else f"{exception_name(kind)}\n")
        notes = getattr(error, "__notes__", None)
        if isinstance(notes, (list, tuple)):
            text += "".join(f"{note}\n" for note in notes if isinstance(note, str))
        return text

    def traceback_of(error):
        blocks = []
        seen = set()
        while error is not None and id(error) not in seen:
            seen.add(id(error))
            frames = frame_lines(error.__traceback__)
            # A cell that does not compile has no frames, and Python shows no header then either.
            header = "Traceback (most recent call last):\n" if frames else ""
            blocks.append(header + frames + exception_lines(error))
            if error.__cause__ is not None:
                error = error.__cause__
                blocks.append("\nThe above exception was the direct cause of the following exception:\n\n")
            elif error.__context__ is not None and not error.__suppress_context__:
                error = error.__context__
                blocks.append("\nDuring handling of the above exception, another exception occurred:\n\n")
            else:
                break
        if len(blocks) % 2 == 0:
            blocks.pop()        # the chain was circular
        return "".join(reversed(blocks)).rstrip("\n")

    # ---- streams

    TextIOWrapper, open_binary = type(sys.stdout), open
    reconfigure = TextIOWrapper.reconfigure

    def text_stream(fd):
        # closefd=False: `sys.stdout.close()` in a cell closes this object, not the pipe.
        binary = open_binary(fd, "wb", closefd=False)
        return TextIOWrapper(binary, encoding="utf-8", errors="backslashreplace", line_buffering=True)

    streams = {"stdout": None, "stderr": None, "stdin": sys.stdin}

    def restore_streams():
        for saved, fd in ((saved_out, 1), (saved_err, 2)):
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
            streams["stdin"] = open_binary(0, "r", closefd=False)
        system_attributes["stdin"] = system_attributes["__stdin__"] = streams["stdin"]

    def flush_streams():
        current = [system_attributes.get("stdout"), system_attributes.get("stderr")]
        for stream in (*current, streams["stdout"], streams["stderr"]):
            try:
                stream.flush()
            except BaseException:
                pass            # a stream the cell made or broke; fds 1 and 2 are restored before the next cell

    # ---- cells

    def compile_cell(code, name):
        """Return (statements, last expression or None), so that the value of a last expression can be shown."""
        tree = compile(code, name, "exec", ONLY_AST, True)
        if tree.body and isinstance(tree.body[-1], Expr):
            last = Expression(tree.body.pop().value)
            return compile(tree, name, "exec", 0, True), compile(last, name, "eval", 0, True)
        return compile(tree, name, "exec", 0, True), None

    def execute(code, namespace):
        state["count"] += 1
        name = f"<cell {state['count']}>"
        lines = code.splitlines(keepends=True)
        sources[name] = lines
        line_cache[name] = (len(code), None, lines, name)   # for inspect.getsource and warnings
        value = None
        try:
            state["armed"] = True
            statements, last = compile_cell(code, name)
            exec(statements, namespace)
            if last is not None:
                value = eval(last, namespace)
                value = None if value is None else str.__str__(repr(value))
            state["armed"] = False
        except BaseException as error:
            state["armed"] = False
            return b"R", None, traceback_of(error)
        return b"F", value, ""

    def run_cell(nonce, code, namespace):
        restore_streams()
        set_signal(SIGINT, on_interrupt)
        modules["__main__"] = main
        modules["sys"] = system
        gc_enable()
        try:
            tag, value, error = execute(code, namespace)
        except BaseException as failure:     # an interrupt in the few instructions around the cell, or in the report
            state["armed"] = False
            tag, value, error = b"R", None, exception_name(type(failure))
        flush_streams()
        if getpid() != main_pid:             # a fork of the cell ran into the end of the cell
            if error:
                write(2, shorten(error).encode("utf-8", "backslashreplace") + b"\n")
            exit_now(1 if error else 0)
        send(nonce, tag, value, error)

    main = types.ModuleType("__main__")
    main.__builtins__ = builtins

    def loop():
        system.argv = [""]
        system.path.insert(0, "")            # modules that a cell writes into its workspace can be imported
        set_signal(SIGINT, on_interrupt)
        while True:
            nonce, tag, payload = read_request()
            if tag == b"H":
                version = ".".join(str(part) for part in system.version_info[:3])
                send(nonce, b"F", version, "")
            elif tag == b"C":
                run_cell(nonce, payload.decode("utf-8", "replace"), main.__dict__)
            else:
                exit_now(3)

    return loop


os.set_inheritable(CONTROL, False)
make_runner()()
