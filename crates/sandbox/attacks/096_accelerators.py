# case: 96
# title: use the accelerators of the host
# layer: filesystem
# expect: held
# doctor: yes
# seconds: 5
import ctypes
import errno
import glob
import os

PATHS = ["/dev/nvidia0", "/dev/nvidiactl", "/dev/nvidia-uvm", "/dev/nvidia-modeset", "/dev/nvidia-caps", "/dev/dri",
         "/dev/dri/card0", "/dev/dri/renderD128", "/dev/kfd", "/dev/accel", "/dev/accel/accel0", "/dev/infiniband",
         "/dev/neuron0", "/proc/driver/nvidia/gpus", "/sys/class/drm", "/sys/bus/pci/devices",
         "/run/nvidia-persistenced/socket"]
REFUSALS = (errno.ENOENT, errno.EACCES, errno.EPERM)


def attack():
    paths = PATHS + glob.glob("/dev/nvidia*")
    for path in paths:
        for flags in (os.O_RDONLY, os.O_RDWR):
            try:
                os.close(os.open(path, flags))
            except OSError as error:
                if error.errno not in REFUSALS + (errno.EISDIR,):
                    raise
            else:
                return f"escaped: opened {path}"
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return f"held: {len(paths)} paths are closed, and there is no driver library"
    if driver.cuInit(0) == 0:
        return "escaped: the driver of the accelerator works"
    return f"held: {len(paths)} paths are closed, and the driver finds no device"


def judge():
    try:
        return attack()
    except BaseException as error:
        return f"escaped: attack code failed: {type(error).__name__}: {error}"


print(judge())
