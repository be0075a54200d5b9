import sqlite3
connection = sqlite3.connect("kept.db")
connection.execute("PRAGMA journal_mode=WAL")
connection.execute("CREATE TABLE numbers (n INTEGER PRIMARY KEY, t TEXT)")
connection.executemany("INSERT INTO numbers VALUES (?, ?)", [(n, str(n)) for n in range(1000)])
connection.commit()
# --- next cell
assert connection.execute("SELECT sum(n), count(*) FROM numbers").fetchone() == (499500, 1000)
with sqlite3.connect("kept.db", timeout=5) as second:
    second.execute("INSERT INTO numbers VALUES (1000, 'x')")
assert connection.execute("SELECT count(*) FROM numbers").fetchone() == (1001,)
# --- next cell
memory = sqlite3.connect(":memory:")
memory.execute("CREATE TABLE t (a)")
connection.backup(memory)
assert memory.execute("SELECT max(n) FROM numbers").fetchone() == (1000,)
connection.close()
print("ok")
