# case: 35
# title: file names with line ends, invalid UTF-8, control and direction characters
# layer: none
# expect: held
# doctor: no
# seconds: 5
import os

NAMES = [b"line\nend", b"return\r", b"\xff\xfe\x80", b"n" * 255, "\u202egnp.exe".encode(), b"\x1b[2J", b"-rf", b" ",
         b"...", b"a\\b", b"<script>", b"%2e%2e%2f", "\ud55c\uae00".encode(), b"'; drop table", b"$(reboot)", b"con",
         b"\x01\x7f"]
os.mkdir("attack-035")
for name in NAMES:
    with open(b"attack-035/" + name, "wb") as file:
        file.write(name)
# A path longer than PATH_MAX, reached step by step.
step = os.open("attack-035", os.O_RDONLY)
for _ in range(20):
    os.mkdir(b"d" * 250, dir_fd=step)
    deeper = os.open(b"d" * 250, os.O_RDONLY, dir_fd=step)
    os.close(step)
    step = deeper
os.close(step)
# --- next cell
import os
import shutil


def read(name):
    with open(b"attack-035/" + name, "rb") as file:
        return file.read()


def attack():
    try:
        found = set(os.listdir(b"attack-035"))
        wrong = [name for name in NAMES if read(name) != name]
    finally:
        shutil.rmtree("attack-035")
    if found != {*NAMES, b"d" * 250} or wrong:
        return f"escaped: {wrong} changed, {found.symmetric_difference(NAMES)} differ"
    return f"held: {len(NAMES)} names and a path of 5,000 bytes survived"


def judge():
    try:
        return attack()
    except BaseException as error:
        return f"escaped: attack code failed: {type(error).__name__}: {error}"


print(judge())
