# case: 32
# title: special files in the workspace block whoever opens them
# layer: none
# expect: held
# doctor: no
# seconds: 10
import os
import socket

os.mkdir("attack-032")
os.mkfifo("attack-032/fifo")
listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
listener.bind("attack-032/socket")
# --- next cell
import os
import shutil
import stat


def attack():
    listener.close()
    kinds = {name: stat.S_IFMT(os.lstat(f"attack-032/{name}").st_mode) for name in ("fifo", "socket")}
    shutil.rmtree("attack-032")
    if kinds != {"fifo": stat.S_IFIFO, "socket": stat.S_IFSOCK}:
        return f"escaped: the files became {kinds}"
    return "held: nobody blocked on them between two cells"


def judge():
    try:
        return attack()
    except BaseException as error:
        return f"escaped: attack code failed: {type(error).__name__}: {error}"


print(judge())
