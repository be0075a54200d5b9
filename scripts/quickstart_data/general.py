"""The general conversations: read `general.txt`, where they are written by hand.

A conversation starts with a line `= topic`, optionally followed by words: `prompt` puts the quickstart system prompt
first, so that the model learns to talk when nothing needs computing; `validation` keeps it out of training. Turns start
with `U: ` and `A: `; other lines continue the turn before.
"""

from pathlib import Path
from typing import Any, Dict, List, NamedTuple

SOURCE = Path(__file__).with_name("general.txt")
SYSTEM_PROMPT = "Solve tasks by running Python."
_ROLES = {"U: ": "user", "A: ": "assistant"}


class Talk(NamedTuple):
    """One conversation and what its header says."""

    topic: str
    flags: List[str]
    turns: List[Dict[str, str]]


def read(path: Path) -> List[Talk]:
    """Parse the source file."""
    talks: List[Talk] = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if line.startswith("= "):
            topic, *flags = line[2:].split()
            talks.append(Talk(topic, flags, []))
        elif line[:3] in _ROLES:
            talks[-1].turns.append({"role": _ROLES[line[:3]], "content": line[3:]})
        elif line and talks and talks[-1].turns:
            talks[-1].turns[-1]["content"] += "\n" + line
        elif line:
            raise ValueError(f"{path}:{number}: a turn starts with `U: ` or `A: `")
    return talks


def rows(talks: List[Talk], is_validation: bool, first: int = 0) -> List[Dict[str, Any]]:
    """The conversations of one file, in CodeActInstruct's schema. Their ids count from `first`."""
    made = []
    for index, talk in enumerate(talks, first):
        if ("validation" in talk.flags) == is_validation:
            system = [{"role": "system", "content": SYSTEM_PROMPT}] if "prompt" in talk.flags else []
            made.append({"id": f"general/{talk.topic}/{index}", "conversations": system + talk.turns})
    return made
