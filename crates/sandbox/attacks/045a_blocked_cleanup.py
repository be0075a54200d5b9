# case: 45
# title: folders without permissions over a cell
# layer: none
# expect: held
# doctor: no
# seconds: 10
import os

os.makedirs("attack-045/a/b/c")
for name in ("attack-045/a/b/c/file", "attack-045/a/file"):
    with open(name, "w") as file:
        file.write("content")
    os.chmod(name, 0)
for name in ("attack-045/a/b/c", "attack-045/a/b", "attack-045/a", "attack-045"):
    os.chmod(name, 0)
# --- next cell
import os
import shutil


def attack():
    for name in ("attack-045", "attack-045/a", "attack-045/a/b", "attack-045/a/b/c"):
        if os.stat(name).st_mode & 0o7777:
            return f"escaped: the mode of {name} changed"
        os.chmod(name, 0o700)
    os.chmod("attack-045/a/b/c/file", 0o600)
    with open("attack-045/a/b/c/file") as file:
        text = file.read()
    shutil.rmtree("attack-045")
    if text != "content":
        return f"escaped: the content became {text!r}"
    return "held: nobody stumbled over folders of mode 000"


def judge():
    try:
        return attack()
    except BaseException as error:
        return f"escaped: attack code failed: {type(error).__name__}: {error}"


print(judge())
