# case: 71
# title: a thousand figures in one cell
# layer: none
# expect: held|ends|survives
# doctor: no
# seconds: 30
def attack():
    try:
        import matplotlib.pyplot as pyplot
    except ImportError:
        return "skipped: matplotlib is not installed"
    pyplot.rcParams["figure.max_open_warning"] = 0
    for index in range(1000):
        pyplot.figure(figsize=(1, 1))
    return "held: a thousand figures are open"


def judge():
    try:
        return attack()
    except BaseException as error:
        return f"escaped: attack code failed: {type(error).__name__}: {error}"


print(judge())
