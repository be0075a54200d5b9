# case: 43, 85
# title: connect to every socket file in the visible tree
# layer: filesystem
# expect: held
# doctor: no
# seconds: 20
import errno
import os
import socket
import stat

PATHS = ["/run/docker.sock", "/var/run/docker.sock", "/run/containerd/containerd.sock", "/run/dbus/system_bus_socket",
         "/run/systemd/private", "/run/systemd/notify", "/run/systemd/journal/socket", "/dev/log", "/run/snapd.socket",
         "/run/podman/podman.sock", "/run/libvirt/libvirt-sock", "/tmp/.X11-unix/X0", "/run/user/0/bus",
         "/run/user/1000/bus", "/run/user/1000/wayland-0", "/run/nscd/socket", "/var/run/nscd/socket"]
REFUSALS = (errno.ENOENT, errno.EACCES, errno.EPERM, errno.ENOTDIR)


def sockets():
    for folder, folders, files in os.walk("/"):
        folders[:] = [name for name in folders if os.path.join(folder, name) not in ("/proc", "/sys")]
        for name in files:
            path = os.path.join(folder, name)
            try:
                if stat.S_ISSOCK(os.lstat(path).st_mode):
                    yield path
            except OSError:
                continue


def attack():
    found = list(sockets())
    for path in PATHS + found:
        for family in (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_SEQPACKET):
            with socket.socket(socket.AF_UNIX, family) as client:
                try:
                    client.connect(path)
                except OSError as error:
                    if error.errno not in REFUSALS:
                        raise
                else:
                    return f"escaped: connected to {path}"
    return f"held: {len(PATHS)} known paths and {len(found)} found ones were refused"


def judge():
    try:
        return attack()
    except BaseException as error:
        return f"escaped: attack code failed: {type(error).__name__}: {error}"


print(judge())
