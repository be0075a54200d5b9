"""The magics people use, and the object `get_ipython()` gives them through."""
import gc
import sys
from os import chdir, environ, getcwd, path
from shlex import split
from sys import _getframe as get_frame
from time import perf_counter, process_time
from types import ModuleType

shell, cells, guard, looks = load("shell"), load("cells"), load("guard"), load("display")
describe = load("describe")
namespace = guard.namespace
open_file = open
LINE_CHARS = 79
NOTHING = ("load_ext", "reload_ext", "unload_ext", "matplotlib", "config", "autosave", "autoreload", "pylab", "colors",
           "precision", "xmode", "pdb", "automagic", "pprint")
COMMANDS = ("ls", "ll", "cat", "mkdir", "rmdir", "rm", "cp", "mv", "head", "tail", "touch")
LOOP_SECONDS = 0.02             # one run lasts between this and ten times as long
LOOP_REPEATS = 5


class MagicError(Exception):
    """A magic that does not exist or was not used as it must be."""


MagicError.__module__, MagicError.__qualname__ = "builtins", "UsageError"


def words_of(line):
    try:
        return split(line)
    except ValueError as error:
        raise MagicError(f"{error}: {line}") from None


# ---- line magics: (line, space) -> value


def cd(line, space):
    """%cd [folder]: change the working directory."""
    chdir(path.expanduser((words_of(line) or ["~"])[0]))
    print(getcwd())


def pwd(line, space):
    """%pwd: the working directory."""
    return getcwd()


def env(line, space):
    """%env [NAME[=VALUE] | NAME VALUE]: show or set environment variables."""
    if not line:
        return dict(environ)
    name, separator, value = line.partition("=")
    if not separator:
        name, separator, value = line.partition(" ")
    name, value = name.strip(), value.strip()
    if not separator:
        if name not in environ:
            raise MagicError(f"environment variable {name} is not set")
        return environ[name]
    environ[name] = value
    print(f"env: {name}={value}")


def user_names(space):
    hidden = {"In", "Out", "_", "__", "___", "exit", "quit", "get_ipython"}
    return sorted(name for name in space if name not in hidden and not name.startswith("__")
                  and not isinstance(space[name], ModuleType))


def who(line, space):
    """%who: names the cells defined."""
    print("  ".join(user_names(space)) or "nothing is defined yet")


def whos(line, space):
    """%whos: names the cells defined, with type and value."""
    rows = [("Variable", "Type", "Value")]
    for name in user_names(space):
        value = space[name]
        shape = getattr(value, "shape", None)
        text = f"shape {shape}" if type(shape) is tuple else looks.plain_text(value).partition("\n")[0]
        rows.append((name, type(value).__name__, text))
    first, second = (max(len(row[column]) for row in rows) for column in (0, 1))
    for row in rows:
        print(f"{row[0]:<{first}}  {row[1]:<{second}}  {row[2]}"[:LINE_CHARS * 2])


def run(line, space):
    """%run file.py [arguments]: run a file in this namespace, as __main__."""
    words = [word for word in words_of(line) if word not in ("-i", "-n", "-e")]
    if not words:
        raise MagicError("%run needs a file name")
    name = path.abspath(words[0] if words[0].endswith((".py", ".ipy")) else words[0] + ".py")
    with open_file(name, encoding="utf-8") as file:
        source = file.read()
    before, sys.argv = sys.argv, words
    kept = namespace.get("__file__", sys)
    namespace["__file__"] = name
    try:
        cells.run_source(source, name, namespace)
    finally:
        sys.argv = before
        namespace.pop("__file__") if kept is sys else namespace.update(__file__=kept)


def duration(seconds):
    for limit, factor, unit in ((1e-6, 1e9, "ns"), (1e-3, 1e6, "µs"), (1.0, 1e3, "ms")):
        if seconds < limit:
            return f"{seconds * factor:.3g} {unit}"
    return f"{seconds:.3g} s"


def time(line, space):
    """%time statement, or %%time at the start of a cell: how long it takes."""
    wall, processor = perf_counter(), process_time()
    try:
        return cells.run_source(line, cells.sources.current, space) if line.strip() else None
    finally:
        wall, processor = perf_counter() - wall, process_time() - processor
        print(f"CPU time: {duration(processor)}, wall time: {duration(wall)}")


def timing_options(line):
    """(loops or 0, repeats, rest) of `-n 10 -r 3 rest`."""
    found = {"n": 0, "r": LOOP_REPEATS}
    while line[:2] in ("-n", "-r"):
        name, line = line[1], line[2:].lstrip()
        value, _, line = line.partition(" ")
        if not value.isdecimal() or not int(value):
            raise MagicError(f"%timeit -{name} needs a number above 0")
        found[name], line = int(value), line.lstrip()
    return found["n"], found["r"], line


def indented(text, depth):
    return "\n".join(depth * "    " + part for part in (text.strip("\n") or "pass").split("\n"))


def timeit(line, space, body=None):
    """%timeit [-n loops] [-r repeats] statement, or %%timeit [setup]: the time of one run, from many."""
    loops, repeats, rest = timing_options(line)
    setup, statement = ("", rest) if body is None else (rest, body)
    code = f"def timed(_loops, _clock):\n{indented(setup, 1)}\n    _start = _clock()\n    for _ in _loops:\n" \
           f"{indented(statement, 2)}\n    return _clock() - _start\n"
    found = {}
    exec(compile(code, "<timeit>", "exec", 0, True), space, found)
    timed, collecting = found["timed"], gc.isenabled()
    gc.disable()
    try:
        if not loops:
            loops = 1
            while timed(iter(range(loops)), perf_counter) < LOOP_SECONDS and loops < 10 ** 9:
                loops *= 10
        runs = [timed(iter(range(loops)), perf_counter) / loops for _ in range(repeats)]
    finally:
        if collecting:
            gc.enable()
    mean = sum(runs) / repeats
    spread = (sum((run - mean) ** 2 for run in runs) / repeats) ** 0.5
    print(f"{duration(mean)} ± {duration(spread)} per loop (mean ± std. dev. of {repeats} runs, {loops} loops each)")


def install_with(tool):
    def install(line, space):
        namespace["_exit_code"] = shell.install(tool, words_of(line))
    install.__doc__ = f"%{tool} install name: installs packages where the sandbox has a network."
    return install


def accepted(name):
    def nothing(line, space):
        print(f"%{name}: accepted, it changes nothing here")
    return nothing


def command(name):
    def run_command(line, space):
        text = {"ll": "ls -l"}.get(name, name)
        namespace["_exit_code"] = shell.system(f"{text} {line}")
    return run_command


def lsmagic(line, space):
    """%lsmagic: the magics there are."""
    print("line: " + " ".join("%" + name for name in sorted(LINE)))
    print("cell: " + " ".join("%%" + name for name in sorted(CELL)))


# ---- cell magics: (line, body, space) -> value


def script(program):
    def run_script(line, body, space):
        namespace["_exit_code"] = status = shell.run([*program, *words_of(line)], body)
        if status:
            raise MagicError(f"{program[0]} ended with status {status}")
    return run_script


def writefile(line, body, space):
    """%%writefile [-a] path: write the rest of the cell to a file."""
    words = words_of(line)
    append = "-a" in words or "--append" in words
    names = [word for word in words if word not in ("-a", "--append")]
    if len(names) != 1:
        raise MagicError("%%writefile needs one file name")
    name = path.expanduser(names[0])
    verb = "Appending to" if append else "Overwriting" if path.exists(name) else "Writing"
    with open_file(name, "a" if append else "w", encoding="utf-8") as file:
        file.write(body if body.endswith("\n") or not body else body + "\n")
    print(f"{verb} {names[0]}")


def capture(line, body, space):
    """%%capture [name]: run the cell and keep what it prints to sys.stdout and sys.stderr."""
    from io import StringIO
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = out, err = StringIO(), StringIO()
    try:
        cells.run_source(body, cells.sources.current, space)
    finally:
        sys.stdout, sys.stderr = before
        names = [word for word in words_of(line) if not word.startswith("-")]
        if names:
            kept = space[names[0]] = Captured()
            kept.stdout, kept.stderr = out.getvalue(), err.getvalue()


class Captured:
    """What a cell under %%capture printed."""
    stdout = stderr = ""

    def __str__(self):
        return self.stdout

    def show(self):
        print(self.stdout, end="")
        print(self.stderr, end="", file=sys.stderr)


def show_as(mime):
    def show(line, body, space):
        looks.display({mime: body, looks.PLAIN: body}, raw=True)
    return show


LINE = {"cd": cd, "pwd": pwd, "env": env, "set_env": env, "who": who, "whos": whos, "run": run, "time": time,
        "timeit": timeit, "lsmagic": lsmagic, "pip": install_with("pip"), "conda": install_with("conda"),
        "mamba": install_with("mamba")}
LINE.update((name, accepted(name)) for name in NOTHING)
LINE.update((name, command(name)) for name in COMMANDS)
LINE["sx"] = LINE["system"] = lambda line, space: shell.getoutput(line)[0]
CELL = {"bash": script([shell.SHELL]), "sh": script(["/bin/sh"]), "writefile": writefile,
        "file": writefile, "capture": capture, "html": show_as("text/html"), "markdown": show_as("text/markdown"),
        "latex": show_as("text/latex"), "svg": show_as("image/svg+xml"), "HTML": show_as("text/html"),
        "time": lambda line, body, space: time(f"{line}\n{body}", space),
        "timeit": lambda line, body, space: timeit(line, space, body),
        "python": script([sys.executable, "-"]), "python3": script([sys.executable, "-"])}


class Shell:
    """What `get_ipython()` returns: the part of IPython's shell that notebooks call."""
    user_ns = namespace

    def scope(self, depth):
        """The names a command sees: those of the cell, and of the function that the magic stands in."""
        frame = get_frame(depth)
        return namespace if frame.f_globals is frame.f_locals else {**frame.f_globals, **frame.f_locals}

    def system(self, text):
        text = shell.fill_in(text, self.scope(2))
        if shell.is_installer(text) and environ.get("CODEACT_NETWORK", "none") == "none":
            namespace["_exit_code"] = shell.install(installer_name(text), [])
        else:
            namespace["_exit_code"] = shell.system(text)

    def getoutput(self, text):
        lines, namespace["_exit_code"] = shell.getoutput(shell.fill_in(text, self.scope(2)))
        return lines

    def run_line_magic(self, name, line="", depth=2):
        name = name.lstrip("%")
        if name not in LINE:
            hint = f" (%%{name} is a cell magic: it starts a cell)" if name in CELL else ""
            raise MagicError(f"there is no magic %{name}{hint}; known are {', '.join(sorted(LINE))}")
        space = self.scope(depth)
        if name not in ("time", "timeit"):
            line = shell.fill_in(line, space)
        return LINE[name](line.strip(), space if name in ("timeit", *COMMANDS) else namespace)

    def magic(self, text):
        name, _, line = text.partition(" ")
        return self.run_line_magic(name, line, 3)

    def run_cell_magic(self, name, line, body):
        name = name.lstrip("%")
        if name not in CELL:
            raise MagicError(f"there is no cell magic %%{name}; known are {', '.join(sorted(CELL))}")
        return CELL[name](line.strip(), body, namespace)

    def show_help(self, text):
        """`name?` and `?name`."""
        name = text.strip("?% ")
        if text.strip("? ").startswith("%") or name not in namespace and name in LINE:
            print(LINE.get(name, CELL.get(name)).__doc__ or "no help" if name in LINE or name in CELL
                  else f"there is no magic {name}")
        else:
            print(describe.describe(name, self.scope(2), "??" in text))

    def __repr__(self):
        return "<the notebook shell of this sandbox>"


def installer_name(text):
    return next((name for name in ("conda", "mamba", "apt") if name in text), "pip")


the_shell = Shell()


def get_ipython():
    """The shell object that `!` and `%` lines are turned into calls of."""
    return the_shell
