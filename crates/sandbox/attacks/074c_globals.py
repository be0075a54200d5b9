# case: 74
# title: clear the names of the cells and of every module
# layer: none
# expect: ends|survives
# doctor: no
# seconds: 5
import sys

for module in list(sys.modules.values()):
    if module is not sys and getattr(module, "__name__", "") not in ("builtins", "__main__"):
        try:
            vars(module).clear()
        except TypeError:
            pass
sys.modules.clear()
globals().clear()
# --- next cell
1 / 0
