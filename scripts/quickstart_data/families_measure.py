"""Families about percentages, money, statistics, geometry and units."""

import math

from .family import Family, slips
from .pools import distinct_integers, integer, integers


def _median(numbers):
    ordered, middle = sorted(numbers), len(numbers) // 2
    return ordered[middle] if len(numbers) % 2 else (ordered[middle - 1] + ordered[middle]) / 2


FAMILIES = [
    Family(
        "percent_of", {"p": integer(2, 95), "n": integer(20, 900)}, lambda p, n: round(p * n / 100, 2),
        ["What is $p% of $n?", "Compute $p percent of $n.", "Find $p% of $n.", "How much is $p percent of $n?",
         "$p% of the $n pages are read. How many pages is that?", "Take $p per cent from $n: how much is it?",
         "$p% of $n?",
         "A recipe uses $p percent of a $n gram bag of flour. How many grams is that?",
         "Could you work out which amount is $p percent of $n, with no more than 2 decimals?",
         "Multiply $n by $p hundredths. What comes out?",
         "If $n is the whole, how big is a part of $p percent?",
         "A tank holds $n litres and is $p% full. How many litres are in it?"],
        ["I will compute the percentage."], ["print(round($n * $p / 100, 2))"],
        held=["Of a budget of $n euros, $p% goes into rent. How many euros is the rent?"]),
    Family(
        "mean", {"numbers": integers(3, 8, 1, 100)}, lambda numbers: round(sum(numbers) / len(numbers), 2),
        ["What is the average of $numbers? Round to 2 decimals.", "Compute the mean of $numbers to 2 decimals.",
         "Find the arithmetic mean of $numbers (2 decimals).",
         "My marks are $numbers. What is my average, to 2 decimals?",
         "Average temperature for $numbers, rounded to 2 decimals?", "Mean of the list $numbers, 2 decimals.",
         "Average, 2 decimals: $numbers",
         "Could you add up $numbers, divide by how many there are, and round to 2 decimals?",
         "Carlos scored $numbers points in his games. Report his mean score, rounded to 2 decimals.",
         "Determine the mean value of the data $numbers and round it to two decimal places.",
         "To two decimals, what do $numbers average out to?",
         "These are the weights of my parcels in kg: $numbers. What is the average weight, to 2 decimals?"],
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
         "House prices: $numbers. What is the median?",
         "Median, please: $numbers",
         "Could you sort $numbers and tell me the median?",
         "The players are $numbers years old. What is their median age?",
         "Determine the statistical median for the data set $numbers.",
         "Report the median of $numbers; for an even count use the mean of the two middle values.",
         "Rosa noted the waiting times $numbers in minutes. Which value is the median?",
         "I do not want the mean of $numbers but the median. What is it?"],
        ["I will use `statistics.median`."], ["import statistics\nprint(statistics.median($numbers))"],
        held=["Half of the values in $numbers lie below a central value. Which one?"],
        slips=slips(("print(median($numbers))", "The name `median` is not defined. I will import `statistics`."),
                    ("print(statistics.median($numbers))",
                     "The module `statistics` is not imported. I will import it."))),
    Family(
        "rectangle_area", {"a": integer(2, 90), "b": integer(2, 90)}, lambda a, b: a * b,
        ["What is the area of a rectangle $a by $b?",
         "A garden is $a m long and $b m wide. How many square metres is it?",
         "Rectangle with sides $a and $b: area?", "How large is a floor of $a times $b metres?",
         "$a by $b rectangle: area?",
         "Could you work out the area of a rectangular field with sides of $a m and $b m?",
         "A carpet measures $a feet by $b feet. How many square feet does it cover?",
         "Length $a, width $b: determine the area of this rectangle.",
         "Nina paints a rectangular fence $a m long and $b m high. How many square metres does she paint?",
         "How much surface does a sheet of $a cm by $b cm have on one side, in square centimetres?",
         "A rectangle is $b units high and $a units wide. Report its area in square units.",
         "The parking lot is a rectangle of $a by $b metres. What area does it take up?"],
        ["I will multiply length and width."], ["length = $a\nwidth = $b\nprint(length * width)"],
        held=["How many square tiles of side 1 cover a $a by $b wall?"]),
    Family(
        "circle_area", {"r": integer(1, 60)}, lambda r: round(math.pi * r * r, 2),
        ["What is the area of a circle with radius $r, to 2 decimals?", "Circle of radius $r: area (2 decimals)?",
         "A round table has radius $r. Find its area to 2 decimals.", "Compute pi times $r squared, 2 decimals.",
         "Area of a circle, r = $r, 2 decimals.",
         "Could you work out how much area a circle of radius $r encloses, rounded to 2 decimals?",
         "A sprinkler reaches $r m in every direction. How many square metres get wet, to 2 decimals?",
         "Determine the area of a disc whose radius is $r and round to two decimal places.",
         "The pizza has a radius of $r cm. What is its area in square cm, to 2 decimals?",
         "To 2 decimals, how large is the surface of a round pond with radius $r m?",
         "Take a circle with radius $r and report its area, rounded to 2 decimals.",
         "From centre to edge a round carpet measures $r. What area does it cover (2 decimals)?"],
        ["I will use pi times r squared."], ["import math\nr = $r\nprint(round(math.pi * r ** 2, 2))"],
        slips=slips(("r = $r\nprint(round(pi * r ** 2, 2))", "The name `pi` is not defined. I will import `math`."))),
    Family(
        "celsius_to_fahrenheit", {"t": integer(-40, 120)}, lambda t: round(t * 1.8 + 32, 1),
        ["Convert $t degrees Celsius to Fahrenheit (1 decimal).", "What is $t C in F, to 1 decimal?",
         "It is $t degrees Celsius outside. Give Fahrenheit with 1 decimal.", "$t Celsius in Fahrenheit, 1 decimal?",
         "$t C to F, one decimal.",
         "Could you tell me how many degrees Fahrenheit $t degrees Celsius are, to 1 decimal?",
         "My American friend asks about $t degrees Celsius. What is that in Fahrenheit, with 1 decimal?",
         "A thermometer reads $t on the Celsius scale. Report the Fahrenheit reading to one decimal.",
         "Change a temperature of $t Celsius into Fahrenheit and round to 1 decimal.",
         "In Fahrenheit, rounded to 1 decimal, how warm is $t degrees Celsius?",
         "The lab sample is kept at $t C. Express this temperature in F with one decimal.",
         "Multiply $t by 9/5 and add 32 to get Fahrenheit. State the result with 1 decimal."],
        ["I will multiply by 9/5 and add 32."], ["c = $t\nprint(round(c * 9 / 5 + 32, 1))"],
        slips=slips(("print(round(c * 9 / 5 + 32, 1))", "The name `c` is not defined. I will set it."))),
]
