import math
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor, as_completed
with ThreadPoolExecutor(4) as pool:
    assert list(pool.map(lambda number: number * number, range(5))) == [0, 1, 4, 9, 16]
with ProcessPoolExecutor(2) as pool:
    assert sorted(future.result() for future in as_completed([pool.submit(math.factorial, n) for n in (3, 4)])) == [6, 24]
# --- next cell
def of_this_cell(number):
    return number + 1
with ProcessPoolExecutor(2) as pool:
    assert list(pool.map(of_this_cell, range(3))) == [1, 2, 3]
print("ok")
