"""`IPython.display` for code that imports it where IPython is not installed: the display classes, and nothing else.

Where IPython is installed, its own `display` would only print, because no IPython shell runs: it is replaced by ours.
"""
import sys
from importlib.machinery import ModuleSpec, PathFinder

display = load("display").display
NAMES = ("IPython", "IPython.display", "IPython.core", "IPython.core.display")
REAL_DISPLAY = "IPython.core.display_functions"
IMAGE_STARTS = ((b"\x89PNG", "image/png"), (b"\xff\xd8", "image/jpeg"), (b"GIF8", "image/gif"), (b"RIFF", "image/webp"))
find_real = PathFinder.find_spec
open_file = open


class DisplayObject:
    """Text or bytes given as `data`, or read from a file."""
    binary = False

    def __init__(self, data=None, url=None, filename=None, metadata=None, **keywords):
        if data is None and filename is None:
            reason = ": a URL cannot be read" if url else ""
            raise ValueError(f"{type(self).__name__} needs data or filename{reason}")
        if data is None:
            with open_file(filename, "rb") as file:
                data = file.read()
            data = data if self.binary else data.decode("utf-8", "replace")
        self.data, self.metadata = data, metadata or {}

    def __repr__(self):
        return f"<IPython.display.{type(self).__name__} object>"


def text_class(name, method):
    def representation(self):
        return self.data
    return type(name, (DisplayObject,), {method: representation, "__module__": "IPython.display", "__qualname__": name})


HTML = text_class("HTML", "_repr_html_")
Markdown = text_class("Markdown", "_repr_markdown_")
Latex = text_class("Latex", "_repr_latex_")
SVG = text_class("SVG", "_repr_svg_")
JSON = text_class("JSON", "_repr_json_")


class Pretty(DisplayObject):
    """Plain text as it is."""
    __module__ = "IPython.display"

    def __repr__(self):
        return str(self.data)


class Math(Latex):
    __module__ = "IPython.display"

    def _repr_latex_(self):
        return f"$\\displaystyle {str(self.data).strip('$')}$"


class Image(DisplayObject):
    """A PNG or JPEG picture, from bytes or a file. A string is a file name."""
    __module__, binary = "IPython.display", True

    def __init__(self, data=None, url=None, filename=None, format=None, **keywords):
        if type(data) is str:
            data, filename = None, data
        super().__init__(data, url, filename, **keywords)

    def _repr_mimebundle_(self, include=None, exclude=None):
        return {mime: self.data for start, mime in IMAGE_STARTS if self.data[:len(start)] == start}


def clear_output(wait=False):
    """Nothing is cleared here: what was shown stays."""


def update_display(value, **keywords):
    display(value)


class StandInFinder:
    """Last in sys.meta_path: reached only when nothing else knows IPython."""

    @staticmethod
    def find_spec(name, path=None, target=None):
        if name not in NAMES:
            return None
        return ModuleSpec(name, StandInFinder, is_package=name in ("IPython", "IPython.core"))

    @staticmethod
    def create_module(spec):
        return None

    @staticmethod
    def exec_module(module):
        space = vars(module)
        if module.__name__ == "IPython":
            # Libraries ask this to find out whether a shell of IPython runs. It does not.
            space.update(version_info=(0, 0, 0), __version__="0.0.0", get_ipython=lambda: None)
            __import__("IPython.display")
        elif module.__name__ != "IPython.core":
            for kind in (HTML, Markdown, Latex, SVG, JSON, Pretty, Math, Image, DisplayObject):
                space[kind.__name__] = kind
            space.update(display=display, clear_output=clear_output, update_display=update_display)


class RealDisplayFinder:
    """First in sys.meta_path: loads the installed module of this name, then puts our `display` into it."""

    @staticmethod
    def find_spec(name, path=None, target=None):
        if name != REAL_DISPLAY:
            return None
        spec = find_real(name, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = PatchingLoader(spec.loader)
        return spec


class PatchingLoader:
    def __init__(self, loader):
        self.loader = loader

    def create_module(self, spec):
        return self.loader.create_module(spec)

    def exec_module(self, module):
        self.loader.exec_module(module)
        module.display = display


def install():
    sys.meta_path.insert(0, RealDisplayFinder)
    sys.meta_path.append(StandInFinder)
