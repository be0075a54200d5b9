"""`!command`: run a shell command with live output, or keep its lines; `{python}` and `$name` are filled in."""
import sys
from os import environ, killpg, path, read
from re import compile as pattern
from signal import SIGKILL
from string import Formatter
from subprocess import PIPE, STDOUT, Popen

flush_output = load("display").flush_output
OUTPUT_BYTES_MAX = 16 << 20
PACKAGES_SHOWN_MAX = 100
SHELL = next((name for name in ("/bin/bash", "/bin/sh") if path.exists(name)), "/bin/sh")
match_name = pattern(r"\$(\$|[A-Za-z_]\w*|\{)").match
match_installer = pattern(
    r"\s*(?:sudo\s+)?(?:(?:\S*python[\d.]*|\S*\bpy)\s+-m\s+|uv\s+)?(?:\S*/)?(pip[\d.]*|conda|mamba|apt|apt-get)\s+"
    r"(?:-\S+\s+)*(install|download|update|upgrade|create)\b").match
parse_format = Formatter().parse


class Lines(list):
    """Output lines of a command, as IPython's SList: `.n`, `.s` and `.l` give it as text and list."""

    @property
    def n(self):
        return "\n".join(self)

    @property
    def s(self):
        return " ".join(self)

    @property
    def l(self):
        return list(self)


def is_installer(command):
    """Whether a command would fetch packages."""
    return match_installer(command) is not None


def fill_in(text, space):
    """Replace `{expression}` and `$name` by Python values. What is no expression stays for the shell."""
    text = fill_braces(text, space)
    parts, position = [], 0
    while True:
        start = text.find("$", position)
        if start < 0:
            return "".join(parts) + text[position:]
        parts.append(text[position:start])
        found = match_name(text, start)
        if found and found[1] == "$":
            parts.append("$")
        elif found and found[1] != "{" and found[1] in space:
            parts.append(str(space[found[1]]))
        else:
            parts.append(found[0] if found else "$")
        position = found.end() if found else start + 1


def fill_braces(text, space):
    try:
        pieces = list(parse_format(text))
    except ValueError:
        return text             # single braces: awk and the like
    result = []
    for literal, field, form, conversion in pieces:
        result.append(literal)
        if field is None:
            continue
        if result[-1].endswith("$") or not field.strip():
            result.append("{" + field + (":" + form if form else "") + "}")     # `${NAME}` and `{}` are the shell's
            continue
        try:
            value = eval(field, space)
            value = repr(value) if conversion == "r" else value
            result.append(format(value, form or ""))
        except Exception:
            return text         # IPython too leaves the command alone then
    return "".join(result)


def stop(process):
    """Kill a command with everything it started, and reap it."""
    try:
        killpg(process.pid, SIGKILL)
    except OSError:
        pass                    # gone already
    process.wait()


def start(arguments, text, stdout):
    flush_output()
    return Popen(arguments, shell=False, stdin=PIPE if text is not None else None, stdout=stdout,
                 stderr=STDOUT if stdout is not None else None, start_new_session=True)


def run(arguments, text=None):
    """Run with the output going straight to fds 1 and 2. Returns the exit status, negative for a signal."""
    process = start(arguments, text, None)
    try:
        if text is not None:
            try:
                process.stdin.write(text.encode("utf-8", "backslashreplace"))
                process.stdin.close()
            except OSError:
                pass            # it ended without reading everything
        return process.wait()
    except BaseException:
        stop(process)
        raise


def system(command):
    return run([SHELL, "-c", command])


def getoutput(command):
    """(lines of stdout and stderr together, exit status)."""
    process = start([SHELL, "-c", command], None, PIPE)
    try:
        parts, size = [], 0
        while True:
            part = read(process.stdout.fileno(), 1 << 16)
            if not part:
                break
            size += len(part)
            if size <= OUTPUT_BYTES_MAX:
                parts.append(part)
        status = process.wait()
        process.stdout.close()
    except BaseException:
        stop(process)
        raise
    text = b"".join(parts).decode("utf-8", "replace")
    if size > OUTPUT_BYTES_MAX:
        text += f"\n[{size - OUTPUT_BYTES_MAX} bytes left out]"
    return Lines(text.splitlines()), status


# ---- installing packages


def installed_packages():
    """`name version` of what the interpreter can import, from the metadata folders on sys.path."""
    from os import listdir
    found = {}
    for folder in sys.path:
        try:
            names = listdir(folder or ".")
        except OSError:
            continue
        for name in names:
            if name.endswith((".dist-info", ".egg-info")):
                package, _, version = name.rpartition(".")[0].partition("-")
                found.setdefault(package.replace("_", "-"), version.partition("-")[0])
    return [f"{name} {version}".strip() for name, version in sorted(found.items(), key=lambda item: item[0].lower())]


def install(tool, words):
    """`%pip` and `%conda`: a clear word where there is no network, else pip, into the folder named by PIP_TARGET."""
    if environ.get("CODEACT_NETWORK", "none") == "none":
        packages = installed_packages()
        shown = ", ".join(packages[:PACKAGES_SHOWN_MAX]) or "the standard library only"
        more = f" and {len(packages) - PACKAGES_SHOWN_MAX} more" if len(packages) > PACKAGES_SHOWN_MAX else ""
        print(f"{tool}: there is no network in this sandbox, nothing can be installed. Installed: {shown}{more}")
        return 1
    if tool in ("conda", "mamba"):
        print(f"{tool}: not available in this sandbox; use %pip install")
        return 1
    status = run([sys.executable, "-m", "pip", *words])
    sys.path_importer_cache.clear()     # the new packages are found at once
    return status
