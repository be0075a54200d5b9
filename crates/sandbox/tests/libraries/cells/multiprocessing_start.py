import math, multiprocessing, os
from multiprocessing import shared_memory
# Functions that other processes import come from a file, as they do in any notebook.
with open("work.py", "w") as file:
    file.write("def square(number):\n    return number * number\n\n"
               "def put(queue, number):\n    queue.put(number * number)\n\n"
               "def fill(name):\n    from multiprocessing import shared_memory\n"
               "    block = shared_memory.SharedMemory(name)\n    block.buf[0] = 7\n    block.close()\n")
import work
for method in ("fork", "spawn", "forkserver"):
    context = multiprocessing.get_context(method)
    queue = context.Queue()
    process = context.Process(target=work.put, args=(queue, 5))
    process.start()
    assert queue.get(timeout=60) == 25, method
    process.join()
    assert process.exitcode == 0, method
# --- next cell
for method in ("fork", "spawn", "forkserver"):
    with multiprocessing.get_context(method).Pool(2) as pool:
        assert pool.map(work.square, range(6)) == [0, 1, 4, 9, 16, 25], method
        assert pool.apply_async(math.sqrt, (16,)).get(60) == 4, method
# --- next cell
for method in ("fork", "spawn"):
    block = shared_memory.SharedMemory(create=True, size=100)
    process = multiprocessing.get_context(method).Process(target=work.fill, args=(block.name,))
    process.start()
    process.join()
    assert block.buf[0] == 7, method
    block.close()
    block.unlink()
def of_this_cell(number, lock, total):
    with lock:
        total.value += number
lock, total = multiprocessing.Lock(), multiprocessing.Value("i", 0)
processes = [multiprocessing.Process(target=of_this_cell, args=(number, lock, total)) for number in range(4)]
for process in processes:
    process.start()
for process in processes:
    process.join()
assert total.value == 6
ours, theirs = multiprocessing.Pipe()
ours.send([1, {"a": 2}])
assert theirs.recv() == [1, {"a": 2}]
with multiprocessing.Manager() as manager:
    shared = manager.dict(a=1)
    shared["b"] = 2
    assert dict(shared) == {"a": 1, "b": 2}
assert multiprocessing.active_children() == []
print("ok")
