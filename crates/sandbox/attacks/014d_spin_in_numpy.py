# case: 14
# title: a decomposition in native code without the interpreter's lock
# layer: none
# expect: held|ends
# doctor: no
# seconds: 2
def attack():
    try:
        import numpy
    except ImportError:
        return "skipped: numpy is not installed"
    matrix = numpy.ones((2048, 2048)) + numpy.eye(2048)
    while True:
        matrix = matrix @ matrix
        matrix /= numpy.abs(matrix).max()


def judge():
    try:
        return attack()
    except BaseException as error:
        return f"escaped: attack code failed: {type(error).__name__}: {error}"


print(judge())
