# case: 80
# title: modules in the workspace that are named like those of a runner
# layer: none
# expect: held
# doctor: no
# seconds: 10
import os
import sys

os.makedirs("shadow-080", exist_ok=True)
for name in ("json", "os", "socket", "struct", "traceback", "ast", "base64", "io", "signal", "linecache", "codecs",
             "types", "time", "select", "threading", "_thread", "tokenize", "re", "runner", "matplotlib", "IPython"):
    with open(f"shadow-080/{name}.py", "w") as file:
        file.write(f"open({os.path.abspath('shadowed-080')!r}, 'a').write('{name} ')\nraise SystemExit('{name}')\n")
real_modules, real_path = dict(sys.modules), list(sys.path)
sys.path.insert(0, os.path.abspath("shadow-080"))
for name in list(sys.modules):
    if name.partition(".")[0] + ".py" in os.listdir("shadow-080"):
        del sys.modules[name]
# --- next cell
1 / 0
# --- next cell
{"a": ["value"]}
# --- next cell
return 1  # Refused by the compiler, not by the parser.
# --- next cell
sys.modules.update(real_modules)
sys.path[:] = real_path
# --- next cell
import os
import shutil


def attack():
    shutil.rmtree("shadow-080")
    if not os.path.exists("shadowed-080"):
        return "held: the runner imports nothing after its start"
    with open("shadowed-080") as file:
        names = file.read()
    os.unlink("shadowed-080")
    return f"escaped: the runner imported {names}"


def judge():
    try:
        return attack()
    except BaseException as error:
        return f"escaped: attack code failed: {type(error).__name__}: {error}"


print(judge())
