# case: 73
# title: wait for somebody to type
# layer: none
# expect: held
# doctor: no
# seconds: 5
import getpass
import os
import sys
import warnings


def attack():
    try:
        answer = input("name?\n")
        return f"escaped: input gave {answer!r}"
    except EOFError:
        pass
    for name, read in {
        "sys.stdin": sys.stdin.read,
        "sys.stdin.buffer": sys.stdin.buffer.read,
        "descriptor 0": lambda: os.read(0, 100),
    }.items():
        answer = read()
        if answer:
            return f"escaped: {name} gave {answer!r}"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return f"escaped: getpass gave {getpass.getpass()!r}"
        except EOFError:
            pass
    return "held: everybody who asks meets the end of the file at once"


def judge():
    try:
        return attack()
    except BaseException as error:
        return f"escaped: attack code failed: {type(error).__name__}: {error}"


print(judge())
