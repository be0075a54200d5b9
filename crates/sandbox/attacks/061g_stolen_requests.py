# case: 61
# title: a thread that eats the requests of its host
# layer: none
# expect: ends|survives
# doctor: no
# seconds: 3
import os
import stat
import threading


def steal(file):
    while os.read(file, 1):
        pass


for file in range(3, 1024):
    try:
        if stat.S_ISSOCK(os.fstat(file).st_mode):
            threading.Thread(target=steal, args=(file,), daemon=True).start()
    except OSError:
        pass
# --- next cell
"this request is eaten"
