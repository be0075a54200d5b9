"""Families about small simulations: state that changes step by step."""

from .family import Family
from .pools import integer


FAMILIES = [
    Family(
        "doubling", {"a": integer(1, 30), "n": integer(3, 12)}, lambda a, n: a << n,
        ["$a cells double every hour. How many are there after $n hours?",
         "Start with $a and double it $n times. What is the result?",
         "I have $a coins and double them each day for $n days. How many at the end?",
         "A pond has $a lilies, and their number doubles every week. How many are there after $n weeks?",
         "Take $a and multiply it by 2 again and again, $n times in all. What comes out?",
         "If $a is doubled $n times in a row, which number do you get?", "double $a, $n times, final value?",
         "Noah starts a game with $a points, and each of $n rounds doubles his points. Give his final score.",
         "Compute $a times 2 to the power of $n.",
         "There are $a followers today, and the number doubles each month. How many are there in $n months?",
         "For $n steps, replace the number by twice itself. It starts at $a. Where does it end?",
         "Please find the value of $a after exactly $n doublings."],
        ["I will double the number in a loop."], ["x = $a\nfor i in range($n):\n    x = x * 2\nprint(x)",
                                                  "print($a * 2 ** $n)"]),
]
