# case: 56
# title: a thread prints on after its cell
# layer: none
# expect: survives
# doctor: no
# seconds: 10
import threading

stop_056 = threading.Event()


def chatter():
    while not stop_056.wait(0.02):
        print("late output of the first cell", flush=True)


thread_056 = threading.Thread(target=chatter)
thread_056.start()
# --- next cell
import time

time.sleep(0.2)
# --- next cell
stop_056.set()
thread_056.join()
print("the thread ended")
