# case: 34
# title: a folder of 8,000 files over a cell
# layer: none
# expect: held
# doctor: no
# seconds: 30
import os

os.mkdir("attack-034")
for index in range(8_000):
    with open(f"attack-034/{index}", "w") as file:
        file.write(str(index))
# --- next cell
import os
import shutil


def read(name):
    with open(f"attack-034/{name}") as file:
        return file.read()


def attack():
    try:
        names = os.listdir("attack-034")
        wrong = [name for name in names if read(name) != name]
    finally:
        shutil.rmtree("attack-034")
    if len(names) != 8_000 or wrong:
        return f"escaped: {len(names)} files, {len(wrong)} of them changed"
    return "held: all files are there"


def judge():
    try:
        return attack()
    except BaseException as error:
        return f"escaped: attack code failed: {type(error).__name__}: {error}"


print(judge())
