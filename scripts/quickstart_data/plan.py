"""Turn families into plans: a prompt, the scripted assistant turns and the right answer."""

import ast
import random
from dataclasses import dataclass
from typing import Any, Dict, List, Optional, Sequence, Set, Tuple

from .family import Family, Slip, fill_code, fill_prompt

OPENERS = ["Please help: ", "Quick question. ", "Hi! ", "Use Python. ", "Task: ", "I have a problem. "]
MISTAKEN_NAMES = {"numbers": "number", "words": "word_list", "data": "table", "text": "txt"}
OPENER_SHARE = 0.06
GENERIC_SLIP_SHARE = 0.5
ECHO_SHARE = 0.1


@dataclass(frozen=True)
class Plan:
    """One scripted task. `turns` are the assistant messages; running their code in order must lead to `answer`."""

    id: str
    family: str
    prompt: str
    turns: Tuple[str, ...]
    answer: str
    setup: str

    def row(self) -> Dict[str, Any]:
        """The line that `codeact-eval collect` reads."""
        row = {"id": self.id, "family": self.family, "prompt": self.prompt, "turns": list(self.turns), "answer": self.answer}
        return row | {"setup": self.setup} if self.setup else row

    def task(self) -> Dict[str, Any]:
        """The line that `codeact-eval run` reads: the same without the script."""
        row = {"id": self.id, "family": self.family, "prompt": self.prompt, "answer": self.answer}
        return row | {"setup": self.setup} if self.setup else row


def act(thought: str, code: str) -> str:
    """An assistant turn that runs code."""
    return f"{thought}\n<execute>\n{code}\n</execute>"


def conclude(answer: str) -> str:
    """An assistant turn that ends the task."""
    return f"The answer is <solution>{answer}</solution>"


def echo(code: str) -> str:
    """`code` with its final `print(x)` as a bare `x`, where the session shows the same text."""
    last = ast.parse(code).body[-1]
    is_print = isinstance(last, ast.Expr) and isinstance(last.value, ast.Call) and getattr(last.value.func, "id", "") == "print"
    if not is_print or len(last.value.args) != 1 or last.lineno != last.end_lineno:
        return code
    lines = code.split("\n")
    lines[-1] = lines[-1][len("print("):-1]
    return "\n".join(lines)


def generic_slips(code: str, answer: Any) -> List[Slip]:
    """Ways in which almost any program goes wrong, the telling ones first."""
    found = []
    lines = code.split("\n")
    is_number = isinstance(answer, (int, float)) and not isinstance(answer, bool)
    expression = lines[-1][len("print("):-1] if lines[-1].startswith("print(") else ""
    if lines[0].startswith("import "):
        module = lines[0].split()[1]
        found.append(Slip("\n".join(lines[1:]), f"The module `{module}` is not imported. I will import it."))
    if expression and is_number and len(lines) > 1 and " if " not in expression:
        broken = "\n".join(lines[:-1] + [f'print("Result: " + {expression})'])
        found.append(Slip(broken, "Text and number cannot be added. I will print the number alone."))
    for name, wrong in MISTAKEN_NAMES.items():
        if code.startswith(f"{name} = ") and name in lines[-1]:
            broken = "\n".join(lines[:-1] + [lines[-1].replace(name, wrong)])
            found.append(Slip(broken, f"The name `{wrong}` is not defined. It is `{name}`."))
    if lines[-1].endswith("))"):
        found.append(Slip(code[:-1], "A parenthesis is not closed. I will close it."))
    return found


class Maker:
    """Draws plans; remembers every prompt and every set of values, so that none comes twice."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.seen: Set[str] = set()
        self.prompts: Set[str] = set()

    def stream(self, label: str, family: Family) -> random.Random:
        """A generator of its own for each family and purpose, so that adding a family leaves the others as they are."""
        return random.Random(f"{self.seed}/{label}/{family.name}")

    def draw(self, family: Family, wordings: Sequence[str], rng: random.Random, index: int, openers: bool
             ) -> Optional[Tuple[dict, str, Any]]:
        """Values that were never drawn for this family, the prompt and the answer; None when the family is used up."""
        for _ in range(300):
            values = family.values(rng)
            prompt = fill_prompt(wordings[index % len(wordings)], values, rng)
            if openers and rng.random() < OPENER_SHARE and not prompt.startswith("You can call"):
                prompt = rng.choice(OPENERS) + prompt
            key = f"{family.name}/{sorted((name, str(value)) for name, value in values.items())}"
            if key not in self.seen and prompt not in self.prompts:
                self.seen.add(key)
                self.prompts.add(prompt)
                return values, prompt, family.solve(values)
        return None

    def plans(self, family: Family, count: int, label: str, slip_share: float) -> List[Plan]:
        """`count` plans of a trained family (fewer when its values run out); `slip_share` of them go wrong at first."""
        rng = self.stream(label, family)
        wordings = rng.sample(list(family.ask), len(family.ask))
        made = []
        for index in range(count):
            drawn = self.draw(family, wordings, rng, index, openers=True)
            if drawn is None:
                break
            values, prompt, answer = drawn
            turns = self.turns(family, values, answer, rng, rng.random() < slip_share)
            setup = fill_code(family.setup, values)
            made.append(Plan(f"{label}/{family.name}/{index}", family.name, prompt, turns, str(answer), setup))
        return made

    def turns(self, family: Family, values: dict, answer: Any, rng: random.Random, is_slip: bool) -> Tuple[str, ...]:
        """The assistant turns: a look, perhaps a slip, the working code and the answer."""
        code = fill_code(rng.choice(list(family.code)), values)
        shown = echo(code) if rng.random() < ECHO_SHARE and not isinstance(answer, str) and not family.always_slips else code
        thought = fill_code(rng.choice(list(family.think)), values)
        turns = [act(*look) for look in family.lead if rng.random() < 0.4]
        slip = self.slip(family, values, code, answer, rng) if is_slip or family.always_slips else None
        if slip is None:
            turns.append(act(thought, shown))
        else:
            turns += [act(thought, slip.code), act(slip.repair, shown)]
        return tuple(turns + [conclude(str(answer))])

    def slip(self, family: Family, values: dict, code: str, answer: Any, rng: random.Random) -> Optional[Slip]:
        """One of the family's own slips, or a common one; None where nothing plausible is known."""
        own = [Slip(fill_code(slip.code, values), slip.repair) for slip in family.slips]
        common = [] if family.always_slips else generic_slips(code, answer)
        options = common if common and (not own or rng.random() < GENERIC_SLIP_SHARE) else own
        if not options:
            return None
        return options[min(rng.randrange(len(options)), rng.randrange(len(options)))]

    def tasks(self, family: Family, wordings: Sequence[str], count: int, label: str) -> List[Plan]:
        """Held-out tasks; `label` becomes part of the family name, as in `seen/digit_sum`."""
        rng = self.stream(label, family)
        made = []
        for index in range(count):
            drawn = self.draw(family, wordings, rng, index, openers=False)
            if drawn is None:
                break
            values, prompt, answer = drawn
            setup = fill_code(family.setup, values)
            made.append(Plan(f"heldout/{label}/{family.name}/{index}", f"{label}/{family.name}", prompt, (), str(answer), setup))
        return made

