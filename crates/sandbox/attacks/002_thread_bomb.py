# case: 2
# title: start threads until the kernel refuses
# layer: processes
# expect: held
# doctor: yes
# seconds: 10
import threading

THREADS_MAX = 5000


def attack():
    release = threading.Event()
    threads = []
    try:
        while len(threads) < THREADS_MAX:
            thread = threading.Thread(target=release.wait)
            thread.start()
            threads.append(thread)
    except RuntimeError as error:
        if str(error) != "can't start new thread":
            raise
        return f"held: a thread was refused after {len(threads)}"
    finally:
        release.set()
        for thread in threads:
            thread.join()
    return f"escaped: {THREADS_MAX} threads"


def judge():
    try:
        return attack()
    except BaseException as error:
        return f"escaped: attack code failed: {type(error).__name__}: {error}"


print(judge())
