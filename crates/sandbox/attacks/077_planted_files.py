# case: 77
# title: plant files that a new interpreter would run
# layer: none
# expect: held
# doctor: no
# seconds: 10
import os
import sys

user_site = os.path.expanduser(f"~/.local/lib/python{sys.version_info[0]}.{sys.version_info[1]}/site-packages")
payload = f"open({os.path.abspath('planted-077')!r}, 'a').write(__name__ + chr(10))\n"
planted = {name: payload for name in ("sitecustomize.py", "usercustomize.py", "json.py", "os.py", "codecs.py",
                                      "site.py")}
planted |= {"attack.pth": "import sys; " + payload, "pyvenv.cfg": "home = /tmp\n"}
planted[f"{os.path.basename(sys.executable)}._pth"] = ".\n"
for folder in (".", user_site):
    try:
        os.makedirs(folder, exist_ok=True)
    except OSError:
        continue  # The home folder is not its own here.
    for name, text in planted.items():
        with open(os.path.join(folder, name), "w") as file:
            file.write(text)
# --- next cell
here = os.getcwd()
os.environ.update(PYTHONPATH=here, PYTHONSTARTUP=here + "/sitecustomize.py", PYTHONUSERBASE=here, PYTHONHOME=here,
                  PYTHONINSPECT="1", PYTHONBREAKPOINT="json.loads", LD_PRELOAD=here + "/os.py", LD_LIBRARY_PATH=here)
os._exit(1)
# --- next cell
def attack():
    if not os.path.exists("sitecustomize.py"):
        return "escaped: attack code failed: nothing was planted"
    for folder in (".", user_site):
        for name in planted:
            path = os.path.join(folder, name)
            if os.path.exists(path):
                os.unlink(path)
    if "LD_PRELOAD" in os.environ:
        return "escaped: the environment outlived its process"
    if not os.path.exists("planted-077"):
        return "held: no planted file was run"
    with open("planted-077") as file:
        ran = file.read().split()
    os.unlink("planted-077")
    return f"escaped: a new interpreter ran {ran}"


def judge():
    try:
        return attack()
    except BaseException as error:
        return f"escaped: attack code failed: {type(error).__name__}: {error}"


print(judge())
