"""Matplotlib without a window: a backend of our own, in memory, whose `show()` sends the open figures as PNG.

The backend is chosen when `matplotlib.pyplot` is imported and not by MPLBACKEND, which child processes would inherit:
they could not import it. Figures still open at the end of a cell are sent too, whatever the backend then is.
"""
import sys
from importlib.machinery import ModuleSpec
from io import BytesIO
from sys import modules

display = load("display")

BACKEND = "codeact_backend"
FIGURES_MAX = 20                # per cell
PNG_BYTES_MAX = 8 << 20
PIXELS_MAX = 40_000_000
DPI_MIN = 10


class Figures:
    sent = 0
    left_out = 0


class BackendFinder:
    """Finds the backend module, and chooses it just before pyplot is imported."""

    @staticmethod
    def find_spec(name, path=None, target=None):
        if name == BACKEND:
            return ModuleSpec(name, BackendFinder)
        if name == "matplotlib.pyplot" and "matplotlib" in modules:
            modules["matplotlib"].use("module://" + BACKEND)
        return None

    @staticmethod
    def create_module(spec):
        return None

    @staticmethod
    def exec_module(module):
        from matplotlib.backend_bases import FigureManagerBase
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        module.FigureCanvas, module.FigureManager, module.show = FigureCanvasAgg, FigureManagerBase, show


def install():
    sys.meta_path.insert(0, BackendFinder)


def is_figure(value):
    kind = modules.get("matplotlib.figure")
    figure = getattr(kind, "Figure", None)
    return type(figure) is type and isinstance(value, figure)


def picture_of(value):
    """PNG of a value that is a figure itself; it then is not sent again at the end of the cell."""
    if not is_figure(value):
        return None
    picture = render(value)
    helpers = modules.get("matplotlib._pylab_helpers")
    if helpers is not None:
        for manager in list(helpers.Gcf.get_all_fig_managers()):
            if manager.canvas.figure is value:
                helpers.Gcf.destroy(manager)
    return picture


def render(figure):
    """PNG bytes, at a lower resolution where the figure asks for more pixels than anyone can look at."""
    width, height = (float(side) for side in figure.get_size_inches())
    dpi = float(figure.dpi)
    if width * height * dpi * dpi > PIXELS_MAX:
        dpi = (PIXELS_MAX / (width * height)) ** 0.5
    if dpi < DPI_MIN:
        raise ValueError(f"a figure of {width:g} x {height:g} inches is too large to show")
    target = BytesIO()
    figure.savefig(target, format="png", dpi=dpi, bbox_inches="tight")
    return target.getvalue()


def show(*args, **keywords):
    """`plt.show()`: send every open figure and close it."""
    helpers = modules.get("matplotlib._pylab_helpers")
    if helpers is None or not display.Display.channel.is_owner():
        return
    display.flush_output()
    for manager in list(helpers.Gcf.get_all_fig_managers()):
        try:
            send_figure(manager.canvas.figure)
        finally:
            helpers.Gcf.destroy(manager)


def send_figure(figure):
    if Figures.sent >= FIGURES_MAX:
        Figures.left_out += 1
        return
    Figures.sent += 1
    width, height = (figure.get_size_inches() * figure.dpi).round()
    count = len(figure.axes)
    text = f"<Figure size {width:.0f}x{height:.0f} with {count} Axes>"
    try:
        picture = render(figure)
    except Exception as error:
        send_text(f"{text}\n[could not be drawn: {type(error).__name__}: {error}]")
        return
    if len(picture) > PNG_BYTES_MAX:
        send_text(f"{text}\n[not shown: its PNG has {len(picture)} bytes, at most {PNG_BYTES_MAX} are sent]")
        return
    display.send_parts({display.PLAIN: text.encode(), "image/png": picture})


def send_text(text):
    display.send_parts({display.PLAIN: text.encode("utf-8", "backslashreplace")})


def begin_cell():
    Figures.sent = Figures.left_out = 0


def end_cell():
    """Send what is still open, and say what was not sent."""
    if "matplotlib._pylab_helpers" in modules:
        show()
    if Figures.left_out:
        send_text(f"[{Figures.left_out} more figures not shown: at most {FIGURES_MAX} per cell]")
