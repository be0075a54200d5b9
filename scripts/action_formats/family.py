"""A family of tasks: what is asked in which words, and the plan that solves it with the tools of one domain.

Templates use ``$name``. In a prompt a value is written the way a person would say it; in the plan it is a Python literal.
"""

import random
import re
from dataclasses import dataclass, field
from string import Template
from typing import Any, Callable, Dict, Mapping, NamedTuple, Sequence, Tuple, Union

from scripts.quickstart_data.family import literal


class Said(NamedTuple):
    """A value and how a person says it."""

    value: Any
    text: str


@dataclass(frozen=True)
class Family:
    """Tasks of one kind.

    `plan` is a small Python program. Its last line is an expression, the answer; everything else that it needs are the
    functions of `tools/<domain>.py` and a few builtins. `say` is how a person without Python gets from the results of the
    calls to the answer: a template with ``{name}`` of the plan's variables, or a function of them. `then` has what is
    thought before the second and later calls, by tool, in the same way.
    """

    domain: str
    name: str
    draw: Mapping[str, Any]
    ask: Sequence[str]
    think: str
    plan: str
    say: Union[str, Callable[[Mapping[str, Any]], str]] = ""
    then: Mapping[str, str] = field(default_factory=dict)
    count: int = 2


class Drawn(NamedTuple):
    """One task of a family before anything ran."""

    prompt: str
    think: str
    plan: str
    values: Tuple[Tuple[str, str], ...]


def spoken(value: Any) -> str:
    """`value` as it stands in a request; lists as people count things up."""
    if isinstance(value, Said):
        return value.text
    if isinstance(value, (list, tuple)):
        words = [spoken(item) for item in value]
        return words[0] if len(words) == 1 else ", ".join(words[:-1]) + " and " + words[-1]
    return str(value)


def bare(value: Any) -> Any:
    """`value` without how it is said."""
    if isinstance(value, Said):
        return value.value
    return [bare(item) for item in value] if isinstance(value, (list, tuple)) else value


def drawn(family: Family, rng: random.Random) -> Dict[str, Any]:
    """Values for every name of the family: a list or tuple is chosen from, a function asked, and anything else is meant as it is.
    A name such as ``"first, last"`` takes a tuple apart."""
    values: Dict[str, Any] = {}
    for names, pool in family.draw.items():
        value = rng.choice(pool) if isinstance(pool, (list, tuple)) else pool(rng) if callable(pool) else pool
        parts = [name.strip() for name in names.split(",")]
        values.update(zip(parts, value) if len(parts) > 1 else [(names, value)])
    return values


def draw(family: Family, wording: str, rng: random.Random) -> Drawn:
    """One task of `family` in this wording."""
    values = drawn(family, rng)
    said = {name: spoken(value) for name, value in values.items()}
    literals = {name: literal(bare(value)) for name, value in values.items()}
    prompt = re.sub(r"\b([Aa]) (?=(electric|estate|oak|American)\b)", r"\1n ", Template(wording).substitute(said))
    key = tuple(sorted(literals.items()))
    plan = Template(family.plan).substitute(literals)
    return Drawn(prompt[0].upper() + prompt[1:], Template(family.think).substitute(said), plan, key)
