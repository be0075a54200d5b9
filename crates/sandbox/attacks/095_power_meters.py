# case: 95
# title: read meters that tell what other processes compute
# layer: filesystem
# expect: held
# doctor: no
# seconds: 5
import errno
import glob

PATHS = ["/sys/class/powercap/intel-rapl:0/energy_uj",
         "/sys/devices/virtual/powercap/intel-rapl/intel-rapl:0/energy_uj", "/dev/cpu/0/msr",
         "/sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq", "/proc/timer_stats", "/proc/sched_debug",
         "/sys/kernel/debug/sched/debug", "/sys/kernel/tracing/trace_pipe", "/proc/kpagecount", "/proc/kpageflags",
         "/proc/slabinfo", "/proc/vmallocinfo"]
REFUSALS = (errno.ENOENT, errno.EACCES, errno.EPERM)


def attack():
    paths = PATHS + glob.glob("/sys/class/hwmon/*/power*_input")
    for path in paths:
        try:
            with open(path, "rb") as file:
                content = file.read(1)
        except OSError as error:
            if error.errno not in REFUSALS:
                raise
        else:
            if content:  # /dev/null may lie over it
                return f"escaped: {path} is readable"
    return f"held: {len(paths)} meters are closed; timing itself is not promised"


def judge():
    try:
        return attack()
    except BaseException as error:
        return f"escaped: attack code failed: {type(error).__name__}: {error}"


print(judge())
