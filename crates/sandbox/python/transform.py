"""Notebook syntax into Python: `%magic`, `!command`, `%%cell` and `name?`, one line for one line.

Only text that does not compile comes here, so valid Python is never rewritten. A magic is recognised at the start of a
logical line alone: not inside a string, not inside brackets, not on a continuation line.
"""
from re import compile as pattern

match_assign = pattern(r"(?P<target>[A-Za-z_][\w.,\[\]'\" ]*?)\s*=\s*(?P<mark>[!%])(?P<rest>(?!=).*)$", 16).match
match_help_after = pattern(r"%{0,2}[A-Za-z_][\w.]*\?{1,2}$").match
match_help_before = pattern(r"\?{1,2}\s*%{0,2}[A-Za-z_][\w.]*$").match
OPENING, CLOSING = "([{", ")]}"


def is_cell_magic(source):
    return source.lstrip().startswith("%%")


def split_cell_magic(source):
    """(name, rest of its line, body) of a cell that starts with %%."""
    lines = source.lstrip().split("\n", 1)
    words = lines[0][2:].split(None, 1)
    name = words[0] if words else ""
    return name, (words[1].rstrip() if len(words) > 1 else ""), (lines[1] if len(lines) > 1 else "")


def transform(source):
    """The text with every magic line replaced by a call. The number of lines stays the same."""
    if is_cell_magic(source):
        name, line, body = split_cell_magic(source)
        blank = "\n" * (len(source) - len(source.lstrip()) and source[:len(source) - len(source.lstrip())].count("\n"))
        return f"{blank}get_ipython().run_cell_magic({name!r}, {line!r}, {body!r})"
    lines = source.split("\n")
    result, index = [], 0
    while index < len(lines):
        call, used = magic_call(lines, index)
        if call is None:
            used = logical_line_count(lines, index)
            result += lines[index:index + used]
        else:
            result.append(call)
            result += [""] * (used - 1)     # error messages keep their line numbers
        index += used
    return "\n".join(result)


def magic_call(lines, index):
    """(replacement, lines used) if a magic starts at this logical line, else (None, 0)."""
    line = lines[index]
    text = line.strip()
    indent = line[:len(line) - len(line.lstrip())]
    if not text or text[0] == "#":
        return None, 0
    if text[0] in "%!?":
        text, used = joined(lines, index)
        return call_for(indent, text), used
    if match_help_after(text):
        return f"{indent}get_ipython().show_help({text!r})", 1
    found = match_assign(text)
    if found:
        text, used = joined(lines, index)
        found = match_assign(text)
        target, rest = found["target"], found["rest"].strip()
        if found["mark"] == "!":
            return f"{indent}{target} = get_ipython().getoutput({rest!r})", used
        return f"{indent}{target} = {line_magic(rest)}", used
    return None, 0


def joined(lines, index):
    """The logical line of a magic: physical lines that end in a backslash go on."""
    parts, used = [], 0
    for line in lines[index:]:
        used += 1
        if not line.endswith("\\"):
            parts.append(line.strip())
            break
        parts.append(line[:-1].strip())
    return " ".join(parts), used


def line_magic(rest):
    name, _, arguments = rest.partition(" ")
    return f"get_ipython().run_line_magic({name!r}, {arguments.strip()!r})"


def call_for(indent, text):
    if match_help_before(text) or match_help_after(text):
        return f"{indent}get_ipython().show_help({text!r})"
    if text.startswith("!!"):
        return f"{indent}get_ipython().getoutput({text[2:].strip()!r})"
    if text[0] == "!":
        return f"{indent}get_ipython().system({text[1:].strip()!r})"
    if text[0] == "%" and text[1:2] != "%" and text[1:].strip():
        return indent + line_magic(text[1:].strip())
    return None             # `%%` in the middle, a lone `?`: a syntax error as it stands


# ---- finding the end of a logical line


def logical_line_count(lines, index):
    """How many physical lines the logical line that starts here takes: strings, brackets and backslashes go on."""
    depth, quote, used = 0, "", 0
    for line in lines[index:]:
        used += 1
        depth, quote, continued = scan_line(line, depth, quote)
        if not (depth or quote or continued):
            break
    return used


def scan_line(line, depth, quote):
    """State after one physical line: open brackets, the triple quote that is open, whether a backslash ends it."""
    position, size = 0, len(line)
    while position < size:
        character = line[position]
        if quote:
            end = string_end(line, position, quote)
            if end < 0:
                break                       # goes on in the next line
            position, quote = end, ""
        elif character == "#":
            return depth, "", False
        elif character in "'\"":
            mark = line[position] * 3 if line.startswith(character * 3, position) else character
            quote, position = mark, position + len(mark)
        else:
            depth += character in OPENING
            depth = max(depth - (character in CLOSING), 0)
            position += 1
    continued = line.endswith("\\")
    if len(quote) == 1 and not continued:
        quote = ""                          # an unterminated string ends with its line; Python will say so
    return depth, quote, continued and not quote or bool(quote)


def string_end(line, position, quote):
    """Index after the closing quote, or -1. Raw strings escape a quote with a backslash too."""
    while position < len(line):
        if line[position] == "\\":
            position += 2
        elif line.startswith(quote, position):
            return position + len(quote)
        else:
            position += 1
    return -1
