# case: 37
# title: open the settings of the kernel for writing
# layer: filesystem
# expect: held
# doctor: yes
# seconds: 5
import errno
import glob
import os

PATHS = ["/proc/sys/kernel/core_pattern", "/proc/sys/kernel/modprobe", "/proc/sys/kernel/hostname",
         "/proc/sys/kernel/ns_last_pid", "/proc/sys/kernel/yama/ptrace_scope", "/proc/sys/vm/overcommit_memory",
         "/proc/sys/vm/drop_caches", "/proc/sys/fs/file-max", "/proc/sys/fs/binfmt_misc/register",
         "/proc/sys/net/ipv4/ip_forward", "/proc/sys/user/max_user_namespaces", "/proc/sysrq-trigger", "/proc/kcore",
         "/proc/kmem", "/proc/kallsyms", "/proc/acpi/wakeup", "/proc/irq/default_smp_affinity", "/proc/timer_list"]
NULL = os.makedev(1, 3)
REFUSALS = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOENT)


def attack():
    paths = PATHS + glob.glob("/proc/sys/kernel/*") + glob.glob("/proc/sys/vm/*")
    for path in paths:
        if os.path.isdir(path):
            continue
        try:
            # Opened, never written: a machine that fails this test is not harmed by it.
            file = os.open(path, os.O_WRONLY)
        except OSError as error:
            if error.errno not in REFUSALS:
                raise
        else:
            is_covered = os.fstat(file).st_rdev == NULL
            os.close(file)
            if not is_covered:
                return f"escaped: {path} is open for writing"
    return f"held: {len(paths)} settings are closed"


def judge():
    try:
        return attack()
    except BaseException as error:
        return f"escaped: attack code failed: {type(error).__name__}: {error}"


print(judge())
