# case: 85
# title: connect to abstract sockets of the host
# layer: network
# expect: held
# doctor: yes
# seconds: 5
import errno
import socket

# The test on the host's side listens on the first name.
NAMES = ["codeact-attack-085", "/tmp/.X11-unix/X0", "/tmp/.ICE-unix/1", "@/tmp/dbus",
         "/org/kernel/linux/storage/multipathd", "/containerd-shim/default", "ISCSIADM_ABSTRACT_NAMESPACE"]
# No such name in a network of its own, or a rule of Landlock.
REFUSALS = (errno.ECONNREFUSED, errno.EPERM, errno.EACCES, errno.ENOENT)


def attack():
    names = set(NAMES)
    try:
        with open("/proc/net/unix") as file:
            names |= {line.split("@", 1)[1].strip() for line in file if " @" in line}
    except OSError as error:
        if error.errno not in (errno.EACCES, errno.ENOENT, errno.EPERM):
            raise
    for name in names:
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_SEQPACKET):
            with socket.socket(socket.AF_UNIX, kind) as client:
                try:
                    client.connect("\0" + name)
                except OSError as error:
                    if error.errno not in REFUSALS:
                        return f"escaped: {name} gave {error}"
                else:
                    return f"escaped: connected to {name}"
    return f"held: {len(names)} names were refused"


def judge():
    try:
        return attack()
    except BaseException as error:
        return f"escaped: attack code failed: {type(error).__name__}: {error}"


print(judge())
