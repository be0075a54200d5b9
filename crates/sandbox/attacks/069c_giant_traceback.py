# case: 69
# title: a traceback of 900 frames, a message of 50 MB and a chain of 10,000 causes
# layer: none
# expect: held|ends
# doctor: no
# seconds: 20
def fall(depth):
    if depth == 0:
        raise ValueError("m" * 50_000_000)
    fall(depth - 1)


fall(900)
# --- next cell
error = None
for index in range(10_000):
    following = ValueError(f"cause {index}")
    following.__cause__ = error
    error = following
raise error
# --- next cell
import builtins


def nest(depth):
    return [ValueError(str(index)) for index in range(50)] + ([group(depth - 1)] if depth else [])


def group(depth):
    kind = getattr(builtins, "ExceptionGroup", None)
    return kind("nested", nest(depth)) if kind else ValueError("no groups in this Python")


raise group(50)
# --- next cell
def attack():
    return "held: three giant tracebacks were shown" if fall and nest else "escaped: the state is lost"


def judge():
    try:
        return attack()
    except BaseException as error:
        return f"escaped: attack code failed: {type(error).__name__}: {error}"


print(judge())
