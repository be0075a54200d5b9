"""All families: the trained ones, their wordings split into trained and held ones, and the families never trained."""

import dataclasses
import random

from . import (families_lists, families_measure, families_new, families_numbers, families_parsing, families_simulation,
               families_structures, families_text, families_time, families_tools)
from .family import Family

_THEMES = (families_numbers, families_text, families_lists, families_time, families_measure, families_parsing,
           families_structures, families_simulation, families_tools)
# One wording in three is held out, drawn at random, beside those written to be far from all others.
_HELD_SHARE = 1 / 3


def _split(family: Family) -> Family:
    """The family with part of its wordings kept for evaluation; the draw depends on its name alone."""
    count = round(len(family.ask) * _HELD_SHARE)
    drawn = random.Random(f"wordings/{family.name}").sample(list(family.ask), count)
    return dataclasses.replace(
        family, ask=[wording for wording in family.ask if wording not in drawn], held=list(family.held) + drawn)


TRAINED = [_split(family) for theme in _THEMES for family in theme.FAMILIES]
NEW = list(families_new.FAMILIES)
