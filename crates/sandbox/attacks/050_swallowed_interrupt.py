# case: 50
# title: swallow every exception and loop
# layer: none
# expect: ends
# doctor: no
# seconds: 2
import time

while True:
    try:
        while True:
            time.sleep(0.01)
    except BaseException:
        pass
