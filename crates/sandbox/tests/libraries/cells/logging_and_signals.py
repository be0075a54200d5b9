import io, logging, logging.handlers, os, queue, signal, time
target = io.StringIO()
logger = logging.getLogger("cells")
logger.addHandler(logging.StreamHandler(target))
logger.warning("first")
heard = []
signal.signal(signal.SIGUSR1, lambda number, frame: heard.append(number))
os.kill(os.getpid(), signal.SIGUSR1)
# --- next cell
logger.warning("second")
assert target.getvalue() == "first\nsecond\n" and heard == [signal.SIGUSR1]
os.kill(os.getpid(), signal.SIGUSR1)    # the handler is there in later cells too
assert len(heard) == 2
# --- next cell
def stop(number, frame):
    raise TimeoutError("out of time")
signal.signal(signal.SIGALRM, stop)
signal.setitimer(signal.ITIMER_REAL, 0.05)
try:
    time.sleep(10)
    raise SystemExit("the alarm did not ring")
except TimeoutError:
    pass
pid = os.fork()
if pid == 0:
    signal.pause()
os.kill(pid, signal.SIGTERM)
assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGTERM
listener = logging.handlers.QueueListener(queue.Queue(), logging.StreamHandler(target))
listener.start()
listener.queue.put(logging.makeLogRecord({"msg": "third"}))
listener.stop()
assert target.getvalue().endswith("third\n")
print("ok")
