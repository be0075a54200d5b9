# case: 38
# title: open the devices of the host
# layer: filesystem
# expect: held
# doctor: yes
# seconds: 5
import errno
import os

HARMLESS = {"null", "zero", "full", "random", "urandom", "fd", "stdin", "stdout", "stderr", "shm"}
PATHS = ["mem", "kmem", "port", "kmsg", "kvm", "fuse", "net/tun", "vda", "sda", "nvme0n1", "loop0", "loop-control",
         "mapper/control", "ptmx", "pts/ptmx", "tty", "tty0", "console", "vcs", "vsock", "vhost-vsock", "vhost-net",
         "uinput", "input/event0", "dri/card0", "dri/renderD128", "nvidia0", "nvidiactl", "nvidia-uvm", "kfd",
         "snd/seq", "hpet", "rtc0", "cpu/0/msr", "cpu_dma_latency", "userfaultfd", "mqueue", "hugepages",
         "btrfs-control", "watchdog", "autofs", "log", "initctl"]
REFUSALS = (errno.ENOENT, errno.EACCES, errno.EPERM, errno.ENXIO, errno.ENOTDIR)


def attack():
    paths = set(PATHS)
    try:
        paths |= set(os.listdir("/dev")) - HARMLESS
    except PermissionError:
        pass
    for name in sorted(paths):
        for flags in (os.O_RDONLY, os.O_WRONLY):
            try:
                os.close(os.open(f"/dev/{name}", flags | os.O_NONBLOCK | os.O_NOCTTY))
            except OSError as error:
                if error.errno not in REFUSALS + (errno.EISDIR,):
                    raise
            else:
                return f"escaped: opened /dev/{name}"
    return f"held: {len(paths)} devices are closed"


def judge():
    try:
        return attack()
    except BaseException as error:
        return f"escaped: attack code failed: {type(error).__name__}: {error}"


print(judge())
