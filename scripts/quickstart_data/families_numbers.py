"""Families about whole numbers: arithmetic, divisibility, digits, bases and sequences."""

import math

from .family import Family, Verbatim, slips
from .pools import choice, integer


def _expression(rng):
    a, b, c = rng.randint(12, 99), rng.randint(3, 60), rng.randint(2, 40)
    shape = rng.choice(["{a} * {b} + {c}", "({a} + {b}) * {c}", "{a} * {c} - {b}", "({a} - {c}) * {b}",
                        "{a} + {b} * {c}"])
    return {"expression": Verbatim(shape.format(a=a, b=b, c=c))}


def _factors(n):
    found, divisor = [], 2
    while n > 1:
        while n % divisor == 0:
            found.append(divisor)
            n //= divisor
        divisor += 1
    return found


def _is_prime(n):
    return n > 1 and all(n % d for d in range(2, math.isqrt(n) + 1))


def _fibonacci(n):
    a, b = 0, 1
    for _ in range(n):
        a, b = b, a + b
    return a


def _collatz(n):
    steps = 0
    while n != 1:
        n, steps = (n // 2 if n % 2 == 0 else 3 * n + 1), steps + 1
    return steps


FAMILIES = [
    Family(
        "arithmetic_expression", _expression, lambda expression: eval(expression),
        ["What is $expression?", "Compute $expression.", "Calculate $expression for me.", "$expression = ?",
         "Evaluate the expression $expression.", "How much is $expression?",
         "Work out $expression and give the number.",
         "I need the value of $expression."],
        ["I will compute the expression."], ["print($expression)", "result = $expression\nprint(result)"],
        held=["Please tell me what you get for $expression.",
              "My homework says $expression. What should I write down?"],
        slips=slips(("result = $expression\nprint(reslt)", "The name is misspelled. It is `result`."))),
    Family(
        "multiply", {"a": integer(12, 999), "b": integer(12, 999)}, lambda a, b: a * b,
        ["What is $a times $b?", "Multiply $a by $b.", "Give me the product of $a and $b.", "$a multiplied by $b?",
         "There are $a boxes with $b screws in each. How many screws are there?",
         "A hall has $a rows of $b seats. How many seats is that?", "Find $a x $b."],
        ["I will multiply the two numbers."], ["print($a * $b)", "a = $a\nb = $b\nprint(a * b)"],
        held=["A printer makes $a pages a day. How many pages does it make in $b days?"]),
    Family(
        "remainder", {"a": integer(100, 9999), "b": integer(3, 97)}, lambda a, b: a - (a // b) * b,
        ["What is the remainder when $a is divided by $b?", "Compute $a mod $b.",
         "Divide $a by $b. What is left over?",
         "Give the remainder of $a / $b.", "$a candies are shared equally by $b children. How many are left over?",
         "Find $a modulo $b.", "What remains after dividing $a by $b?"],
        ["I will compute the remainder with `%`."], ["print($a % $b)", "a = $a\nb = $b\nprint(a % b)"],
        held=["If I pack $a eggs into cartons of $b, how many eggs do not fill a carton?"],
        slips=slips(("print(mod($a, $b))", "There is no function `mod`. I will use `%`."))),
    Family(
        "quotient", {"a": integer(100, 9999), "b": integer(3, 97)}, lambda a, b: int((a - a % b) / b),
        ["What is the whole part of $a divided by $b?", "How many times does $b fit into $a?",
         "Integer division: $a by $b.",
         "How many full bags of $b can be filled with $a nuts?", "Divide $a by $b and drop the fraction.",
         "A rope of $a cm is cut into pieces of $b cm. How many whole pieces are there?"],
        ["I will use integer division."], ["print($a // $b)", "a = $a\nb = $b\nprint(a // b)"],
        held=["Each bus carries $b people. How many buses get completely full with $a people?"]),
    Family(
        "power", {"a": integer(2, 15), "b": integer(2, 9)}, lambda a, b: math.prod([a] * b),
        ["What is $a to the power of $b?", "Compute $a ** $b.", "Raise $a to the power $b.", "Calculate $a^$b.",
         "Find $a multiplied by itself so that $a appears $b times.", "What is the value of $a to the $b?"],
        ["I will compute the power with `**`."], ["print($a ** $b)",
                                                  "base = $a\nexponent = $b\nprint(base ** exponent)"],
        held=["Tell me the result of taking $a with exponent $b."],
        slips=slips(("print($a.pow($b))", "A number has no method `pow`, and this is not valid. I will use `**`."))),
    Family(
        "square_root", {"n": integer(10, 5000)}, lambda n: round(n ** 0.5, 3),
        ["What is the square root of $n, rounded to 3 decimals?", "Compute sqrt($n) to 3 decimal places.",
         "Find the square root of $n. Round to 3 decimals.", "Which number squared gives $n? Round to 3 decimals.",
         "A square has area $n. How long is its side, to 3 decimals?", "Give me the root of $n with 3 decimals."],
        ["I will use `math.sqrt`."], ["import math\nprint(round(math.sqrt($n), 3))"],
        slips=slips(("print(round(sqrt($n), 3))", "The name `sqrt` is not defined. I will import `math`."))),
    Family(
        "greatest_common_divisor", {"a": integer(24, 600), "b": integer(18, 480)},
        lambda a, b: max(d for d in range(1, a + 1) if a % d == b % d == 0),
        ["What is the greatest common divisor of $a and $b?", "Compute gcd($a, $b).", "Find the GCD of $a and $b.",
         "What is the largest number that divides both $a and $b?", "Give the highest common factor of $a and $b.",
         "Two ropes are $a and $b cm long. What is the longest equal piece that cuts both without rest?"],
        ["I will use `math.gcd`."], ["import math\nprint(math.gcd($a, $b))"],
        held=["Which biggest whole number goes evenly into $a as well as $b?"],
        slips=slips(("print(math.gcd($a, $b))", "The module `math` is not imported. I will import it."),
                    ("print(gcd($a, $b))", "The name `gcd` is not defined. I will import `math`."))),
    Family(
        "least_common_multiple", {"a": integer(4, 60), "b": integer(6, 90)}, lambda a, b: a * b // math.gcd(a, b),
        ["What is the least common multiple of $a and $b?", "Compute lcm($a, $b).", "Find the LCM of $a and $b.",
         "What is the smallest number that both $a and $b divide?", "Give the lowest common multiple of $a and $b.",
         "One light blinks every $a seconds, another every $b seconds. After how many seconds do they blink together?"],
        ["I will use `math.lcm`."], ["import math\nprint(math.lcm($a, $b))"],
        slips=slips(("print(lcm($a, $b))", "The name `lcm` is not defined. I will import `math`."))),
    Family(
        "is_prime", {"n": integer(20, 999)}, _is_prime,
        ["Is $n a prime number? Answer True or False.", "Check whether $n is prime (True or False).",
         "True or False: $n is prime.",
         "Test if $n is a prime.", "Does $n have exactly two divisors? True or False.",
         "Is the number $n prime? Give True or False."],
        ["I will test all smaller divisors."], ["n = $n\nprint(n > 1 and all(n % d != 0 for d in range(2, n)))"],
        held=["Can $n be divided only by 1 and itself? Say True or False."],
        slips=slips(("print(is_prime($n))", "There is no function `is_prime`. I will test the divisors."))),
    Family(
        "count_primes", {"n": integer(10, 300)}, lambda n: sum(_is_prime(k) for k in range(n + 1)),
        ["How many primes are there up to $n?", "Count the prime numbers from 2 to $n.",
         "Number of primes not greater than $n?",
         "How many numbers between 1 and $n are prime?", "Find the count of primes up to and including $n."],
        ["I will collect the primes and count them."],
        ["primes = [n for n in range(2, $n + 1) if all(n % d != 0 for d in range(2, n))]\nprint(len(primes))"]),
    Family(
        "list_primes", {"n": integer(10, 60)}, lambda n: [k for k in range(n + 1) if _is_prime(k)],
        ["List all primes up to $n.", "Which numbers from 2 to $n are prime? Give a list.",
         "Give the prime numbers not above $n as a list.",
         "Show the primes up to $n.", "Make a list of every prime number up to $n."],
        ["I will collect the primes."],
        ["primes = [n for n in range(2, $n + 1) if all(n % d != 0 for d in range(2, n))]\nprint(primes)"]),
    Family(
        "prime_factors", {"n": integer(12, 900)}, _factors,
        ["Give the prime factors of $n as a list.", "Factorize $n into primes.",
         "What is the prime factorization of $n? Give a list.",
         "Split $n into its prime factors.", "Which primes multiply to $n? List them in order."],
        ["I will divide by 2, 3, 4, ... as long as possible."],
        ["n = $n\nfactors = []\nd = 2\nwhile n > 1:\n    while n % d == 0:\n        factors.append(d)\n        n //= d\n    d += 1\nprint(factors)"],
        slips=slips(("print(factors($n))", "There is no function `factors`. I will divide in a loop."))),
    Family(
        "list_divisors", {"n": integer(10, 300)}, lambda n: sorted({d for d in range(1, n + 1) if not n % d}),
        ["List all divisors of $n.", "What are the divisors of $n? Give a list.",
         "Which numbers divide $n evenly? Give a list.",
         "Find every factor of $n and list them.", "Give the factors of $n in order."],
        ["I will list the divisors."], ["n = $n\nprint([d for d in range(1, n + 1) if n % d == 0])"],
        held=["Show me all whole numbers that go into $n without a rest."]),
    Family(
        "count_divisors", {"n": integer(10, 500)}, lambda n: len([d for d in range(1, n + 1) if not n % d]),
        ["How many divisors does $n have?", "Count the divisors of $n.", "What is the number of factors of $n?",
         "How many whole numbers divide $n evenly?", "In how many ways can $n cookies be put in equal rows?"],
        ["I will count the divisors."], ["n = $n\nprint(len([d for d in range(1, n + 1) if n % d == 0]))"]),
    Family(
        "digit_sum", {"n": integer(1000, 99999999)}, lambda n: sum(map(int, str(n))),
        ["What is the sum of the digits of $n?", "Add up the digits of $n.", "Compute the digit sum of $n.",
         "Sum all digits in $n.", "Take the number $n and add its digits.",
         "My ticket has the number $n. What do its digits add up to?"],
        ["I will add the digits."], ["n = $n\nprint(sum(int(d) for d in str(n)))"],
        held=["If you total every single digit of $n, what do you get?"],
        slips=slips(("n = $n\nprint(sum(int(d) for d in n))",
                     "A number cannot be looped over. I will turn it into text."),
                    ("n = $n\nprint(sum(d for d in str(n)))",
                     "The digits are text. I will convert them with `int`."))),
    Family(
        "reverse_digits", {"n": integer(123, 9999999)}, lambda n: int("".join(reversed(str(n)))),
        ["Reverse the digits of $n.", "What number do you get when you write $n backwards?",
         "Write the number $n from right to left.",
         "Give $n with its digits in reverse order.", "Turn the digits of $n around."],
        ["I will reverse the digits."], ["n = $n\nprint(int(str(n)[::-1]))"],
        slips=slips(("n = $n\nprint(n[::-1])", "A number cannot be sliced. I will turn it into text."))),
    Family(
        "count_digit", {"n": integer(100000, 999999999), "digit": integer(0, 9)},
        lambda n, digit: str(n).count(str(digit)),
        ["How many times does the digit $digit appear in $n?", "Count the digit $digit in $n.",
         "How often is $digit a digit of $n?",
         "In the number $n, how many digits are $digit?"],
        ["I will count the digit in the text of the number."], ["n = $n\nprint(str(n).count(\"$digit\"))"],
        slips=slips(("n = $n\nprint(n.count($digit))", "A number has no method `count`. I will turn it into text."))),
    Family(
        "to_binary", {"n": integer(5, 1000)}, lambda n: format(n, "b"),
        ["Write $n in binary.", "Convert $n to binary.", "What is $n in base 2?",
         "Give the binary form of the decimal number $n.",
         "Turn $n into a binary number without prefix.", "Express $n with ones and zeros."],
        ["I will convert the number to binary."], ["print(bin($n)[2:])", "print(format($n, \"b\"))"],
        held=["How does a computer write $n with bits?"],
        slips=slips(("print(binary($n))", "There is no function `binary`. I will use `bin`."))),
    Family(
        "from_binary", {"bits": lambda rng: format(rng.randint(9, 500), "b")}, lambda bits: sum(2 ** i for i,
                                                                                                b in enumerate(reversed(bits)) if b == "1"),
        ["Convert the binary number $bits to decimal.", "What is $bits in decimal?",
         "Which number is $bits in base 2?",
         "Read $bits as binary and give the decimal number.", "Turn the bits $bits into a normal number."],
        ["I will read the text as a base 2 number."], ["print(int($bits, 2))"]),
    Family(
        "factorial", {"n": integer(4, 18)}, lambda n: math.prod(range(1, n + 1)),
        ["What is $n factorial?", "Compute $n!.", "Find the factorial of $n.", "Multiply all numbers from 1 to $n.",
         "In how many orders can $n different books stand on a shelf?", "Calculate 1 * 2 * ... * $n."],
        ["I will compute the factorial."], ["import math\nprint(math.factorial($n))"],
        held=["How many ways are there to line up $n people?"],
        slips=slips(("print(factorial($n))", "The name `factorial` is not defined. I will import `math`."))),
    Family(
        "sum_to_n", {"n": integer(10, 2000)}, lambda n: n * (n + 1) // 2,
        ["What is the sum of all numbers from 1 to $n?", "Add the integers 1 to $n.", "Compute 1 + 2 + ... + $n.",
         "Sum the whole numbers up to $n.",
         "Someone saves 1 coin on day 1, 2 on day 2 and so on. How many coins after $n days?"],
        ["I will add the numbers from 1 to n."], ["print(sum(range(1, $n + 1)))"]),
    Family(
        "sum_of_squares", {"n": integer(5, 100)}, lambda n: n * (n + 1) * (2 * n + 1) // 6,
        ["What is the sum of the squares from 1 to $n?", "Compute 1^2 + 2^2 + ... + $n^2.",
         "Add the squares of the first $n numbers.",
         "Sum n*n for n from 1 to $n.", "Find the sum of squares of the integers 1 to $n."],
        ["I will add the squares."], ["print(sum(n ** 2 for n in range(1, $n + 1)))"]),
    Family(
        "count_multiples", {"n": integer(50, 999), "k": integer(3, 19)}, lambda n, k: n // k,
        ["How many numbers from 1 to $n are divisible by $k?", "Count the multiples of $k up to $n.",
         "How many multiples of $k are there between 1 and $n?",
         "Of the numbers 1 to $n, how many can be divided by $k?"],
        ["I will count the numbers divisible by k."], ["print(len([n for n in range(1, $n + 1) if n % $k == 0]))"],
        held=["A bell rings on every minute that is a multiple of $k. How often does it ring in minutes 1 to $n?"]),
    Family(
        "choose", {"n": integer(5, 20), "k": integer(2, 5)},
        lambda n, k: math.factorial(n) // (math.factorial(k) * math.factorial(n - k)),
        ["In how many ways can $k items be chosen from $n?", "Compute $n choose $k.",
         "How many groups of $k can be formed from $n people?",
         "Number of combinations of $k out of $n?",
         "A shop has $n flavours. How many sets of $k different flavours are there?"],
        ["I will use `math.comb`."], ["import math\nprint(math.comb($n, $k))"],
        slips=slips(("print(math.comb($n, $k))", "The module `math` is not imported. I will import it."))),
    Family(
        "fibonacci", {"n": integer(5, 40)}, _fibonacci,
        ["What is Fibonacci number $n (with F(0) = 0 and F(1) = 1)?",
         "Compute F($n) of the Fibonacci sequence, F(0) = 0, F(1) = 1.",
         "Find the Fibonacci number with index $n, starting from F(0) = 0 and F(1) = 1.",
         "Fibonacci starts 0, 1, 1, 2. What is F($n)?"],
        ["I will build the sequence in a loop."], ["a, b = 0, 1\nfor i in range($n):\n    a, b = b, a + b\nprint(a)"],
        held=["In the row 0, 1, 1, 2, 3, 5, ... counted from index 0, which number has index $n?"],
        slips=slips(("a, b = 0, 1\nfor i in range($n)\n    a, b = b, a + b\nprint(a)",
                     "The colon after the loop is missing. I will add it."))),
    Family(
        "collatz_steps", {"n": integer(3, 200)}, _collatz,
        ["How many Collatz steps does $n need to reach 1?",
         "Halve even numbers, turn odd n into 3n+1. How many steps from $n to 1?",
         "Count the steps of the 3n+1 rule from $n to 1.",
         "Start at $n. If even divide by 2, else 3n + 1. Steps until 1?"],
        ["I will follow the rule and count the steps."],
        ["n = $n\nsteps = 0\nwhile n != 1:\n    n = n // 2 if n % 2 == 0 else 3 * n + 1\n    steps += 1\nprint(steps)"],
        slips=slips(("n = $n\nwhile n != 1:\n    n = n // 2 if n % 2 == 0 else 3 * n + 1\n    steps += 1\nprint(steps)", "The counter has no start value. I will set `steps = 0`."))),
    Family(
        "arithmetic_progression", {"a": integer(1, 40), "d": integer(2, 15), "n": integer(6, 60)},
        lambda a, d, n: a + (n - 1) * d,
        ["A sequence starts at $a and grows by $d. What is term number $n?",
         "Arithmetic progression: first term $a, difference $d. Find term $n.",
         "Start with $a and add $d each time. Which number is at place $n?",
         "Seats: row 1 has $a, each next row $d more. How many seats in row $n?"],
        ["I will compute the n-th term."], ["print($a + ($n - 1) * $d)",
                                            "first = $a\nstep = $d\nn = $n\nprint(first + (n - 1) * step)"],
        held=["On day 1 I run $a minutes and each day $d minutes more. How many minutes do I run on day $n?"]),
    Family(
        "geometric_progression", {"a": integer(1, 9), "q": integer(2, 5), "n": integer(4, 10)},
        lambda a, q, n: math.prod([a] + [q] * (n - 1)),
        ["A sequence starts at $a and each term is $q times the one before. What is term $n?",
         "Geometric progression: first term $a, ratio $q. Find term $n.",
         "Start with $a and multiply by $q each time. What is number $n in the row?"],
        ["I will compute the n-th term."], ["print($a * $q ** ($n - 1))",
                                            "first = $a\nratio = $q\nn = $n\nprint(first * ratio ** (n - 1))"]),
    Family(
        "parity", {"n": integer(10, 99999)}, lambda n: "odd" if n & 1 else "even",
        ["Is $n even or odd?", "Tell me if $n is odd or even.", "Even or odd: $n?",
         "Can $n be split in two equal whole parts? Say even or odd.",
         "Check the parity of $n (even or odd)."],
        ["I will check the remainder by 2."], ["n = $n\nprint(\"even\" if n % 2 == 0 else \"odd\")"]),
    Family(
        "round_number", {"x": lambda rng: round(rng.uniform(1, 500), 5), "places": choice([1, 2, 3])},
        lambda x, places: float(f"{round(x, places)}"),
        ["Round $x to $places decimals.", "Give $x with $places decimal places.",
         "Shorten $x to $places digits after the point, rounded."],
        ["I will round the number."], ["print(round($x, $places))"]),
]
