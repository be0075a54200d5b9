# case: 78
# title: finalizers that sleep while the runner collects garbage
# layer: none
# expect: ends|survives
# doctor: no
# seconds: 5
import gc
import time


class Sleepy:
    def __init__(self):
        self.me = self

    def __del__(self):
        time.sleep(0.2)


gc.collect()
gc.disable()
for _ in range(5):
    Sleepy()
gc.enable()
gc.set_threshold(1)
# --- next cell
gc.set_threshold(700)
