# case: 22
# title: raise the limits of the process
# layer: privileges
# expect: held
# doctor: yes
# seconds: 5
import os
import resource

NAMES = [name for name in dir(resource) if name.startswith("RLIMIT_")]


def attack():
    finite = []
    for name in NAMES:
        number = getattr(resource, name)
        soft, hard = resource.getrlimit(number)
        if hard == resource.RLIM_INFINITY:
            continue
        finite.append(name)
        for wanted in (hard + 1, resource.RLIM_INFINITY):
            for change in (resource.setrlimit, lambda *pair: resource.prlimit(os.getpid(), *pair)):
                try:
                    change(number, (soft, wanted))
                except ValueError as error:
                    if "not allowed to raise maximum limit" not in str(error):
                        raise
                except PermissionError:
                    pass
                else:
                    return f"escaped: {name} was raised from {hard} to {wanted}"
    if "RLIMIT_NOFILE" not in finite or resource.getrlimit(resource.RLIMIT_CORE)[1] != 0:
        return f"escaped: only {finite} are limited, core dumps are possible"
    return f"held: {len(finite)} limits cannot be raised"


def judge():
    try:
        return attack()
    except BaseException as error:
        return f"escaped: attack code failed: {type(error).__name__}: {error}"


print(judge())
