# case: 62
# title: replace the code of every function that is no library's
# layer: none
# expect: ends|survives
# doctor: no
# seconds: 3
import gc
import sys
import types


def broken(*arguments, **named):
    raise RuntimeError("replaced")


prefixes = (sys.prefix, sys.base_prefix, "<frozen", "/usr")
for thing in gc.get_objects():
    if isinstance(thing, types.FunctionType) and not thing.__code__.co_filename.startswith(prefixes):
        if thing is not broken and not thing.__code__.co_freevars:
            thing.__code__ = broken.__code__
            thing.__defaults__ = thing.__kwdefaults__ = None
