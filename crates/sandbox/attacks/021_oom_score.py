# case: 21
# title: make itself the last one to be killed for memory
# layer: privileges
# expect: held
# doctor: no
# seconds: 5
import errno

REFUSALS = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOENT)


def attack():
    seen = []
    for path, text in (("/proc/self/oom_score_adj", "-1000"), ("/proc/self/oom_adj", "-17"), ("/proc/swaps", "x"),
                       ("/proc/sys/vm/swappiness", "0")):
        try:
            with open(path, "w") as file:
                file.write(text)
        except OSError as error:
            if error.errno not in REFUSALS:
                raise
            seen.append(errno.errorcode[error.errno])
        else:
            return f"escaped: wrote {text} into {path}"
    return f"held: {seen}"


def judge():
    try:
        return attack()
    except BaseException as error:
        return f"escaped: attack code failed: {type(error).__name__}: {error}"


print(judge())
