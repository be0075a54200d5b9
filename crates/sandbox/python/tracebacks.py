"""Tracebacks as plain text, written by hand: the `traceback` module can be patched by a cell, and shows our frames.

Shown are the frames of cells and of files in the workspace. Those of libraries are left out.
Everything here may run code of the cell (an exception's `__str__`), and is called in the interruptible window only.
"""
from os import fspath, stat
from stat import S_ISREG

shorten = load("fields").shorten

FRAMES_SHOWN_MAX = 20
REPEATS_SHOWN_MAX = 3
CHAIN_MAX = 8
GROUP_DEPTH_MAX = 4
GROUP_WIDTH_MAX = 10
NOTES_MAX = 20
MESSAGE_CHARS_MAX = 1 << 18
LINE_CHARS_MAX = 500
SOURCE_BYTES_MAX = 4 << 20
OWN_PREFIX = "<codeact/"
LIBRARY_MARKS = ("/site-packages/", "/dist-packages/")

# Read through the descriptors of the base classes: a subclass may define properties of these names.
get_traceback = BaseException.__dict__["__traceback__"].__get__
get_cause = BaseException.__dict__["__cause__"].__get__
get_context = BaseException.__dict__["__context__"].__get__
get_suppress = BaseException.__dict__["__suppress_context__"].__get__
get_type_module = type.__dict__["__module__"].__get__
get_type_name = type.__dict__["__qualname__"].__get__
Group = BaseExceptionGroup if "BaseExceptionGroup" in __builtins__ else ()
get_members = Group.__dict__["exceptions"].__get__ if Group else None
get_group_message = Group.__dict__["message"].__get__ if Group else None
open_file = open


class Sources:
    """Where frames come from: cells by name, and the folder of the user's own files."""
    cells = {}              # file name of a cell -> its lines
    current = ""            # the cell that runs
    workspace = ""          # absolute, without the slash at the end
    packages = ""           # folder inside the workspace that holds installed packages
    standard = ""           # folder of the standard library


def shown_name(name):
    """How a file is called in a traceback."""
    if name == Sources.current:
        return "<cell>"
    if is_user_file(name):
        return name[len(Sources.workspace) + 1:]
    for mark in LIBRARY_MARKS:
        if mark in name:
            return name[name.rindex(mark) + len(mark):]
    if Sources.standard and name.startswith(Sources.standard + "/"):
        return name[len(Sources.standard) + 1:]
    return name


def is_user_file(name):
    root = Sources.workspace
    if not root or not name.startswith(root + "/") or any(mark in name for mark in LIBRARY_MARKS):
        return False
    return not (Sources.packages and name.startswith(Sources.packages + "/"))


def is_user_code(name):
    return name in Sources.cells or is_user_file(name) or name == "<string>"


def source_line(name, number):
    lines = Sources.cells.get(name)
    if lines is None:
        lines = file_lines(name)
    if 0 < number <= len(lines):
        return lines[number - 1].strip()[:LINE_CHARS_MAX]
    return ""


def file_lines(name):
    """Lines of a source file; nothing for what is no regular file of a sane size."""
    try:
        about = stat(name)
        if not name.startswith("/") or not S_ISREG(about.st_mode) or about.st_size > SOURCE_BYTES_MAX:
            return ()
        with open_file(name, encoding="utf-8", errors="replace") as file:
            return file.read(SOURCE_BYTES_MAX).splitlines()
    except (OSError, ValueError):
        return ()


def entries_of(trace):
    """[(file, line, function), repeats] per run of equal frames, without the runner's own."""
    entries = []
    while trace is not None:
        code = trace.tb_frame.f_code
        if not code.co_filename.startswith(OWN_PREFIX):
            entry = (code.co_filename, trace.tb_lineno or 0, code.co_name)
            if entries and entries[-1][0] == entry:
                entries[-1][1] += 1
            else:
                entries.append([entry, 1])
        trace = trace.tb_next
    return entries


def frame_text(entry, count):
    name, number, function = entry
    suffix = "" if function == "<module>" else f", in {function}"
    text = f'  File "{shown_name(name)}", line {number}{suffix}\n'
    line = source_line(name, number)
    text += f"    {line}\n" if line else ""
    shown = [text] * min(count, REPEATS_SHOWN_MAX)
    if count > REPEATS_SHOWN_MAX:
        shown.append(f"  [Previous line repeated {count - REPEATS_SHOWN_MAX} more times]\n")
    return shown


def frame_lines(trace):
    shown = []
    for entry, count in entries_of(trace):
        if is_user_code(entry[0]):
            shown += frame_text(entry, count)
    if len(shown) > FRAMES_SHOWN_MAX:
        half = FRAMES_SHOWN_MAX // 2
        shown[half:-half] = [f"  [{len(shown) - 2 * half} frames omitted]\n"]
    return "".join(shown)


def exception_name(kind):
    module, name = get_type_module(kind), get_type_name(kind)
    if type(module) is not str or module in ("builtins", "__main__") or module.startswith("codeact."):
        return name
    return f"{module}.{name}"


def syntax_lines(error):
    """The place of a syntax error, with its line and a caret."""
    number = error.lineno
    name = error.filename if type(error.filename) is str else "<unknown>"
    text = f'  File "{shown_name(name)}", line {number}\n'
    line = error.text if type(error.text) is str else source_line(name, number or 0)
    if line and line.strip():
        line = line.rstrip("\n")[:LINE_CHARS_MAX]
        stripped = line.lstrip()
        text += f"    {stripped}\n"
        if type(error.offset) is int and error.offset > 0:
            start = max(error.offset - 1 - (len(line) - len(stripped)), 0)
            end = error.end_offset if error.end_lineno == number else len(line) + 1
            width = max((end or 0) - error.offset, 1)
            text += " " * (4 + min(start, len(stripped))) + "^" * min(width, max(len(stripped) - start, 1)) + "\n"
    return text, str(error.msg)


def message_of(error):
    """(lines that come before the name, message)."""
    try:
        if issubclass(type(error), SyntaxError) and type(error.lineno) is int:
            return syntax_lines(error)
        text = get_group_message(error) if Group and issubclass(type(error), Group) else str(error)
        return "", shorten(text if type(text) is str else str.__str__(text), MESSAGE_CHARS_MAX)
    except KeyboardInterrupt:
        raise
    except BaseException:
        return "", "<exception str() failed>"


def notes_of(error):
    try:
        notes = error.__notes__
    except KeyboardInterrupt:
        raise
    except BaseException:
        return ""
    if type(notes) not in (list, tuple):
        return ""
    shown = [f"{shorten(note, MESSAGE_CHARS_MAX)}\n" for note in notes[:NOTES_MAX] if type(note) is str]
    return "".join(shown) + (f"[{len(notes) - NOTES_MAX} notes omitted]\n" if len(notes) > NOTES_MAX else "")


def exception_lines(error):
    head, message = message_of(error)
    name = exception_name(type(error))
    return head + (f"{name}: {message}\n" if message else f"{name}\n") + notes_of(error)


def group_lines(error, depth):
    """The members of an exception group, indented under it."""
    members = get_members(error)
    parts = []
    for index, member in enumerate(members[:GROUP_WIDTH_MAX], 1):
        body = traceback_of(member, depth + 1)
        parts.append(f"  +---- {index} of {len(members)} ----\n")
        parts += [f"  | {line}\n" for line in body.split("\n")]
    if len(members) > GROUP_WIDTH_MAX:
        parts.append(f"  +---- {len(members) - GROUP_WIDTH_MAX} more ----\n")
    return "".join(parts)


def one_block(error, depth):
    frames = frame_lines(get_traceback(error))
    # A cell that does not compile has no frames, and Python shows no header then either.
    text = ("Traceback (most recent call last):\n" if frames else "") + frames + exception_lines(error)
    if Group and issubclass(type(error), Group):
        text += group_lines(error, depth) if depth < GROUP_DEPTH_MAX else "  [deeper groups omitted]\n"
    return text


def traceback_of(error, depth=0):
    """The whole text of an exception with its causes, the first one first."""
    blocks, seen = [], set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        blocks.append(one_block(error, depth))
        cause, context = get_cause(error), get_context(error)
        if len(seen) >= CHAIN_MAX and (cause is not None or context is not None):
            blocks += ["", "[earlier exceptions omitted]\n"]
            break
        if cause is not None:
            error = cause
            blocks.append("\nThe above exception was the direct cause of the following exception:\n\n")
        elif context is not None and not get_suppress(error):
            error = context
            blocks.append("\nDuring handling of the above exception, another exception occurred:\n\n")
        else:
            break
    if len(blocks) % 2 == 0:
        blocks.pop()        # the chain was circular
    return shorten("".join(reversed(blocks)).rstrip("\n"))


def report(error):
    """(name, message, traceback) of what a cell raised."""
    return exception_name(type(error)), message_of(error)[1], traceback_of(error)


def set_workspace(folder, packages, standard):
    Sources.workspace = "" if folder == "/" else fspath(folder).rstrip("/")
    Sources.packages, Sources.standard = packages.rstrip("/"), standard
