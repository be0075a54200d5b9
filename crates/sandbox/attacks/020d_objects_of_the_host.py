# case: 20
# title: list the System V objects of the host
# layer: pids
# expect: held
# doctor: no
# seconds: 5
import errno


def attack():
    seen = []
    for kind in ("shm", "sem", "msg"):
        try:
            with open(f"/proc/sysvipc/{kind}") as file:
                lines = file.read().splitlines()
        except OSError as error:
            if error.errno not in (errno.EACCES, errno.ENOENT, errno.EPERM):
                raise
            seen.append(errno.errorcode[error.errno])
            continue
        if len(lines) > 1:
            return f"escaped: {len(lines) - 1} objects in {kind}: {lines[1]}"
        seen.append("no object")
    return f"held: {seen}"


def judge():
    try:
        return attack()
    except BaseException as error:
        return f"escaped: attack code failed: {type(error).__name__}: {error}"


print(judge())
