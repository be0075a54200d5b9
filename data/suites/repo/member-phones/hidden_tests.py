"""Databases of other branches, migrated by the candidate's file; what they hold then is compared here."""
import json

DRIVER = """
import json, os, sqlite3, sys, tempfile
from pathlib import Path
from club import members
from club.migrate import migrate

rows, steps = json.load(sys.stdin)
path = os.path.join(tempfile.mkdtemp(), "branch.db")
db = sqlite3.connect(path)
db.executescript(Path("club/migrations/0001_members.sql").read_text(encoding="utf-8"))
db.executemany("INSERT INTO members (id, name, phones, joined) VALUES (?, ?, ?, '2020-01-01')", rows)
db.execute("INSERT INTO loans (member, book) SELECT id, 'Dune' FROM members")
db.execute("PRAGMA user_version = 1")
db.commit()
db.close()
said = {"ran": [migrate(path), migrate(path)]}
db = sqlite3.connect(path)
db.execute("PRAGMA foreign_keys = ON")
ask = lambda query: db.execute(query).fetchall()
said["phones"] = ask("SELECT member, position, number FROM phones ORDER BY member, position")
said["members"] = ask("SELECT id, name, joined FROM members ORDER BY id")
said["columns"] = [row[1] for row in ask("PRAGMA table_info(members)")]
said["tables"] = [row[0] for row in ask("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name")]
said["index"] = [row[0] for row in ask("SELECT tbl_name FROM sqlite_master WHERE type = 'index' AND name = 'members_by_name'")]
said["loans"] = ask("SELECT count(*) FROM loans JOIN members ON members.id = loans.member")
said["refers"] = [[row[2] for row in ask(f"PRAGMA foreign_key_list({table})")] for table in ("loans", "phones")]
said["fits"] = ask("PRAGMA foreign_key_check")
said["columns of phones"] = sorted([row[1], bool(row[3]), row[5]] for row in ask("PRAGMA table_info(phones)"))
said["steps"] = []
for name, *arguments in steps:
    try:
        if name == "sql":
            value = len(ask(*arguments))
        else:
            value = getattr(members, name)(db, *arguments)
    except Exception as error:
        value = type(error).__name__
    said["steps"].append(value)
print(json.dumps(said))
"""


def branch(rows, *steps):
    code, out, errors = run(["python", "-c", DRIVER], stdin=json.dumps([rows, steps]))
    assert code == 0, errors[-500:]
    return json.loads(out)


def test_the_schema():
    said = branch([[3, "Xi", "1"]])
    assert said["ran"] == [[2], []]
    assert said["columns"] == ["id", "name", "joined"]
    assert said["tables"] == ["loans", "members", "phones"]
    assert said["index"] == ["members"], "the index of members is gone"
    assert said["refers"] == [["members"], ["members"]] and said["fits"] == []
    assert said["columns of phones"] == [["member", True, 1], ["number", True, 0], ["position", True, 2]]


def test_numbers_of_other_branches():
    many = ",".join(str(number) for number in range(100, 140))
    said = branch([[5, "A", "7,7, 7 ,8"], [6, "B", " , ,"], [8, "C", None], [10, "D", many], [11, "E", "a b ,c,a b"]])
    assert said["phones"] == ([[5, 1, "7"], [5, 2, "8"]] + [[10, n - 99, str(n)] for n in range(100, 140)]
                              + [[11, 1, "a b"], [11, 2, "c"]])
    assert [row[:2] for row in said["members"]] == [[5, "A"], [6, "B"], [8, "C"], [10, "D"], [11, "E"]]
    assert said["loans"] == [[5]]


def test_an_empty_branch():
    said = branch([])
    assert said["phones"] == [] and said["members"] == []


def test_the_functions():
    said = branch([[3, "Xi", "1, 2"], [4, "Yo", "12"]],
                  ["phones", 3], ["find", "1"], ["find", " 12 "], ["find", "%"], ["find", ""],
                  ["add", "Ann", "2024-01-01", [" 12", "", "12 ", "3"]], ["phones", 5], ["find", "12"],
                  ["add", "Ben", "2024-01-01"], ["phones", 6])
    assert said["steps"] == [["1", "2"], ["Xi"], ["Yo"], [], [], 5, ["12", "3"], ["Ann", "Yo"], 6, []]


def test_what_the_table_refuses():
    said = branch([[3, "Xi", "1, 2"]], ["sql", "INSERT INTO phones (member, position, number) VALUES (3, 2, '9')"],
                  ["sql", "INSERT INTO phones (member, position, number) VALUES (3, 3, '1')"],
                  ["sql", "INSERT INTO phones (member, position, number) VALUES (99, 1, '1')"],
                  ["sql", "INSERT INTO phones (member, position, number) VALUES (3, 3, NULL)"],
                  ["sql", "INSERT INTO phones (member, position, number) VALUES (3, 3, '4')"])
    assert said["steps"] == ["IntegrityError"] * 4 + [0]
