# case: 86, 60
# title: send descriptors over every socket
# layer: none
# expect: ends|survives
# doctor: no
# seconds: 5
import array
import os
import socket
import stat

null = os.open("/dev/null", os.O_RDONLY)
folder = os.open(".", os.O_RDONLY)
reader, writer = os.pipe()
rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [null, folder, reader, writer] * 60))]
frame = (17).to_bytes(4, "little") + bytes(16) + b"D"
for file in range(3, 1024):
    try:
        if not stat.S_ISSOCK(os.fstat(file).st_mode):
            continue
        with socket.socket(fileno=os.dup(file)) as control:
            for _ in range(200):
                control.sendmsg([frame], rights)
    except OSError:
        pass
for file in (null, folder, reader, writer):
    os.close(file)
