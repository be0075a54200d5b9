# case: 75
# title: patch whatever a runner could use
# layer: none
# expect: held
# doctor: no
# seconds: 10
import ast
import base64
import io
import json
import linecache
import os
import signal
import socket
import struct
import sys
import threading
import traceback

steps = [1]
real = {(module, name): getattr(module, name) for module, names in {
    os: ("write", "read", "dup2", "dup", "fork", "getpid", "_exit", "fsync", "fstat", "close", "waitpid", "pipe"),
    json: ("dumps", "loads"),
    base64: ("b64encode", "b64decode"),
    traceback: ("format_exception", "TracebackException", "extract_tb"),
    ast: ("parse", "Interactive", "Module", "Expression"),
    struct: ("pack", "unpack"),
    signal: ("signal", "pthread_sigmask"),
    linecache: ("getline", "getlines", "checkcache"),
    io: ("StringIO", "BytesIO", "TextIOWrapper"),
    socket: ("socket",),
    sys: ("exc_info", "displayhook", "excepthook", "getrecursionlimit"),
    threading: ("enumerate", "current_thread"),
}.items() for name in names if hasattr(module, name)}


def broken(*arguments, **named):
    raise SystemExit("raised by a patch")


for module, name in real:
    setattr(module, name, broken)
# --- next cell
steps.append(2)
1 / 0
# --- next cell
steps.append(3)
"a value"
# --- next cell
steps.append(4)
return 1  # Refused by the compiler, not by the parser.
# --- next cell
for (module, name), value in real.items():
    setattr(module, name, value)
# --- next cell
def attack():
    if steps != [1, 2, 3]:
        return f"escaped: of three steps remain {steps}"
    return f"held: the runner uses none of {len(real)} patched functions"


def judge():
    try:
        return attack()
    except BaseException as error:
        return f"escaped: attack code failed: {type(error).__name__}: {error}"


print(judge())
