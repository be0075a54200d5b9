"""Families about small simulations: state that changes step by step."""

from .family import Family, Verbatim, slips
from .pools import NAMES, choice, integer, integers


def _walk(rng):
    return {"moves": "".join(rng.choice("LR") for _ in range(rng.randint(5, 9)))}


def _queue(rng):
    people = rng.sample(NAMES, rng.randint(4, 6))
    return {"people": people, "k": rng.randint(2, len(people) - 1)}


def _account(rng):
    return {"start": rng.randint(50, 500),
            "moves": [rng.choice([-1, 1]) * rng.randint(5, 60) for _ in range(rng.randint(3, 6))]}


def _loop(rng):
    """A loop that applies x -> scale * x + shift, written in one of a few ways."""
    x, n, k = rng.randint(1, 9), rng.randint(3, 9), rng.randint(2, 5)
    body, scale, shift = rng.choice([(f"x = x * {k} - 1", k, -1), (f"x = x + {k}", 1, k), (f"x = x * 2 + {k}", 2, k),
                                     (f"x += {k}", 1, k)])
    return {"snippet": Verbatim(f"x = {x}\nfor i in range({n}):\n    {body}\nprint(x)"), "rule": (x, n, scale, shift)}


def _loop_answer(rule):
    x, n, scale, shift = rule
    for _ in range(n):
        x = scale * x + shift
    return x


FAMILIES = [
    Family(
        "line_walk", _walk, lambda moves: moves.count("R") - moves.count("L"),
        ["Start at 0. R adds 1, L subtracts 1. Where do the moves $moves end?",
         "A robot on a line makes the steps $moves (L = -1, R = +1). Final position from 0?",
         "Walk $moves from position 0, right is +1 and left is -1. Where am I?"],
        ["I will follow the moves one by one."],
        ["x = 0\nfor m in $moves:\n    x += 1 if m == \"R\" else -1\nprint(x)"],
        held=["A snail at 0 creeps $moves (R one up, L one down). On which number does it rest?"],
        slips=slips(("for m in $moves:\n    x += 1 if m == \"R\" else -1\nprint(x)",
                     "The position has no start value. I will set `x = 0`."))),
    Family(
        "bouncing_ball", {"h": integer(10, 200), "p": choice([40, 50, 60, 70, 80]), "n": integer(2, 6)},
        lambda h, p, n: round(h * (p / 100) ** n, 2),
        ["A ball falls from $h cm and each bounce reaches $p% of the height before. How high is bounce $n, to 2 decimals?", "Drop height $h, bounce factor $p%. Height after $n bounces (2 decimals)?"],
        ["I will multiply the height for each bounce."],
        ["height = $h\nfor i in range($n):\n    height = height * $p / 100\nprint(round(height, 2))"],
        slips=slips(("height = $h\nfor i in $n:\n    height = height * $p / 100\nprint(round(height, 2))",
                     "A number cannot be looped over. I will use `range`."))),
    Family(
        "population_growth", {"p": integer(100, 5000), "r": integer(2, 20), "n": integer(2, 8)},
        lambda p, r, n: round(p * (1 + r / 100) ** n, 1),
        ["A town of $p grows by $r% each year. How many people after $n years, to 1 decimal?",
         "Population $p, growth $r percent a year, $n years. Result to 1 decimal?",
         "$p bacteria increase by $r% every hour. How many after $n hours (1 decimal)?"],
        ["I will grow the population year by year."],
        ["people = $p\nfor year in range($n):\n    people = people * (1 + $r / 100)\nprint(round(people, 1))"],
        held=["A herd has $p animals and gets $r% bigger every year. What size has it $n years later (1 decimal)?"]),
    Family(
        "doubling", {"a": integer(1, 30), "n": integer(3, 12)}, lambda a, n: a << n,
        ["$a cells double every hour. How many are there after $n hours?",
         "Start with $a and double it $n times. What is the result?",
         "I have $a coins and double them each day for $n days. How many at the end?"],
        ["I will double the number in a loop."], ["x = $a\nfor i in range($n):\n    x = x * 2\nprint(x)",
                                                  "print($a * 2 ** $n)"]),
    Family(
        "halving", {"a": integer(100, 9999)}, lambda a: len(bin(a)) - 3,
        ["How many times can $a be halved (dropping fractions) until it is 1?",
         "Halve $a with integer division until 1 is left. How many steps?",
         "Cut $a in half (whole numbers) again and again. Steps to reach 1?"],
        ["I will halve the number and count."],
        ["n = $a\nsteps = 0\nwhile n > 1:\n    n = n // 2\n    steps += 1\nprint(steps)"]),
    Family(
        "savings_goal", {"start": integer(0, 100), "step": integer(7, 60), "goal": integer(200, 900)},
        lambda start, step, goal: -(-(goal - start) // step),
        ["I have $start and save $step a week. After how many weeks do I have at least $goal?",
         "Start $start, add $step each week. How many weeks until $goal is reached?",
         "$start coins now, $step more per day. Days until at least $goal coins?"],
        ["I will save week by week and count."],
        ["money = $start\nweeks = 0\nwhile money < $goal:\n    money += $step\n    weeks += 1\nprint(weeks)"],
        held=["A phone costs $goal. I own $start and earn $step each week. How long must I work, in weeks?"],
        slips=slips(("money = $start\nwhile money < $goal:\n    money += $step\n    weeks += 1\nprint(weeks)",
                     "The counter has no start value. I will set `weeks = 0`."))),
    Family(
        "queue_front", _queue, lambda people, k: people[k],
        ["The queue is $people. After the first $k people are served, who is at the front?",
         "$people stand in line and $k leave from the front. Who is first now?",
         "Queue: $people. Serve $k. Who is next?"],
        ["I will remove people from the front."],
        ["queue = $people\nfor i in range($k):\n    queue.pop(0)\nprint(queue[0])"],
        slips=slips(("queue = $people\nfor i in range($k):\n    queue.popleft()\nprint(queue[0])",
                     "A list has no `popleft`. I will use `pop(0)`."))),
    Family(
        "stack_top", _queue, lambda people, k: people[len(people) - k - 1],
        ["Plates $people are stacked in this order. After taking $k from the top, which is on top?",
         "Stack: push $people, then pop $k times. What is on top?"],
        ["I will pop from the end of the list."],
        ["stack = $people\nfor i in range($k):\n    stack.pop()\nprint(stack[-1])"]),
    Family(
        "account_balance", _account, lambda start, moves: sum([start] + moves),
        ["An account has $start. The bookings are $moves. What is the balance?",
         "Start with $start and apply the changes $moves. What is left?",
         "Balance $start, then $moves. Give the final balance."],
        ["I will apply the changes one by one."],
        ["balance = $start\nfor m in $moves:\n    balance += m\nprint(balance)"],
        slips=slips(("balance = $start\nfor m in $moves:\nbalance += m\nprint(balance)",
                     "The loop body is not indented. I will indent it."))),
    Family(
        "loop_result", _loop, _loop_answer,
        ["What does this code print?\n$snippet", "Run this code and tell me the output:\n$snippet",
         "Give the result of\n$snippet", "Which number comes out?\n$snippet"],
        ["I will run the code."], ["$snippet"]),
    Family(
        "dice_wins", lambda rng: (lambda n: {"a": integers(n, n, 1, 6)(rng), "b": integers(n, n, 1,
                                                                                           6)(rng)})(rng.randint(4,
                                                                                                                 7)),
                                                                                                                 lambda a, b: sum(a[i] > b[i] for i in range(len(a))),
        ["Anna rolled $a, Ben rolled $b. In how many rounds was Anna higher?",
         "Two players roll $a and $b. How many rounds does the first win?",
         "Compare $a with $b pair by pair. How often is the first greater?"],
        ["I will compare the pairs."], ["a = $a\nb = $b\nprint(sum(x > y for x, y in zip(a, b)))"]),
    Family(
        "battery", {"start": integer(60, 100), "use": integer(3, 9)}, lambda start, use: start // use,
        ["A battery has $start% and loses $use% per hour. How many full hours does it last?",
         "Tank $start litres, $use litres per hour. For how many whole hours is there fuel?"],
        ["I will use up the charge hour by hour."],
        ["charge = $start\nhours = 0\nwhile charge >= $use:\n    charge -= $use\n    hours += 1\nprint(hours)"]),
]
