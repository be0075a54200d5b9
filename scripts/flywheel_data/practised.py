"""A family that is practised: like one of the quickstart, with a second kind of wordings."""

from dataclasses import dataclass
from typing import Sequence

from scripts.quickstart_data.family import Family


@dataclass(frozen=True)
class Practised(Family):
    """`ask` says what is wanted. `hinted` also names the way, as a formula, a function or a condition: with such a prompt
    a weak model finds the first programs that are right. Held-out tasks never use `hinted`."""

    hinted: Sequence[str] = ()
