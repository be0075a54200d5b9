"""What a query gives, of a database that a model left behind."""
import sqlite3


def rows_of(path, query):
    """All rows as a literal of Python, or the reason why there are none, after a `!`."""
    try:
        database = sqlite3.connect(path)
        database.execute("PRAGMA trusted_schema = OFF")
        database.execute("PRAGMA query_only = ON")
        rows = database.execute(query).fetchmany(ROWS_MAX + 1)
    except (sqlite3.Error, sqlite3.Warning, UnicodeError, OverflowError) as error:
        return f"!{error}"
    if len(rows) > ROWS_MAX:
        return f"!more than {ROWS_MAX} rows"
    return repr([list(row) for row in rows])


ROWS_MAX = 100_000
