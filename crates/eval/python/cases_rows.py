"""What is promised of queries of a database that a model left: all rows as a literal, or why there are none."""
import os
import sqlite3
from unittest import mock

from casebook import Casebook

case = Casebook()


def filled(*statements):
    database = sqlite3.connect("database")
    for statement in statements:
        database.execute(statement)
    database.commit()
    database.close()


@case
def rows_come_in_the_order_of_the_query_with_their_types(room):
    filled("CREATE TABLE t (name, price)", "INSERT INTO t VALUES ('b', 2), ('a', 1.5), ('it''s', NULL), (x'00ff', '2')")
    assert room.rows("SELECT name, price FROM t ORDER BY rowid") == repr(
        [["b", 2], ["a", 1.5], ["it's", None], [b"\0\xff", "2"]]
    )
    assert room.rows("SELECT price FROM t WHERE typeof(price) = 'integer'") == "[[2]]"
    assert room.rows("SELECT * FROM t WHERE 0") == "[]"


@case
def what_gives_no_rows_says_why(room):
    filled("CREATE TABLE t (n)", "CREATE VIEW v AS SELECT load_extension('nothing') FROM t", "INSERT INTO t VALUES (1)")
    for query, why in [
        ("SELECT * FROM u", "!no such table: u"), ("SELEC", "!near"),
        ("SELECT 1; SELECT 2", "!You can only execute one"), ("\ud800", "!"),
        ("SELECT * FROM v", "!unsafe use of load_extension()"),
        ("DELETE FROM t", "!attempt to write a readonly database")
    ]:
        told = room.rows(query)
        assert told.startswith(why), (query, told)
    assert room.rows("SELECT n FROM t") == "[[1]]" and room.rows("PRAGMA trusted_schema") == "[[0]]"
    assert room.rows("SELECT 1", "no/such/folder").startswith("!unable to open")
    with open("torn", "wb") as file:
        file.write(b"SQLite format 3\0" + os.urandom(2000))
    assert room.rows("SELECT * FROM t", "torn").startswith("!")
    # Which of these comes of what differs between versions of Python.
    for error in (sqlite3.Error, sqlite3.Warning, UnicodeError, OverflowError):
        with mock.patch("sqlite3.connect", side_effect=error("no")):
            assert room.rows("SELECT 1") == "!no", error


@case
def a_hundred_thousand_rows_are_the_most(room):
    query = "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r WHERE n < {}) SELECT 1 FROM r"
    assert room.rows(query.format(100_000)) == repr([[1]] * 100_000)
    assert room.rows(query.format(100_001)) == "!more than 100000 rows"
    assert room.rows(query.format(200_000)) == "!more than 100000 rows"
