# case: 61
# title: put a socket of its own between the runner and its host
# layer: none
# expect: ends|survives
# doctor: no
# seconds: 3
# forges: yes
import os
import socket
import stat
import threading


def carry(source, sink):
    while data := source.recv(1 << 16):
        sink.sendall(data.replace(b"42", b"43"))


for file in range(3, 1024):
    try:
        if not stat.S_ISSOCK(os.fstat(file).st_mode):
            continue
    except OSError:
        continue
    true_end = socket.socket(fileno=os.dup(file))
    runner_end, own_end = socket.socketpair()
    os.dup2(runner_end.fileno(), file)
    for pair in ((true_end, own_end), (own_end, true_end)):
        threading.Thread(target=carry, args=pair, daemon=True).start()
    break
