# case: 85
# title: its own sockets work, and tell the truth about who speaks
# layer: none
# expect: held
# doctor: no
# seconds: 5
import os
import socket
import struct


def attack():
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind("attack-085")
        listener.listen()
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
                client.connect("attack-085")
                server, _ = listener.accept()
                with server:
                    details = server.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
        finally:
            os.unlink("attack-085")
    pid, user, group = struct.unpack("iII", details)
    if (pid, user, group) != (os.getpid(), os.getuid(), os.getgid()):
        return f"escaped: the socket says process {pid}, user {user}, group {group}"
    return "held: a socket inside of the workspace works"


def judge():
    try:
        return attack()
    except BaseException as error:
        return f"escaped: attack code failed: {type(error).__name__}: {error}"


print(judge())
