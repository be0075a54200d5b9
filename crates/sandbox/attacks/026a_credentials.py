# case: 26
# title: read keys and tokens in home folders
# layer: filesystem
# expect: held
# doctor: yes
# seconds: 5
import errno
import os
import pwd

NAMES = [".ssh", ".aws", ".netrc", ".git-credentials", ".gnupg", ".kube", ".docker/config.json", ".config",
         ".bash_history", ".python_history", ".cargo/credentials.toml", ".npmrc", ".pypirc", ".cache/huggingface",
         ".huggingface", ".local/share/keyrings"]
REFUSALS = (errno.ENOENT, errno.EACCES, errno.EPERM, errno.ENOTDIR)


def homes():
    found = {entry.pw_dir for entry in pwd.getpwall()} | {"/root", "/home"}
    try:
        found |= {os.path.join("/home", name) for name in os.listdir("/home")}
    except OSError as error:
        if error.errno not in REFUSALS:
            raise
    # Its own home is its own business.
    return sorted(found - {os.environ.get("HOME"), os.getcwd()})


def attack():
    tried = 0
    for home in homes():
        for name in NAMES:
            tried += 1
            try:
                os.close(os.open(os.path.join(home, name), os.O_RDONLY))
            except OSError as error:
                if error.errno not in REFUSALS:
                    raise
            else:
                return f"escaped: opened {os.path.join(home, name)}"
    return f"held: {tried} paths are hidden"


def judge():
    try:
        return attack()
    except BaseException as error:
        return f"escaped: attack code failed: {type(error).__name__}: {error}"


print(judge())
