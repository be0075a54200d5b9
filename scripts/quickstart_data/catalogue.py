"""All families: the trained ones and the ones kept for evaluation."""

from . import (families_lists, families_measure, families_new, families_numbers, families_parsing, families_repair,
               families_simulation, families_structures, families_text, families_time, families_tools)

_THEMES = (families_numbers, families_text, families_lists, families_time, families_measure, families_parsing,
           families_structures, families_simulation, families_tools, families_repair)

TRAINED = [family for theme in _THEMES for family in theme.FAMILIES]
NEW = list(families_new.FAMILIES)
