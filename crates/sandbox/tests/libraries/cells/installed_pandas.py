import io, sqlite3
import pandas as pd
frame = pd.DataFrame({"day": pd.date_range("2024-01-01", periods=100), "kind": list("ab") * 50, "n": range(100)})
sums = frame.groupby("kind")["n"].sum()
# --- next cell
assert sums.to_dict() == {"a": 2450, "b": 2500}
frame.to_csv("frame.csv", index=False)
assert pd.read_csv("frame.csv", parse_dates=["day"]).equals(frame) or len(pd.read_csv("frame.csv")) == 100
assert frame.set_index("day")["n"].resample("ME").sum().iloc[0] == sum(range(31))
with sqlite3.connect("frame.db") as connection:
    frame.to_sql("frame", connection)
    assert pd.read_sql("SELECT count(*) AS c FROM frame", connection)["c"][0] == 100
assert frame["day"].dt.tz_localize("Europe/Oslo").dt.tz_convert("UTC").iloc[0].hour == 23
assert len(pd.read_json(io.StringIO(frame.to_json(orient="records")))) == 100
print("ok")
