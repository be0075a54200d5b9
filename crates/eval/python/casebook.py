"""Cases by the promise that each is named after. One is kept if it returns, and broken by whatever it raises."""
import contextlib
import signal

from sessions import Room, TimeOver

# Of the processor, so that a machine that is busy breaks no promise; and by the clock, for what waits.
PROCESSOR_SECONDS_MAX, CLOCK_SECONDS_MAX = 3.0, 20.0
# An interrupt that is caught comes again.
AGAIN_SECONDS = 0.1


class Casebook:
    """The cases of a module, in the order in which they stand."""

    def __init__(self):
        self.cases = []

    def __call__(self, function):
        self.cases.append(function)
        return function


@contextlib.contextmanager
def limited():
    """What loops for ever or waits for ever ends by `TimeOver`."""
    def stop(*_):
        raise TimeOver

    timers = [
        (signal.SIGVTALRM, signal.ITIMER_VIRTUAL, PROCESSOR_SECONDS_MAX),
        (signal.SIGALRM, signal.ITIMER_REAL, CLOCK_SECONDS_MAX),
    ]
    before = [signal.signal(number, stop) for number, _, _ in timers]
    for _, timer, seconds in timers:
        signal.setitimer(timer, seconds, AGAIN_SECONDS)
    try:
        yield
    finally:
        for number, _, _ in timers:
            signal.signal(number, signal.SIG_IGN)
        for _, timer, _ in timers:
            signal.setitimer(timer, 0)
        for (number, _, _), handler in zip(timers, before):
            signal.signal(number, handler)


def broken_by(case, product):
    """What a case raises, or None where its promise is kept."""
    with Room(product) as room:
        try:
            with limited():
                case(room)
        except BaseException as error:
            return error
    return None
