# case: 25
# title: read the secrets of the host's accounts
# layer: filesystem
# expect: held
# doctor: yes
# seconds: 5
import errno
import glob
import os

PATHS = ["/etc/shadow", "/etc/shadow-", "/etc/gshadow", "/etc/sudoers", "/etc/ssh/ssh_host_ed25519_key",
         "/etc/krb5.keytab", "/etc/machine-id", "/var/lib/dbus/machine-id", "/etc/fstab", "/boot", "/var/log",
         "/var/lib", "/srv", "/mnt", "/media"]
REFUSALS = (errno.ENOENT, errno.EACCES, errno.EPERM)


def attack():
    for path in PATHS + glob.glob("/etc/ssl/private/*") + glob.glob("/etc/NetworkManager/system-connections/*"):
        try:
            os.close(os.open(path, os.O_RDONLY))
        except OSError as error:
            if error.errno not in REFUSALS:
                raise
        else:
            return f"escaped: opened {path}"
    return f"held: {len(PATHS)} paths are hidden"


def judge():
    try:
        return attack()
    except BaseException as error:
        return f"escaped: attack code failed: {type(error).__name__}: {error}"


print(judge())
