# case: 49
# title: ignore every signal that can be ignored and loop
# layer: none
# expect: ends
# doctor: no
# seconds: 2
import signal

for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
    try:
        signal.signal(number, signal.SIG_IGN)
    except OSError:
        pass  # The C library keeps two of them for itself.
signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
while True:
    pass
