"""A task family: what is asked, in which words, and the Python that solves it.

Templates use ``$name``. In a prompt a value is written the way a person would write it; in code it is a Python literal.
"""

import inspect
import random
from dataclasses import dataclass, field
from string import Template
from typing import Any, Callable, Dict, List, Sequence, Tuple, Union

Values = Dict[str, Any]
Given = Union[Dict[str, Callable[[random.Random], Any]], Callable[[random.Random], Values]]


class Plain(str):
    """Text that stands in a prompt without quotes, such as a name or a date."""


class Verbatim(str):
    """Text that stands in code without quotes, such as an expression or a snippet."""


@dataclass(frozen=True)
class Slip:
    """A first attempt that goes wrong, and the sentence with which the next turn repairs it."""

    code: str
    repair: str


@dataclass(frozen=True)
class Family:
    """One kind of task. `answer` takes the values it names and never looks at the code."""

    name: str
    given: Given
    answer: Callable[..., Any]
    ask: Sequence[str]
    think: Sequence[str]
    code: Sequence[str]
    held: Sequence[str] = ()
    slips: Sequence[Slip] = ()
    always_slips: bool = False
    setup: str = ""
    lead: Sequence[Tuple[str, str]] = field(default_factory=tuple)
    """Cells before the main one, as (thought, code): a look at the data first."""

    def values(self, rng: random.Random) -> Values:
        """Draw the values of one task."""
        if callable(self.given):
            return self.given(rng)
        return {name: draw(rng) for name, draw in self.given.items()}

    def solve(self, values: Values) -> Any:
        """The right answer; `print` would show it as `str` does."""
        names = inspect.signature(self.answer).parameters
        return self.answer(**{name: values[name] for name in names})


def slips(*pairs: Tuple[str, str]) -> List[Slip]:
    """Write several slips as (code, repair) pairs."""
    return [Slip(code, repair) for code, repair in pairs]


def literal(value: Any) -> str:
    """`value` as Python source, strings in double quotes."""
    if isinstance(value, Verbatim):
        return str(value)
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'
    if isinstance(value, list):
        return "[" + ", ".join(literal(item) for item in value) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{literal(key)}: {literal(item)}" for key, item in value.items()) + "}"
    return repr(value)


def spoken(value: Any, quote: str, style: str) -> str:
    """`value` as a person writes it in a request; `style` of a list is `brackets`, `commas` or `and`."""
    if isinstance(value, (Plain, Verbatim)):
        return str(value)
    if isinstance(value, str):
        return f'"{value}"' if quote in value else quote + value + quote
    if isinstance(value, list) and len(value) > 2 and style != "brackets" and isinstance(value[0], (int, float, str)):
        bare = [str(item) for item in value]
        return ", ".join(bare) if style == "commas" else ", ".join(bare[:-1]) + " and " + bare[-1]
    return literal(value)


def fill_prompt(template: str, values: Values, rng: random.Random) -> str:
    """Fill a wording with spoken values, in one style for the whole prompt."""
    quote = rng.choice(["\"", "\"", "'"])
    style = rng.choices(["brackets", "commas", "and"], [55, 30, 15])[0]
    lists = [name for name, value in values.items() if isinstance(value, list)]
    if len(lists) > 1 or any(f"${name}," in template for name in lists):
        style = "brackets"
    return Template(template).substitute({name: spoken(value, quote, style) for name, value in values.items()})


def fill_code(template: str, values: Values) -> str:
    """Fill a code template with Python literals."""
    return Template(template).substitute({name: literal(value) for name, value in values.items()})
