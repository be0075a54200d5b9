"""Families about percentages, money, statistics, geometry and units."""

import math
from collections import Counter

from .family import Family, Plain, slips
from .pools import ITEMS, NAMES, choice, decimal, decimals, distinct_integers, integer, integers, plain


def _mode_list(rng):
    top = rng.randint(1, 20)
    others = rng.sample([n for n in range(1, 21) if n != top], rng.randint(3, 5))
    numbers = others + [top] * rng.randint(2, 3)
    rng.shuffle(numbers)
    return {"numbers": numbers}


def _weighted(rng):
    count = rng.randint(2, 4)
    return {"grades": [rng.randint(50, 100) for _ in range(count)],
            "weights": [rng.randint(1, 5) for _ in range(count)]}


def _unit(rng):
    big, small, factor = rng.choice([
        ("feet", "inches", 12), ("weeks", "days", 7), ("yards", "feet", 3), ("dozens", "pieces", 12),
        ("kilograms", "grams", 1000), ("metres", "centimetres", 100), ("days", "hours", 24)])
    return {"x": rng.randint(2, 400), "big": Plain(big), "small": Plain(small), "f": factor}


def _median(numbers):
    ordered, middle = sorted(numbers), len(numbers) // 2
    return ordered[middle] if len(numbers) % 2 else (ordered[middle - 1] + ordered[middle]) / 2


def _variance(numbers):
    """From whole-number sums; a whole result stays an `int`, as `statistics` gives it."""
    scaled, count = len(numbers) * sum(n * n for n in numbers) - sum(numbers) ** 2, len(numbers) ** 2
    return round(scaled / count, 2) if scaled % count else scaled // count


def _change(rng):
    price = round(rng.uniform(1, 45), 2)
    return {"price": price, "paid": rng.choice([n for n in (5, 10, 20, 50, 100) if n > price]),
            "name": plain(NAMES)(rng)}


FAMILIES = [
    Family(
        "percent_of", {"p": integer(2, 95), "n": integer(20, 900)}, lambda p, n: round(p * n / 100, 2),
        ["What is $p% of $n?", "Compute $p percent of $n.", "Find $p% of $n.", "How much is $p percent of $n?",
         "$p% of the $n pages are read. How many pages is that?", "Take $p per cent from $n: how much is it?"],
        ["I will compute the percentage."], ["print(round($n * $p / 100, 2))"],
        held=["Of a budget of $n euros, $p% goes into rent. How many euros is the rent?"]),
    Family(
        "discount", {"price": integer(20, 900), "p": integer(5, 70),
                     "item": plain(["coat", "phone", "bike", "lamp", "table", "watch"])},
                     lambda price, p: round(price - price * p / 100, 2),
        ["A $item costs $price and gets $p% off. What is the new price?",
         "Price $price, discount $p percent. What do I pay?", "Reduce $price by $p%.",
         "What is $price after a $p% discount?",
         "The $item is $price dollars, minus $p percent. Give the final price.", "Take $p% off $price."],
        ["I will subtract the discount."], ["price = $price\nprint(round(price * (1 - $p / 100), 2))"],
        held=["In the sale everything is $p% cheaper. What is the cost of a $item that was $price before?"]),
    Family(
        "increase", {"n": integer(20, 900), "p": integer(2, 80)}, lambda n, p: round(n + n * p / 100, 2),
        ["Increase $n by $p%.", "A rent of $n rises by $p percent. What is the new rent?", "What is $n plus $p%?",
         "Add $p% tax to $n.", "A salary of $n goes up $p%. What is it now?"],
        ["I will add the percentage."], ["n = $n\nprint(round(n * (1 + $p / 100), 2))"]),
    Family(
        "percent_change", {"a": integer(20, 500), "b": integer(20, 900)}, lambda a, b: round(100 * (b - a) / a, 2),
        ["What is the percent change from $a to $b? Round to 2 decimals.",
         "A price moves from $a to $b. By how many percent (2 decimals)?",
         "Percentage change: old $a, new $b, 2 decimals.",
         "The town had $a people and now has $b. Give the change in percent, 2 decimals."],
        ["I will divide the change by the old value."],
        ["old = $a\nnew = $b\nprint(round((new - old) / old * 100, 2))"],
        slips=slips(("old = $a\nprint(round((new - old) / old * 100, 2))",
                     "The name `new` is not defined. I will set it."))),
    Family(
        "share_percent", {"a": integer(3, 80), "b": integer(81, 400)}, lambda a, b: round(100 * a / b, 1),
        ["What percent of $b is $a? Round to 1 decimal.",
         "$a of $b tickets are sold. What percentage is that, to 1 decimal?",
         "Express $a out of $b as a percentage with 1 decimal.", "$a is how many percent of $b (1 decimal)?"],
        ["I will divide the part by the whole."], ["print(round($a / $b * 100, 1))"],
        held=["$a of my $b photos are blurred. Which percentage (1 decimal)?"]),
    Family(
        "shopping_total", {"a": integer(2, 12), "x": decimal(0.5, 9, 2), "b": integer(2, 12), "y": decimal(0.5, 9, 2),
                           "i": plain(ITEMS[:8]), "j": plain(ITEMS[8:])}, lambda a, x, b, y: round(a * x + b * y, 2),
        ["I buy $a $i at $x each and $b $j at $y each. What is the total?",
         "$a $i cost $x each, $b $j cost $y each. How much together?",
         "Total price of $a $i for $x and $b $j for $y apiece?",
         "A bill has $a times $x and $b times $y. What is the sum?"],
        ["I will multiply the amounts by the prices and add."], ["print(round($a * $x + $b * $y, 2))"],
        held=["Put $a $i ($x per piece) and $b $j ($y per piece) in my cart. What will the checkout show?"]),
    Family(
        "change_back", _change, lambda price, paid: round(paid - price, 2),
        ["$name buys something for $price and pays with $paid. How much change?",
         "I pay $paid for a bill of $price. What do I get back?", "Change from $paid for $price?",
         "The price is $price, I give $paid. How much is returned?"],
        ["I will subtract the price from the money."], ["print(round($paid - $price, 2))",
                                                        "paid = $paid\nprice = $price\nprint(round(paid - price, 2))"]),
    Family(
        "split_bill", {"total": integer(30, 500), "n": integer(2, 9), "tip": choice([5, 10, 15, 20])},
        lambda total, n, tip: round(total * (100 + tip) / 100 / n, 2),
        ["$n friends split a bill of $total with $tip% tip. How much does each pay (2 decimals)?",
         "Bill $total, tip $tip%, $n people. What is one share to 2 decimals?",
         "Divide $total plus $tip percent tip among $n people, 2 decimals."],
        ["I will add the tip and divide."], ["total = $total * (1 + $tip / 100)\nprint(round(total / $n, 2))"]),
    Family(
        "mean", {"numbers": integers(3, 8, 1, 100)}, lambda numbers: round(sum(numbers) / len(numbers), 2),
        ["What is the average of $numbers? Round to 2 decimals.", "Compute the mean of $numbers to 2 decimals.",
         "Find the arithmetic mean of $numbers (2 decimals).",
         "My marks are $numbers. What is my average, to 2 decimals?",
         "Average temperature for $numbers, rounded to 2 decimals?", "Mean of the list $numbers, 2 decimals."],
        ["I will divide the sum by the count."], ["numbers = $numbers\nprint(round(sum(numbers) / len(numbers), 2))"],
        held=["My bus was $numbers minutes late. How late is it on average (2 decimals)?"],
        slips=slips(("numbers = $numbers\nprint(round(average(numbers), 2))",
                     "There is no function `average`. I will divide the sum by the count."),
                    ("numbers = $numbers\nprint(round(sum(numbers) / count(numbers), 2))",
                     "There is no function `count`. I will use `len`."))),
    Family(
        "median", {"numbers": distinct_integers(4, 9, 1, 120)}, _median,
        ["What is the median of $numbers?", "Find the median of $numbers.",
         "Compute the middle value of the sorted list $numbers.", "Median of $numbers?",
         "House prices: $numbers. What is the median?"],
        ["I will use `statistics.median`."], ["import statistics\nprint(statistics.median($numbers))"],
        held=["Half of the values in $numbers lie below a central value. Which one?"],
        slips=slips(("print(median($numbers))", "The name `median` is not defined. I will import `statistics`."),
                    ("print(statistics.median($numbers))",
                     "The module `statistics` is not imported. I will import it."))),
    Family(
        "mode", _mode_list, lambda numbers: Counter(numbers).most_common(1)[0][0],
        ["What is the mode of $numbers?", "Which number occurs most often in $numbers?",
         "Find the most frequent value of $numbers.", "Votes: $numbers. Which number won?"],
        ["I will use `statistics.mode`."], ["import statistics\nprint(statistics.mode($numbers))"],
        slips=slips(("numbers = $numbers\nprint(numbers.mode())",
                     "A list has no method `mode`. I will use `statistics`."))),
    Family(
        "value_range", {"numbers": integers(4, 9, -30, 200)},
        lambda numbers: sorted(numbers)[-1] - sorted(numbers)[0],
        ["What is the range (largest minus smallest) of $numbers?",
         "Find the difference between the maximum and minimum of $numbers.",
         "Spread from lowest to highest in $numbers?",
         "Temperatures were $numbers. How far apart are the warmest and the coldest?"],
        ["I will subtract the minimum from the maximum."], ["numbers = $numbers\nprint(max(numbers) - min(numbers))"],
        held=["A week had $numbers degrees. How large is the gap from the coldest day to the hottest?"]),
    Family(
        "standard_deviation", {"numbers": integers(4, 7, 1, 60)},
        lambda numbers: round(math.sqrt(sum((n - sum(numbers) / len(numbers)) ** 2 for n in numbers) / len(numbers)),
                              3),
        ["What is the population standard deviation of $numbers, to 3 decimals?",
         "Compute the population standard deviation of $numbers (3 decimals).",
         "Population stdev of $numbers, rounded to 3 decimals?"],
        ["I will use `statistics.pstdev`."], ["import statistics\nprint(round(statistics.pstdev($numbers), 3))"]),
    Family(
        "variance", {"numbers": integers(4, 7, 1, 40)}, _variance,
        ["What is the population variance of $numbers, to 2 decimals?",
         "Compute the population variance of $numbers (2 decimals).",
         "Mean squared deviation of $numbers, 2 decimals?"],
        ["I will use `statistics.pvariance`."],
        ["import statistics\nprint(round(statistics.pvariance($numbers), 2))"]),
    Family(
        "weighted_average", _weighted,
        lambda grades, weights: round(sum(grades[i] * weights[i] for i in range(len(grades))) / sum(weights), 2),
        ["What is the weighted average of $grades with weights $weights, to 2 decimals?",
         "Grades $grades have weights $weights. Give the weighted mean (2 decimals).",
         "Weighted mean: values $grades, weights $weights, 2 decimals."],
        ["I will multiply by the weights and divide by their sum."],
        ["grades = $grades\nweights = $weights\nprint(round(sum(g * w for g, w in zip(grades, weights)) / sum(weights), 2))"]),
    Family(
        "rectangle_area", {"a": integer(2, 90), "b": integer(2, 90)}, lambda a, b: a * b,
        ["What is the area of a rectangle $a by $b?",
         "A garden is $a m long and $b m wide. How many square metres is it?",
         "Rectangle with sides $a and $b: area?", "How large is a floor of $a times $b metres?"],
        ["I will multiply length and width."], ["length = $a\nwidth = $b\nprint(length * width)"],
        held=["How many square tiles of side 1 cover a $a by $b wall?"]),
    Family(
        "rectangle_perimeter", {"a": integer(2, 90), "b": integer(2, 90)}, lambda a, b: a + b + a + b,
        ["What is the perimeter of a rectangle $a by $b?",
         "A field is $a m by $b m. How long is the fence around it?", "Rectangle with sides $a and $b: perimeter?",
         "How far is one walk around a $a by $b metre hall?"],
        ["I will add all four sides."], ["length = $a\nwidth = $b\nprint(2 * (length + width))"]),
    Family(
        "circle_area", {"r": integer(1, 60)}, lambda r: round(math.pi * r * r, 2),
        ["What is the area of a circle with radius $r, to 2 decimals?", "Circle of radius $r: area (2 decimals)?",
         "A round table has radius $r. Find its area to 2 decimals.", "Compute pi times $r squared, 2 decimals."],
        ["I will use pi times r squared."], ["import math\nr = $r\nprint(round(math.pi * r ** 2, 2))"],
        slips=slips(("r = $r\nprint(round(pi * r ** 2, 2))", "The name `pi` is not defined. I will import `math`."))),
    Family(
        "circumference", {"r": integer(1, 60)}, lambda r: round(math.tau * r, 2),
        ["What is the circumference of a circle with radius $r, to 2 decimals?",
         "How far around is a circle of radius $r (2 decimals)?",
         "A wheel has radius $r cm. How far does one turn roll, to 2 decimals?"],
        ["I will use 2 times pi times r."], ["import math\nr = $r\nprint(round(2 * math.pi * r, 2))"]),
    Family(
        "hypotenuse", {"a": integer(2, 40), "b": integer(2, 40)}, lambda a, b: round((a * a + b * b) ** 0.5, 2),
        ["A right triangle has legs $a and $b. How long is the hypotenuse, to 2 decimals?",
         "Hypotenuse for legs $a and $b (2 decimals)?",
         "I walk $a m north and $b m east. How far am I from the start, to 2 decimals?",
         "Use Pythagoras for $a and $b, 2 decimals."],
        ["I will use Pythagoras."], ["import math\nprint(round(math.sqrt($a ** 2 + $b ** 2), 2))"],
        held=["A ladder stands $a m from a wall and touches it $b m high. How long is it (2 decimals)?"]),
    Family(
        "triangle_area", {"b": integer(2, 60), "h": integer(2, 60)}, lambda b, h: b * h * 0.5,
        ["What is the area of a triangle with base $b and height $h?", "Triangle: base $b, height $h. Area?",
         "A sail has base $b and height $h. How big is it?"],
        ["I will take half of base times height."], ["base = $b\nheight = $h\nprint(base * height / 2)"]),
    Family(
        "box_volume", {"a": integer(2, 30), "b": integer(2, 30), "c": integer(2, 30)},
        lambda a, b, c: math.prod([a, b, c]),
        ["What is the volume of a box $a by $b by $c?", "A tank is $a long, $b wide and $c high. What is its volume?",
         "How many unit cubes fill a $a x $b x $c box?"],
        ["I will multiply the three sides."], ["print($a * $b * $c)"]),
    Family(
        "celsius_to_fahrenheit", {"t": integer(-40, 120)}, lambda t: round(t * 1.8 + 32, 1),
        ["Convert $t degrees Celsius to Fahrenheit (1 decimal).", "What is $t C in F, to 1 decimal?",
         "It is $t degrees Celsius outside. Give Fahrenheit with 1 decimal.", "$t Celsius in Fahrenheit, 1 decimal?"],
        ["I will multiply by 9/5 and add 32."], ["c = $t\nprint(round(c * 9 / 5 + 32, 1))"],
        slips=slips(("print(round(c * 9 / 5 + 32, 1))", "The name `c` is not defined. I will set it."))),
    Family(
        "fahrenheit_to_celsius", {"t": integer(-40, 250)}, lambda t: round((t - 32) / 1.8, 1),
        ["Convert $t degrees Fahrenheit to Celsius (1 decimal).", "What is $t F in C, to 1 decimal?",
         "An oven is at $t F. Give Celsius with 1 decimal."],
        ["I will subtract 32 and multiply by 5/9."], ["f = $t\nprint(round((f - 32) * 5 / 9, 1))"]),
    Family(
        "km_to_miles", {"x": integer(2, 900)}, lambda x: round(x * 621.371 / 1000, 2),
        ["Convert $x km to miles (1 km = 0.621371 miles), 2 decimals.",
         "How many miles are $x kilometres? Use 0.621371, round to 2 decimals.",
         "$x km in miles with factor 0.621371, 2 decimals?"],
        ["I will multiply by the factor."], ["print(round($x * 0.621371, 2))"]),
    Family(
        "unit_factor", _unit, lambda x, f: sum([x] * f),
        ["How many $small are $x $big?", "Convert $x $big to $small.", "$x $big in $small?",
         "I have $x $big. How many $small is that?"],
        ["I will multiply by the factor $f."], ["print($x * $f)"],
        held=["Tell my grandmother what $x $big mean in $small."]),
    Family(
        "simple_interest", {"p": integer(100, 9000), "r": integer(1, 9), "y": integer(2, 12)},
        lambda p, r, y: round(p * r * y / 100, 2),
        ["What is the simple interest on $p at $r% for $y years?",
         "I lend $p at $r percent simple interest for $y years. How much interest?",
         "Simple interest: principal $p, rate $r%, $y years."],
        ["I will multiply principal, rate and years."], ["print(round($p * $r / 100 * $y, 2))"]),
    Family(
        "compound_interest", {"p": integer(100, 9000), "r": integer(1, 9), "y": integer(2, 12)},
        lambda p, r, y: round(p * math.pow(1 + r / 100, y), 2),
        ["$p is invested at $r% per year, compounded yearly. What is it worth after $y years (2 decimals)?",
         "Compound interest: $p at $r% for $y years. Give the final amount, 2 decimals.",
         "What do $p dollars become in $y years at $r percent compound interest, to 2 decimals?"],
        ["I will multiply by the growth for each year."], ["print(round($p * (1 + $r / 100) ** $y, 2))"],
        held=["My bank pays $r% every year and I never take anything out. How much will $p be in $y years, to 2 decimals?"]),
    Family(
        "speed", {"d": integer(20, 900), "t": decimal(1, 9, 1)}, lambda d, t: round(d / t, 2),
        ["A car drives $d km in $t hours. What is its average speed, to 2 decimals?",
         "Speed for $d km in $t h (2 decimals)?", "What speed covers $d km in $t hours, 2 decimals?",
         "A boat needs $t hours for $d km. How many km per hour, to 2 decimals?"],
        ["I will divide distance by time."], ["distance = $d\ntime = $t\nprint(round(distance / time, 2))"]),
    Family(
        "travel_time", {"d": integer(20, 900), "v": integer(20, 130)}, lambda d, v: round(d / v, 2),
        ["How many hours does a trip of $d km take at $v km/h? Round to 2 decimals.",
         "Time for $d km at speed $v (2 decimals)?",
         "A truck drives $v km per hour. How many hours for $d km, to 2 decimals?"],
        ["I will divide distance by speed."], ["distance = $d\nspeed = $v\nprint(round(distance / speed, 2))"]),
    Family(
        "sum_decimals", {"prices": decimals(3, 6, 0.5, 40)}, lambda prices: round(sum(prices), 2),
        ["Add the prices $prices and round to 2 decimals.", "What is the total of $prices, to 2 decimals?",
         "My receipts say $prices. Sum to 2 decimals."],
        ["I will add the prices and round."], ["prices = $prices\nprint(round(sum(prices), 2))"]),
    Family(
        "point_distance", {"a": integer(-20, 20), "b": integer(-20, 20), "c": integer(-20, 20),
                           "d": integer(-20, 20)}, lambda a, b, c, d: round(((c - a) ** 2 + (d - b) ** 2) ** 0.5, 2),
        ["What is the distance between the points ($a, $b) and ($c, $d), to 2 decimals?",
         "How far is ($a, $b) from ($c, $d)? 2 decimals.",
         "Straight line length from ($a, $b) to ($c, $d), 2 decimals?"],
        ["I will use `math.dist`."], ["import math\nprint(round(math.dist(($a, $b), ($c, $d)), 2))"]),
]
