import queue, threading, time
work, done = queue.Queue(), []
def worker():
    for number in iter(work.get, None):
        done.append(number * number)
threads = [threading.Thread(target=worker) for _ in range(4)]
for thread in threads:
    thread.start()
# --- next cell
for number in range(10):
    work.put(number)
for _ in threads:
    work.put(None)
for thread in threads:
    thread.join(10)
assert sorted(done) == [number * number for number in range(10)]
local, event, results = threading.local(), threading.Event(), []
timer = threading.Timer(0.02, event.set)
timer.start()
assert event.wait(10)
barrier = threading.Barrier(3)
def meet():
    local.value = threading.get_ident()
    results.append(barrier.wait(10))
threads = [threading.Thread(target=meet) for _ in range(3)]
[thread.start() for thread in threads]
[thread.join(10) for thread in threads]
assert sorted(results) == [0, 1, 2] and not hasattr(local, "value")
# --- next cell
raised = []
threading.excepthook = lambda arguments: raised.append(arguments.exc_type)
def fail():
    raise KeyError
failing = threading.Thread(target=fail)
failing.start()
failing.join()
assert raised == [KeyError] and threading.active_count() == 1, threading.enumerate()
print("ok")
