# case: 1, 50
# title: every process forks for ever and swallows each exception
# layer: processes
# expect: ends
# doctor: no
# seconds: 3
import os

while True:
    try:
        os.fork()
    except BaseException:
        pass
