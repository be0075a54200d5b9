"""Families about dates, clocks and durations."""

import calendar
import datetime

from .family import Family, Plain, slips
from .pools import day, integer

_iso = datetime.date.fromisoformat


def _two_days(rng):
    first, second = sorted([day(1990, 2035)(rng), day(1990, 2035)(rng)])
    return {"a": Plain(first), "b": Plain(second)}


def _weekday(date):
    year, month, day_of_month = (int(part) for part in date.split("-"))
    return calendar.day_name[calendar.weekday(year, month, day_of_month)]


FAMILIES = [
    Family(
        "days_between", _two_days, lambda a, b: _iso(b).toordinal() - _iso(a).toordinal(),
        ["How many days are between $a and $b?", "Count the days from $a to $b.",
         "What is the number of days from $a until $b?", "Days between $a and $b?",
         "A trip starts on $a and ends on $b. How many days later is the end?",
         "How many nights lie between $a and $b?",
         "Jack planted a tree on $a. How many days had passed by $b?", "By how many days is $b later than $a?",
         "I count one day at a time from $a. How many days until I reach $b?", "Difference in days, $a to $b?",
         "Today is $a and I look forward to $b. How many days must I wait?",
         "Please compute how many days must be added to $a to get $b."],
        ["I will subtract the dates."],
        ["from datetime import date\nprint((date.fromisoformat($b) - date.fromisoformat($a)).days)"],
        held=["A bridge opened on $a and closed on $b. How many days was it open?"],
        slips=slips(("print((date.fromisoformat($b) - date.fromisoformat($a)).days)",
                     "The name `date` is not defined. I will import it."),
                    ("print($b - $a)", "Text cannot be subtracted. I will make dates."))),
    Family(
        "weekday", {"date": day(1980, 2040)}, _weekday,
        ["Which weekday is $date?", "What day of the week is $date?", "On which weekday does $date fall?",
         "Give the name of the weekday of $date.",
         "Was $date a Monday, Tuesday or what?", "My party is on $date. Which day of the week is that?",
         "Our school trip is planned for $date. Tell me the name of that weekday.",
         "$date: Monday, Tuesday, Wednesday, Thursday, Friday, Saturday or Sunday?",
         "Could you look up which day of the week belongs to the date $date?", "weekday for $date please, full name",
         "Olga has a ticket for $date and wonders which weekday that is. What is it?",
         "If the calendar shows $date, what is the weekday called in English?"],
        ["I will format the date as a weekday name."],
        ["from datetime import date\nprint(date.fromisoformat($date).strftime(\"%A\"))"],
        held=["I was born on $date. Name the day in the week."],
        slips=slips(("from datetime import date\nprint(date.fromisoformat($date).weekday_name())",
                     "A date has no `weekday_name`. I will use `strftime`."))),
    Family(
        "leap_year", {"year": integer(1800, 2400)}, lambda year: calendar.monthrange(year, 2)[1] == 29,
        ["Is $year a leap year? True or False.", "Check if $year is a leap year (True or False).",
         "Does the year $year have 366 days? True or False.", "True or False: there is a February 29 in $year.",
         "Tell me whether $year is a leap year, answering just True or False.", "leap year $year? True or False",
         "In $year, does February have 29 days? Reply with True or False.",
         "Emma plans a calendar for $year. Does it need an extra day in February? True or False.",
         "Answer True if the year $year is a leap year, otherwise answer False.",
         "By the rules of our calendar, is $year a leap year? Say True or False.",
         "Is the year $year one day longer than a usual year of 365 days? True or False.",
         "True or False: the year $year counts as a leap year."],
        ["I will check the leap year with `calendar`."], ["import calendar\nprint(calendar.isleap($year))"],
        slips=slips(("print(calendar.isleap($year))", "The module `calendar` is not imported. I will import it."))),
]
