"""Families about whole numbers: arithmetic, divisibility, digits, bases and sequences."""

import math

from .family import Family, Verbatim, slips
from .pools import integer


def _expression(rng):
    a, b, c = rng.randint(12, 99), rng.randint(3, 60), rng.randint(2, 40)
    shape = rng.choice(["{a} * {b} + {c}", "({a} + {b}) * {c}", "{a} * {c} - {b}", "({a} - {c}) * {b}",
                        "{a} + {b} * {c}"])
    return {"expression": Verbatim(shape.format(a=a, b=b, c=c))}


def _is_prime(n):
    return n > 1 and all(n % d for d in range(2, math.isqrt(n) + 1))


def _fibonacci(n):
    a, b = 0, 1
    for _ in range(n):
        a, b = b, a + b
    return a


FAMILIES = [
    Family(
        "arithmetic_expression", _expression, lambda expression: eval(expression),
        ["What is $expression?", "Compute $expression.", "Calculate $expression for me.", "$expression = ?",
         "Evaluate the expression $expression.", "How much is $expression?",
         "Work out $expression and give the number.",
         "I need the value of $expression.",
         "Could you run the numbers on $expression, minding the usual order of operations?",
         "$expression comes to which number?",
         "The calculator in my kitchen broke while I typed $expression. What should it have shown?",
         "Solve $expression and show only the final value."],
        ["I will compute the expression."], ["print($expression)", "result = $expression\nprint(result)"],
        held=["Please tell me what you get for $expression.",
              "My homework says $expression. What should I write down?"],
        slips=slips(("result = $expression\nprint(reslt)", "The name is misspelled. It is `result`."))),
    Family(
        "multiply", {"a": integer(12, 999), "b": integer(12, 999)}, lambda a, b: a * b,
        ["What is $a times $b?", "Multiply $a by $b.", "Give me the product of $a and $b.", "$a multiplied by $b?",
         "There are $a boxes with $b screws in each. How many screws are there?",
         "A hall has $a rows of $b seats. How many seats is that?", "Find $a x $b.",
         "If one ticket costs $a cents, what do $b tickets cost in cents?",
         "$a * $b, please.",
         "A farmer plants $b trees in every one of $a orchards. Work out the number of trees.",
         "Could you tell me the sum of $b copies of the number $a?",
         "Determine the result when the factors are $a and $b."],
        ["I will multiply the two numbers."], ["print($a * $b)", "a = $a\nb = $b\nprint(a * b)"],
        held=["A printer makes $a pages a day. How many pages does it make in $b days?"]),
    Family(
        "remainder", {"a": integer(100, 9999), "b": integer(3, 97)}, lambda a, b: a - (a // b) * b,
        ["What is the remainder when $a is divided by $b?", "Compute $a mod $b.",
         "Divide $a by $b. What is left over?",
         "Give the remainder of $a / $b.", "$a candies are shared equally by $b children. How many are left over?",
         "Find $a modulo $b.", "What remains after dividing $a by $b?",
         "$a % $b = ?",
         "I deal $a cards evenly to $b players and keep the rest. How many cards do I keep?",
         "Using whole-number division of $a by $b, report only the rest.",
         "Subtract $b from $a again and again until less than $b is left. What number is left?",
         "Noah cuts $a cm of tape into strips of $b cm. How many cm are too short for a strip?"],
        ["I will compute the remainder with `%`."], ["print($a % $b)", "a = $a\nb = $b\nprint(a % b)"],
        held=["If I pack $a eggs into cartons of $b, how many eggs do not fill a carton?"],
        slips=slips(("print(mod($a, $b))", "There is no function `mod`. I will use `%`."))),
    Family(
        "power", {"a": integer(2, 15), "b": integer(2, 9)}, lambda a, b: math.prod([a] * b),
        ["What is $a to the power of $b?", "Compute $a ** $b.", "Raise $a to the power $b.", "Calculate $a^$b.",
         "Find $a multiplied by itself so that $a appears $b times.", "What is the value of $a to the $b?",
         "$a ** $b = ?",
         "Use $a as a factor $b times and tell me the product.",
         "Could you work out $a raised to the $b for me?",
         "A lock has $b wheels with $a symbols on each. How many different codes are possible?",
         "Start with 1 and multiply by $a, $b times over. Where do you end up?",
         "Determine pow($a, $b) and report the whole number."],
        ["I will compute the power with `**`."], ["print($a ** $b)",
                                                  "base = $a\nexponent = $b\nprint(base ** exponent)"],
        held=["Tell me the result of taking $a with exponent $b."],
        slips=slips(("print($a.pow($b))", "A number has no method `pow`, and this is not valid. I will use `**`."))),
    Family(
        "square_root", {"n": integer(10, 5000)}, lambda n: round(n ** 0.5, 3),
        ["What is the square root of $n, rounded to 3 decimals?", "Compute sqrt($n) to 3 decimal places.",
         "Find the square root of $n. Round to 3 decimals.", "Which number squared gives $n? Round to 3 decimals.",
         "A square has area $n. How long is its side, to 3 decimals?", "Give me the root of $n with 3 decimals.",
         "sqrt($n), three decimals please.",
         "A square lawn covers $n square metres. What is the length of one edge, rounded to 3 decimals?",
         "Take the square root of $n and keep 3 decimals after rounding.",
         "To three decimal places, which positive number times itself makes $n?",
         "Raise $n to the power one half, then round the result to 3 decimals.",
         "Could you work out the root of $n for me? Three decimal places are enough."],
        ["I will use `math.sqrt`."], ["import math\nprint(round(math.sqrt($n), 3))"],
        slips=slips(("print(round(sqrt($n), 3))", "The name `sqrt` is not defined. I will import `math`."))),
    Family(
        "greatest_common_divisor", {"a": integer(24, 600), "b": integer(18, 480)},
        lambda a, b: max(d for d in range(1, a + 1) if a % d == b % d == 0),
        ["What is the greatest common divisor of $a and $b?", "Compute gcd($a, $b).", "Find the GCD of $a and $b.",
         "What is the largest number that divides both $a and $b?", "Give the highest common factor of $a and $b.",
         "Two ropes are $a and $b cm long. What is the longest equal piece that cuts both without rest?",
         "gcd of $a and $b?",
         "By what greatest number can I reduce the fraction $a/$b?",
         "With $a roses and $b tulips, how many identical bouquets can I make at most, using all flowers?",
         "Determine the greatest factor that $a and $b share.",
         "List the common divisors of $a and $b in your head and tell me only the largest.",
         "Could you run Euclid's algorithm on $a and $b and report the gcd?"],
        ["I will use `math.gcd`."], ["import math\nprint(math.gcd($a, $b))"],
        held=["Which biggest whole number goes evenly into $a as well as $b?"],
        slips=slips(("print(math.gcd($a, $b))", "The module `math` is not imported. I will import it."),
                    ("print(gcd($a, $b))", "The name `gcd` is not defined. I will import `math`."))),
    Family(
        "is_prime", {"n": integer(20, 999)}, _is_prime,
        ["Is $n a prime number? Answer True or False.", "Check whether $n is prime (True or False).",
         "True or False: $n is prime.",
         "Test if $n is a prime.", "Does $n have exactly two divisors? True or False.",
         "Is the number $n prime? Give True or False.",
         "Prime or not: $n? Reply True if prime, otherwise False.",
         "My locker number is $n. Is that a prime? Answer True or False.",
         "Say True when $n is a prime number and False when it is composite.",
         "I claim that $n is prime. Am I right, True or False?",
         "Determine the primality of $n and report True or False.",
         "Would $n show up in a table of prime numbers? True or False, please."],
        ["I will test all smaller divisors."], ["n = $n\nprint(n > 1 and all(n % d != 0 for d in range(2, n)))"],
        held=["Can $n be divided only by 1 and itself? Say True or False."],
        slips=slips(("print(is_prime($n))", "There is no function `is_prime`. I will test the divisors."))),
    Family(
        "digit_sum", {"n": integer(1000, 99999999)}, lambda n: sum(map(int, str(n))),
        ["What is the sum of the digits of $n?", "Add up the digits of $n.", "Compute the digit sum of $n.",
         "Sum all digits in $n.", "Take the number $n and add its digits.",
         "My ticket has the number $n. What do its digits add up to?",
         "Digit sum of $n?",
         "Break $n into single digits, add them once, and tell me the result.",
         "Zoe's phone shows $n steps. Which number comes out when she adds those digits together?",
         "What do I get by adding the figures in $n one by one?",
         "For the number $n, report the sum of its decimal digits.",
         "Please work out the cross sum of $n, that is, all its digits added."],
        ["I will add the digits."], ["n = $n\nprint(sum(int(d) for d in str(n)))"],
        held=["If you total every single digit of $n, what do you get?"],
        slips=slips(("n = $n\nprint(sum(int(d) for d in n))",
                     "A number cannot be looped over. I will turn it into text."),
                    ("n = $n\nprint(sum(d for d in str(n)))",
                     "The digits are text. I will convert them with `int`."))),
    Family(
        "to_binary", {"n": integer(5, 1000)}, lambda n: format(n, "b"),
        ["Write $n in binary.", "Convert $n to binary.", "What is $n in base 2?",
         "Give the binary form of the decimal number $n.",
         "Turn $n into a binary number without prefix.", "Express $n with ones and zeros.",
         "$n in binary, please, with no 0b in front.",
         "Which string of zeros and ones stands for the decimal number $n?",
         "Translate $n from base 10 into base 2.",
         "A badge shows the number $n in base 2. Which digits are on the badge?",
         "Could you show me the base-2 digits of $n without any prefix?",
         "Represent the integer $n in the binary system, digits only."],
        ["I will convert the number to binary."], ["print(bin($n)[2:])", "print(format($n, \"b\"))"],
        held=["How does a computer write $n with bits?"],
        slips=slips(("print(binary($n))", "There is no function `binary`. I will use `bin`."))),
    Family(
        "fibonacci", {"n": integer(5, 40)}, _fibonacci,
        ["What is Fibonacci number $n (with F(0) = 0 and F(1) = 1)?",
         "Compute F($n) of the Fibonacci sequence, F(0) = 0, F(1) = 1.",
         "Find the Fibonacci number with index $n, starting from F(0) = 0 and F(1) = 1.",
         "Fibonacci starts 0, 1, 1, 2. What is F($n)?",
         "F(0) = 0, F(1) = 1, each next term is the sum of the two before. F($n) = ?",
         "Given F(0) = 0 and F(1) = 1, work out the Fibonacci value F($n).",
         "fib($n), please, where fib(0) is 0 and fib(1) is 1.",
         "Could you tell me F($n) if Fibonacci begins with F(0) = 0 and F(1) = 1?",
         "Let F(1) = 1 and F(2) = 1 in the Fibonacci sequence. Determine F($n).",
         "Rabbit pairs follow Fibonacci: 1 pair in month 1, 1 in month 2. How many pairs in month $n?",
         "Starting from the pair 0 and 1 as F(0) and F(1), run the Fibonacci rule up to F($n) and report it.",
         "I need Fibonacci term F($n). Count so that F(0) is 0 and F(1) is 1."],
        ["I will build the sequence in a loop."], ["a, b = 0, 1\nfor i in range($n):\n    a, b = b, a + b\nprint(a)"],
        held=["In the row 0, 1, 1, 2, 3, 5, ... counted from index 0, which number has index $n?"],
        slips=slips(("a, b = 0, 1\nfor i in range($n)\n    a, b = b, a + b\nprint(a)",
                     "The colon after the loop is missing. I will add it."))),
]
