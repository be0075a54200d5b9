"""What a value looks like: a bundle of MIME types, text always among them, and `display` of the cells.

Every `_repr_*_` method is code of the cell or of a library. One that fails loses its own form and no other.
"""
from base64 import b64decode

fields = load("fields")
encode, shorten = fields.encode, fields.shorten

PART_BYTES_MAX = 8 << 20
BUNDLE_BYTES_MAX = 15 << 20
METHODS = (("text/html", "_repr_html_"), ("text/markdown", "_repr_markdown_"), ("text/latex", "_repr_latex_"),
           ("application/json", "_repr_json_"), ("image/svg+xml", "_repr_svg_"), ("image/png", "_repr_png_"),
           ("image/jpeg", "_repr_jpeg_"))
PLAIN = "text/plain"
BINARY = ("image/png", "image/jpeg", "image/gif", "image/webp", "application/pdf")
type_text, type_bytes = str.__str__, bytes

json_dumps = load("private_json").dumps


class Display:
    channel = None          # set when the runner starts
    figures = None          # the figures module, once it is there


def own_text(value):
    text = repr(value)
    return shorten(text if type(text) is str else type_text(text))


def plain_text(value):
    try:
        return own_text(value)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        return f"<{type(value).__name__}: repr failed with {type(error).__name__}>"


def to_bytes(mime, data):
    """The raw bytes of one form, or None if it has none. Images may come as base64 text, as IPython allows."""
    if type(data) is tuple and len(data) == 2:
        data = data[0]      # (data, metadata)
    if data is None:
        return None
    if mime in BINARY:
        return b64decode(data) if isinstance(data, str) else type_bytes(data)
    if mime == "application/json" or mime.endswith("+json"):
        return data.encode() if type(data) is str else json_dumps(data).encode()
    if isinstance(data, type_bytes):
        return data
    return type_text(data).encode("utf-8", "backslashreplace")


def add_part(parts, mime, data):
    try:
        content = to_bytes(mime, data)
    except KeyboardInterrupt:
        raise
    except BaseException:
        return              # a form that cannot be written: the others stand
    if content is None:
        return
    if mime == PLAIN:
        content = shorten(content.decode("utf-8", "replace")).encode()
    if len(content) <= PART_BYTES_MAX and sum(map(len, parts.values())) + len(content) <= BUNDLE_BYTES_MAX:
        parts[mime] = content
    else:
        parts[PLAIN] = parts.get(PLAIN, b"") + f"\n[{mime} of {len(content)} bytes left out]".encode()


def call_method(value, name, **keywords):
    """The result of a display method; None if there is none or it fails. Never looked up on a class object."""
    try:
        method = getattr(value, name, None)
        return method(**keywords) if callable(method) else None
    except KeyboardInterrupt:
        raise
    except BaseException:
        return None


def has_every_name(value):
    """Classes, whose methods want an object, and objects that answer to any name (mocks, proxies)."""
    if issubclass(type(value), type):
        return True
    try:
        return hasattr(value, "_ipython_canary_method_should_not_exist_")
    except KeyboardInterrupt:
        raise
    except BaseException:
        return True


def bundle(value, is_echo=False):
    """{mime: bytes} with text/plain first. An echo whose `repr` fails raises that, unless there are other forms."""
    parts = forms(value)
    if is_echo and len(parts) == 1 and parts[PLAIN].endswith(b">") and b": repr failed with " in parts[PLAIN]:
        parts[PLAIN] = own_text(value).encode("utf-8", "backslashreplace")
    return parts


def forms(value):
    parts = {}
    if has_every_name(value):
        return {PLAIN: plain_text(value).encode("utf-8", "backslashreplace")}
    given = call_method(value, "_repr_mimebundle_", include=None, exclude=None)
    if type(given) is tuple and given:
        given = given[0]
    given = given if type(given) is dict else {}
    if PLAIN in given:
        add_part(parts, PLAIN, given[PLAIN])
    if PLAIN not in parts:
        add_part(parts, PLAIN, plain_text(value))
    for mime, data in given.items():
        if type(mime) is str and mime != PLAIN:
            add_part(parts, mime, data)
    for mime, name in METHODS:
        if mime not in parts and not (mime == "image/jpeg" and "image/png" in parts):
            data = call_method(value, name)
            if data is not None:
                add_part(parts, mime, data)
    if Display.figures is not None and "image/png" not in parts:
        picture = Display.figures.picture_of(value)
        if picture is not None:
            add_part(parts, "image/png", picture)
    return parts


def send_parts(parts):
    """One display message. In a process that the cell forked, only the text is printed."""
    if not Display.channel.send(b"D", encode(parts.items())):
        print(parts.get(PLAIN, b"").decode("utf-8", "replace"))


def flush_output():
    import sys
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except Exception:
            pass            # the cell replaced it by something that cannot


def display(*objects, include=None, exclude=None, metadata=None, transient=None, display_id=None, raw=False,
            clear=False, **keywords):
    """Show objects in the richest form the reader knows.

    With raw=True the objects are {mime type: data} already. The other options of IPython are accepted; nothing here
    is ever updated or cleared after it was shown.
    """
    flush_output()          # what was printed before stands before
    for value in objects:
        if raw and isinstance(value, dict):
            parts = {}
            for mime, data in value.items():
                add_part(parts, str(mime), data)
        else:
            parts = bundle(value)
        if include:
            parts = {mime: data for mime, data in parts.items() if mime in include or mime == PLAIN}
        if exclude:
            parts = {mime: data for mime, data in parts.items() if mime not in exclude}
        if parts:
            send_parts(parts)
