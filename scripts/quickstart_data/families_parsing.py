"""Families about taking text apart: numbers, lines, pairs, logs, JSON."""

import json
import re

from .family import Family, Plain, Verbatim, slips
from .pools import ITEMS, NAMES, WORDS


def _numbers_in_text(rng):
    shapes = ["{a} cats, {b} dogs and {c} birds", "room {a}, floor {b}", "order {a} of {b} pens for {c} dollars",
              "x={a} y={b} z={c}",
              "we drove {a} km, slept {b} hours and ate {c} eggs", "bus {a} at stop {b}",
              "{a} red, {b} blue, {c} green, {d} white"]
    values = {key: rng.randint(2, 99) for key in "abcd"}
    return {"text": rng.choice(shapes).format(**values)}


def _mails(rng):
    parts = rng.sample(WORDS, rng.randint(2, 4))
    return {"text": " ".join(f"{w} {rng.choice(NAMES).lower()}@{rng.choice(WORDS)}.{rng.choice(['com', 'org', 'net'])}" for w in parts)}


def _mail(rng):
    return {"mail": f"{rng.choice(NAMES).lower()}.{rng.choice(WORDS)}@{rng.choice(WORDS)}.{rng.choice(['com', 'org', 'net', 'de'])}"}


def _pairs(rng):
    keys = rng.sample(WORDS, rng.randint(3, 4))
    return {"text": ";".join(f"{key}={rng.randint(1, 99)}" for key in keys), "key": rng.choice(keys)}


def _number_line(rng):
    return {"text": ",".join(str(rng.randint(1, 99)) for _ in range(rng.randint(4, 7)))}


def _dirty_line(rng):
    parts = [str(rng.randint(1, 99)) for _ in range(rng.randint(3, 5))]
    parts.insert(rng.randint(1, len(parts) - 1), rng.choice(["n/a", "none", "-", "x", "missing", "?"]))
    return {"text": ",".join(parts)}


def _log(rng):
    levels = ["INFO", "ERROR", "WARN"]
    lines = [f"{rng.choice(levels)} {rng.choice(WORDS)}" for _ in range(rng.randint(4, 6))]
    return {"log": Plain("\n".join(lines)), "level": Plain(rng.choice(levels))}


def _as_json(record):
    """JSON stands in the prompt and in the code without further quotes."""
    return {"text": Verbatim(json.dumps(record))}


def _json_object(rng):
    record = {"name": rng.choice(NAMES), "age": rng.randint(18, 80),
              "city": rng.choice(["Rome", "Paris", "Oslo", "Lima"])}
    return _as_json(record) | {"key": rng.choice(list(record))}


def _json_scores(rng):
    return _as_json({"scores": [rng.randint(1, 50) for _ in range(rng.randint(3, 5))]})


def _tags(rng):
    chosen = rng.sample(WORDS, rng.randint(4, 6))
    return {"text": " ".join(("#" if rng.random() < 0.5 else "") + w for w in chosen)}


def _code(rng):
    return {"code": f"{rng.choice('ABCDEFGH')}-{rng.randint(2, 99)}-{rng.choice(ITEMS)}"}


def _file(rng):
    return {"path": f"/{rng.choice(WORDS)}/{rng.choice(WORDS)}/{rng.choice(WORDS)}.{rng.choice(['txt', 'csv', 'py', 'png', 'pdf'])}"}


FAMILIES = [
    Family(
        "sum_numbers_in_text", _numbers_in_text,
        lambda text: sum(int(n) for n in "".join(c if c.isdigit() else " " for c in text).split()),
        ["Add all numbers in the text $text.", "What is the sum of the numbers in $text?",
         "Find every number in $text and add them up.", "The note says $text. What do its numbers add up to?"],
        ["I will find the numbers with a regular expression."],
        ["import re\ntext = $text\nprint(sum(int(n) for n in re.findall(r\"\\d+\", text)))"],
        held=["Ignore the words of $text and total the figures."],
        slips=slips(("text = $text\nprint(sum(int(n) for n in re.findall(r\"\\d+\", text)))",
                     "The module `re` is not imported. I will import it."),
                    ("import re\ntext = $text\nprint(sum(re.findall(r\"\\d+\", text)))",
                     "The numbers are still text. I will convert them with `int`."))),
    Family(
        "numbers_in_text", _numbers_in_text,
        lambda text: [int(n) for n in "".join(c if c.isdigit() else " " for c in text).split()],
        ["List the numbers in $text.", "Extract all numbers from $text as a list of integers.",
         "Which numbers are in the text $text? Give a list."],
        ["I will find the numbers with a regular expression."],
        ["import re\ntext = $text\nprint([int(n) for n in re.findall(r\"\\d+\", text)])"]),
    Family(
        "find_emails", _mails, lambda text: [w for w in text.split() if "@" in w],
        ["List the email addresses in $text.", "Extract all emails from $text as a list.",
         "Find the mail addresses in $text. Give a list."],
        ["I will keep the words with an @ sign."], ["text = $text\nprint([w for w in text.split() if \"@\" in w])"]),
    Family(
        "email_domain", _mail, lambda mail: mail[mail.index("@") + 1:],
        ["What is the domain of the email $mail?", "Give the part after the @ of $mail.",
         "Which mail server does $mail use?", "Cut the user name and the @ from $mail."],
        ["I will split the address at the @ sign."], ["mail = $mail\nprint(mail.split(\"@\")[1])"],
        slips=slips(("mail = $mail\nprint(mail.split(\"@\")[2])",
                     "The index is out of range. The second part has index 1."))),
    Family(
        "email_user", _mail, lambda mail: mail[:mail.index("@")],
        ["What is the user name of the email $mail?", "Give the part before the @ of $mail.",
         "Who owns $mail? Give the text before @."],
        ["I will split the address at the @ sign."], ["mail = $mail\nprint(mail.split(\"@\")[0])"],
        held=["Strip the domain from $mail."]),
    Family(
        "value_of_key", _pairs, lambda text, key: int(re.search(key + r"=(\d+)", text).group(1)),
        ["In the settings $text, what is the value of $key?", "Parse $text and give the value of $key.",
         "Read $key from $text.", "The text $text has pairs key=value. What is $key?"],
        ["I will parse the pairs into a dictionary."],
        ["text = $text\npairs = dict(p.split(\"=\") for p in text.split(\";\"))\nprint(int(pairs[$key]))"],
        held=["A config line reads $text. Which number belongs to $key?"],
        slips=slips(("text = $text\npairs = dict(p.split(\":\") for p in text.split(\";\"))\nprint(int(pairs[$key]))",
                     "The pairs are separated by `=`. I will split there."))),
    Family(
        "sum_of_values", _pairs, lambda text, key: sum(int(n) for n in re.findall(r"\d+", text)),
        ["Add all values in $text.", "The text $text has pairs key=value. What is the sum of the values?",
         "Sum up the numbers after the equals signs in $text."],
        ["I will add the values of the pairs."],
        ["text = $text\nprint(sum(int(p.split(\"=\")[1]) for p in text.split(\";\")))"],
        slips=slips(("text = $text\nprint(sum(p.split(\"=\")[1] for p in text.split(\";\")))",
                     "The values are text. I will convert them with `int`."))),
    Family(
        "sum_csv_line", _number_line, lambda text: sum(map(int, text.split(","))),
        ["Add the numbers in the line $text.", "The string $text holds numbers. What is their sum?",
         "Split $text at the commas and sum the numbers.", "Sum of the comma separated values $text?"],
        ["I will split the text and add the numbers."],
        ["text = $text\nprint(sum(int(n) for n in text.split(\",\")))"],
        slips=slips(("text = $text\nprint(sum(text.split(\",\")))",
                     "The parts are text. I will convert them with `int`."))),
    Family(
        "largest_csv_value", _number_line, lambda text: sorted(map(int, text.split(",")))[-1],
        ["What is the largest number in the line $text?", "The string $text holds numbers. Which is the highest?",
         "Split $text at the commas and give the maximum."],
        ["I will split the text and take the maximum."],
        ["text = $text\nprint(max(int(n) for n in text.split(\",\")))"]),
    Family(
        "sum_dirty_line", _dirty_line, lambda text: sum(int(n) for n in text.split(",") if n.isdigit()),
        ["Add the numbers in the line $text.", "Sum the values $text, some may be missing.",
         "The sensor sent $text. What is the total of the numbers?", "What is the sum of the numbers in $text?"],
        ["I will split the text and add the numbers."],
        ["text = $text\nprint(sum(int(n) for n in text.split(\",\") if n.isdigit()))"],
        slips=slips(("text = $text\nprint(sum(int(n) for n in text.split(\",\")))",
                     "One part is not a number. I will skip it.")), always_slips=True),
    Family(
        "count_log_level", _log, lambda log, level: len(re.findall(level, log)),
        ["How many $level lines are in this log?\n$log", "Log:\n$log\nCount the lines with level $level.",
         "Count $level in the log below.\n$log"],
        ["I will count the lines that start with the level."],
        ["log = $log\nprint(len([l for l in log.split(\"\\n\") if l.startswith($level)]))"],
        held=["My server wrote:\n$log\nHow often did $level happen?"]),
    Family(
        "count_lines", _log, lambda log: log.count("\n") + 1,
        ["How many lines does this text have?\n$log", "Count the lines:\n$log",
         "Number of lines in the text below?\n$log"],
        ["I will split the text into lines and count."], ["text = $log\nprint(len(text.split(\"\\n\")))"]),
    Family(
        "json_field", _json_object, lambda text, key: json.loads(text)[key],
        ["What is $key in the JSON $text?", "Parse the JSON $text and give the field $key.",
         "Read $key from this JSON: $text", "JSON record $text. Which value has $key?"],
        ["I will parse the JSON."], ["import json\ndata = json.loads('$text')\nprint(data[$key])"],
        held=["An API answered $text. Show me only the $key."],
        slips=slips(("data = json.loads('$text')\nprint(data[$key])",
                     "The module `json` is not imported. I will import it."))),
    Family(
        "json_sum", _json_scores, lambda text: sum(json.loads(text)["scores"]),
        ["What is the sum of the scores in the JSON $text?", "Parse $text and add the scores.",
         "JSON: $text. Total of scores?"],
        ["I will parse the JSON and add the scores."],
        ["import json\ndata = json.loads('$text')\nprint(sum(data[\"scores\"]))"],
        slips=slips(("import json\ndata = json.loads('$text')\nprint(sum(data.scores))",
                     "A dictionary has no attribute `scores`. I will use a key."))),
    Family(
        "hashtags", _tags, lambda text: re.findall(r"#\w+", text),
        ["List the hashtags in $text.", "Which words of $text start with #? Give a list.",
         "Extract the hashtags from $text."],
        ["I will keep the words that start with #."],
        ["text = $text\nprint([w for w in text.split() if w.startswith(\"#\")])"]),
    Family(
        "file_name", _file, lambda path: path[path.rindex("/") + 1:],
        ["What is the file name in the path $path?", "Give the last part of the path $path.",
         "Remove the folders from $path."],
        ["I will split the path and take the last part."], ["path = $path\nprint(path.split(\"/\")[-1])"]),
    Family(
        "file_extension", _file, lambda path: path[path.rindex(".") + 1:],
        ["What is the file extension of $path?", "Which type (text after the dot) has the file $path?",
         "Give the ending after the dot in $path."],
        ["I will split at the dot and take the last part."], ["path = $path\nprint(path.split(\".\")[-1])"]),
    Family(
        "seat_number", _code, lambda code: int("".join(filter(str.isdigit, code))),
        ["The code $code has the form row-number-item. What is the number?",
         "Take the middle part of the code $code.", "Split $code at the dashes. What is the second part?"],
        ["I will split the code at the dashes."], ["code = $code\nprint(int(code.split(\"-\")[1]))"]),
]
