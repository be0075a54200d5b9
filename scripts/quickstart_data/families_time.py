"""Families about dates, clocks and durations."""

import calendar
import datetime

from .family import Family, Plain, slips
from .pools import NAMES, clock, day, integer, integers, plain

_iso = datetime.date.fromisoformat


def _two_days(rng):
    first, second = sorted([day(1990, 2035)(rng), day(1990, 2035)(rng)])
    return {"a": Plain(first), "b": Plain(second)}


def _two_clocks(rng):
    first, second = sorted(rng.sample(range(0, 1440), 2))
    return {"a": Plain(f"{first // 60:02d}:{first % 60:02d}"), "b": Plain(f"{second // 60:02d}:{second % 60:02d}")}


def _minutes(clock_text):
    return int(clock_text[:2]) * 60 + int(clock_text[3:])


def _clock(minutes):
    return f"{minutes // 60 % 24:02d}:{minutes % 60:02d}"


def _birth(rng):
    return {"name": Plain(rng.choice(NAMES)), "born": rng.randint(1930, 2015), "year": rng.randint(2016, 2060)}


def _weekday(date):
    year, month, day_of_month = (int(part) for part in date.split("-"))
    return calendar.day_name[calendar.weekday(year, month, day_of_month)]


FAMILIES = [
    Family(
        "days_between", _two_days, lambda a, b: _iso(b).toordinal() - _iso(a).toordinal(),
        ["How many days are between $a and $b?", "Count the days from $a to $b.",
         "What is the number of days from $a until $b?", "Days between $a and $b?",
         "A trip starts on $a and ends on $b. How many days later is the end?",
         "How many nights lie between $a and $b?"],
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
         "Was $date a Monday, Tuesday or what?", "My party is on $date. Which day of the week is that?"],
        ["I will format the date as a weekday name."],
        ["from datetime import date\nprint(date.fromisoformat($date).strftime(\"%A\"))"],
        held=["I was born on $date. Name the day in the week."],
        slips=slips(("from datetime import date\nprint(date.fromisoformat($date).weekday_name())",
                     "A date has no `weekday_name`. I will use `strftime`."))),
    Family(
        "add_days", {"date": day(1990, 2035), "n": integer(3, 400)},
        lambda date, n: str(datetime.date.fromordinal(_iso(date).toordinal() + n)),
        ["What date is $n days after $date?", "Add $n days to $date.", "Which date comes $n days later than $date?",
         "A letter sent on $date takes $n days. When does it arrive (YYYY-MM-DD)?",
         "$date plus $n days?"],
        ["I will add a `timedelta`."],
        ["from datetime import date, timedelta\nprint(date.fromisoformat($date) + timedelta(days=$n))"],
        held=["The library lends a book on $date for $n days. On which date must it be back?"],
        slips=slips(("from datetime import date\nprint(date.fromisoformat($date) + timedelta(days=$n))",
                     "The name `timedelta` is not imported. I will import it."),
                    ("from datetime import date\nprint(date.fromisoformat($date) + $n)",
                     "A number cannot be added to a date. I will use `timedelta`."))),
    Family(
        "subtract_days", {"date": day(1990, 2035), "n": integer(3, 400)},
        lambda date, n: str(datetime.date.fromordinal(_iso(date).toordinal() - n)),
        ["What date was $n days before $date?", "Go back $n days from $date.", "$date minus $n days?",
         "Subtract $n days from the date $date."],
        ["I will subtract a `timedelta`."],
        ["from datetime import date, timedelta\nprint(date.fromisoformat($date) - timedelta(days=$n))"]),
    Family(
        "leap_year", {"year": integer(1800, 2400)}, lambda year: calendar.monthrange(year, 2)[1] == 29,
        ["Is $year a leap year? True or False.", "Check if $year is a leap year (True or False).",
         "Does the year $year have 366 days? True or False.", "True or False: there is a February 29 in $year."],
        ["I will check the leap year with `calendar`."], ["import calendar\nprint(calendar.isleap($year))"],
        slips=slips(("print(calendar.isleap($year))", "The module `calendar` is not imported. I will import it."))),
    Family(
        "days_in_month", {"year": integer(1950, 2100), "month": integer(1, 12)},
        lambda year, month: (datetime.date(year + month // 12, month % 12 + 1, 1) - datetime.date(year, month,
                                                                                                  1)).days,
        ["How many days does month $month of $year have?", "Number of days in month $month, year $year?",
         "What is the last day number of month $month in $year?"],
        ["I will ask `calendar.monthrange`."], ["import calendar\nprint(calendar.monthrange($year, $month)[1])"]),
    Family(
        "age_in_year", _birth, lambda name, born, year: year - born,
        ["$name was born in $born. How old will $name be at the end of $year?",
         "Born in $born, what age at the end of $year?", "How old does $name, born $born, turn in $year?",
         "If $name was born in $born, give the age reached in $year."],
        ["I will subtract the years."], ["born = $born\nyear = $year\nprint(year - born)"],
        slips=slips(("born = $born\nprint(year - born)", "The name `year` is not defined. I will set it."))),
    Family(
        "to_hours_minutes", {"minutes": integer(61, 2000)},
        lambda minutes: f"{(minutes - minutes % 60) // 60}:{minutes % 60:02d}",
        ["Write $minutes minutes as H:MM.", "Convert $minutes minutes to hours and minutes (H:MM).",
         "How long is $minutes minutes in the form H:MM?", "A film takes $minutes minutes. Give that as H:MM."],
        ["I will divide the minutes by 60."], ["minutes = $minutes\nprint(f\"{minutes // 60}:{minutes % 60:02d}\")"]),
    Family(
        "to_seconds", {"h": integer(1, 12), "m": integer(1, 59)}, lambda h, m: (h * 60 + m) * 60,
        ["How many seconds are $h hours and $m minutes?", "Convert $h h $m min to seconds.",
         "$h hours $m minutes in seconds?", "A march lasts $h hours and $m minutes. How many seconds is that?"],
        ["I will convert both parts to seconds."], ["print($h * 3600 + $m * 60)",
                                                    "hours = $h\nminutes = $m\nprint(hours * 3600 + minutes * 60)"],
        held=["My phone says the flight is $h hours $m minutes. Tell me the length in seconds."]),
    Family(
        "minutes_between", _two_clocks, lambda a, b: _minutes(b) - _minutes(a),
        ["How many minutes are between $a and $b?", "A class runs from $a to $b. How many minutes is that?",
         "Count the minutes from $a until $b on the same day.",
         "The train leaves at $a and arrives at $b. How long does it take in minutes?"],
        ["I will turn both times into minutes."],
        ["def minutes(t):\n    h, m = t.split(\":\")\n    return int(h) * 60 + int(m)\nprint(minutes($b) - minutes($a))"],
        slips=slips(("def minutes(t):\n    h, m = t.split(\":\")\n    return h * 60 + int(m)\nprint(minutes($b) - minutes($a))", "The hours are still text. I will convert them with `int`."))),
    Family(
        "add_minutes", {"time": clock(), "n": integer(5, 300)}, lambda time, n: _clock(_minutes(time) + n),
        ["What time is it $n minutes after $time?", "Add $n minutes to $time (HH:MM).",
         "The bus leaves at $time and drives $n minutes. When does it arrive (HH:MM)?", "$time plus $n minutes?"],
        ["I will count minutes since midnight."],
        ["h, m = $time.split(\":\")\nt = int(h) * 60 + int(m) + $n\nprint(f\"{t // 60 % 24:02d}:{t % 60:02d}\")"],
        held=["I put a cake in the oven at $time for $n minutes. When is it done (HH:MM)?"]),
    Family(
        "sum_durations", {"minutes": integers(3, 6, 5, 90)},
        lambda minutes: f"{sum(minutes) // 60}:{sum(minutes) % 60:02d}",
        ["Tasks take $minutes minutes. What is the total as H:MM?",
         "Add the durations $minutes (minutes) and give H:MM.",
         "Songs of $minutes minutes: total playing time as H:MM?"],
        ["I will add the minutes and format them."],
        ["total = sum($minutes)\nprint(f\"{total // 60}:{total % 60:02d}\")"]),
    Family(
        "format_date", {"date": day(1980, 2040)}, lambda date: f"{date[8:]}/{date[5:7]}/{date[:4]}",
        ["Write the date $date as DD/MM/YYYY.", "Change $date to the form DD/MM/YYYY.",
         "Give $date with day first: DD/MM/YYYY."],
        ["I will split the date and reorder it."], ["y, m, d = $date.split(\"-\")\nprint(f\"{d}/{m}/{y}\")"]),
    Family(
        "month_name", {"date": day(1980, 2040), "name": plain(NAMES)},
        lambda date: calendar.month_name[int(date[5:7])],
        ["Which month is the date $date in? Give the English name.", "Name the month of $date.",
         "$name moves on $date. In which month is that?"],
        ["I will format the date as a month name."],
        ["from datetime import date\nprint(date.fromisoformat($date).strftime(\"%B\"))"]),
]
