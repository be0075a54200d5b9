"""Launch and confinement: packets, imports, environment, limits, identity, seccomp, and what goes wrong."""
import errno
import os
import resource
import select
import socket
import subprocess
import tempfile
import unittest

import harness

IDS = {"uid": "65534", "gid": "65534"}


def refuse(number, code):
    """A seccomp program that answers one system call with an errno, and allows the others."""
    def entry(operation, jump_true, jump_false, value):
        return operation.to_bytes(2, "little") + bytes([jump_true, jump_false]) + value.to_bytes(4, "little")
    return (entry(0x20, 0, 0, 0) + entry(0x15, 0, 1, number) + entry(0x06, 0, 0, 0x50000 | code)
            + entry(0x06, 0, 0, 0x7FFF0000))


class Launch(harness.Case):
    imports = ("colorsys", "no_such_module", "json")

    def test_ready_packet(self):
        self.assertRegex(self.launcher.ready["python"].decode(), r"^3\.\d+\.\d+$")
        missing = self.launcher.ready["missing"].decode()
        self.assertRegex(missing, r"^no_such_module: ModuleNotFoundError: .*$")

    def test_imports_are_there(self):
        self.assertEqual(self.session().cell("import sys; 'colorsys' in sys.modules").value(), "True")
        self.assertEqual(self.alone().cell("import sys; 'colorsys' in sys.modules").value(), "True")

    def test_runner_is_not_in_sys_modules(self):
        code = "import sys; [m for m in sys.modules if 'codeact' in m or m in ('runner', 'guard', 'cells')]"
        for session in (self.session(), self.alone()):
            self.assertEqual(session.cell(code).value(), "[]")

    def test_hello_and_surroundings(self):
        for session in (self.session(environment="A=1\0B=x=y\0"), self.alone(environment="A=1\0B=x=y\0")):
            self.assertEqual((session.hello, session.reply), ("H", {"ok": b"1"}))
            self.assertEqual(dict(harness.decode(session.hello_payload))["python"], self.launcher.ready["python"])
            self.assertEqual(session.cell("import os; os.environ['A'], os.environ['B'], 'PATH' in os.environ").value(),
                             "('1', 'x=y', False)")
            self.assertEqual(session.cell("import sys; os.getcwd(), sys.argv").value(), f"({session.directory!r}, ['cell'])")
            fds = session.cell("sorted(map(int, os.listdir('/proc/self/fd')))").value()
            self.assertEqual(fds.count(","), 6, fds)        # 0 1 2, control, copies of 1 and 2, and the listing itself

    def test_zygote_serves_many_and_ends_with_its_launcher(self):
        launcher = harness.Launcher("zygote")
        sessions = [self.session(launcher) for _ in range(5)]
        for number, session in enumerate(sessions):
            session.cell(f"x = {number}")
        self.assertEqual([session.cell("x").value() for session in sessions], list("01234"))
        launcher.close()
        self.assertEqual(launcher.process.returncode, 0)
        self.assertEqual(sessions[0].cell("x").value(), "0")

    def test_worker_ends_with_its_socket(self):
        launcher = harness.Launcher("alone")
        session = self.session(launcher)
        session.socket.shutdown(2)
        self.assertEqual(launcher.process.wait(harness.SECONDS_MAX), 0)
        launcher.close()

    def test_hostile_imports_and_output(self):
        launcher = harness.Launcher("zygote", ["this", "__phello__", "idlelib.idle"])      # two print, one wants a screen
        self.addCleanup(launcher.close)
        self.assertNotIn("this:", launcher.ready["missing"].decode())
        self.assertEqual(self.session(launcher).cell("1").out, "")

    def test_garbage_packets(self):
        for data in (b"\1", harness.encode([("fds", "control")]), harness.encode([("fds", "")]), b"x" * 5000):
            self.launcher.socket.send(data)
            self.assertIn("error", dict(harness.decode(self.launcher.socket.recv(1 << 16))))
        self.assertEqual(self.session().cell("1").value(), "1")

    def test_garbage_requests_end_the_runner(self):
        for tag, payload in (("Z", b""), ("", b"")):
            session = self.session()
            with self.assertRaises(harness.Dead):
                session.ask(tag, payload)

    def test_errors_of_the_boot(self):
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        boot = (harness.HERE / "boot.py").read_text()
        process = subprocess.Popen([harness.PYTHON, "-I", "-B", "-X", "utf8", "-c", boot, str(theirs.fileno()), "zygote"],
                                   pass_fds=[theirs.fileno()])
        theirs.close()
        ours.send(harness.encode([("source/zygote.py", "import ctypes_is_missing")]))
        self.assertIn(b"ModuleNotFoundError: No module named 'ctypes_is_missing'", dict(harness.decode(ours.recv(4096)))["error"])
        self.assertEqual(process.wait(harness.SECONDS_MAX), 1)
        ours.close()


class Namespaces(harness.Case):
    FLAGS = 0x00020000 | 0x04000000 | 0x08000000 | 0x40000000      # mount, uts, ipc, net

    def init(self):
        """A process that is PID 1 of fresh namespaces, and a pidfd of it."""
        if os.geteuid() != 0:
            harness.skip("only root can make these namespaces without a user namespace")
        outer = subprocess.Popen(["unshare", "--pid", "--fork", "--kill-child", "--mount", "--mount-proc", "--uts", "--ipc",
                                  "--net", "sh", "-c", "hostname inside && echo $$ && exec sleep 600"], stdout=subprocess.PIPE,
                                 stderr=subprocess.DEVNULL)
        self.addCleanup(outer.stdout.close)
        self.addCleanup(outer.wait)
        self.addCleanup(outer.kill)
        if outer.stdout.readline() != b"1\n":
            harness.skip("this host makes no namespaces")
        with open(f"/proc/{outer.pid}/task/{outer.pid}/children") as file:
            pid = int(file.read())
        fd = os.pidfd_open(pid)
        self.addCleanup(os.close, fd)
        return pid, fd

    def test_worker_lives_in_the_namespaces_of_init(self):
        pid, fd = self.init()
        session = self.session(attached={"init": fd}, setns=str(self.FLAGS), pid_namespace="1", **IDS)
        answer = session.cell("import os; os.getppid(), os.uname().nodename")
        self.assertEqual(answer.value(), "(1, 'inside')", answer)
        self.assertEqual(session.cell("os.getpid() < 10, sorted(os.listdir('/sys/class/net')) != 0").value(), "(True, True)")
        for name in ("mnt", "net", "ipc", "uts", "pid"):
            self.assertEqual(session.cell(f"os.readlink('/proc/self/ns/{name}')").value(),
                             repr(os.readlink(f"/proc/{pid}/ns/{name}")))
        answer, child = session.checkpoint()
        self.assertEqual(answer.tag, "S")
        os.kill(pid, 9)
        self.assertTrue(harness.wait_for(lambda: select.select([fd], [], [], 0)[0]))
        for head in (session, child):
            with self.assertRaises(harness.Dead):
                head.ask("C", b"1")
        # The zygote is not caught in the dead namespace.
        self.assertEqual(self.session().cell("1").value(), "1")

    def test_dead_init(self):
        pid, fd = self.init()
        os.kill(pid, 9)
        self.assertTrue(harness.wait_for(lambda: select.select([fd], [], [], 0)[0]))
        ours, theirs = socket.socketpair()
        pairs = [("fds", "control,stdout,stderr,init"), ("setns", str(self.FLAGS)), ("pid_namespace", "1")]
        harness.send_with_fds(self.launcher.socket, harness.encode(pairs), [theirs.fileno(), 1, 2, fd])
        theirs.close()
        self.assertIn("error", dict(harness.decode(self.launcher.socket.recv(4096))))
        ours.close()
        self.assertEqual(self.session().cell("1").value(), "1")

    def test_cgroup_files_are_written(self):
        with tempfile.TemporaryFile() as first, tempfile.TemporaryFile() as second:
            ours, theirs = socket.socketpair()
            pairs = [("fds", "control,stdout,stderr,cgroup,cgroup"), ("setns", "0")]
            fds = [theirs.fileno(), 1, 2, first.fileno(), second.fileno()]
            harness.send_with_fds(self.launcher.socket, harness.encode(pairs), fds)
            theirs.close()
            self.assertEqual(harness.decode(self.launcher.socket.recv(4096)), [("ok", b"1")])
            self.assertEqual(len(ours.recv(4)), 4)      # it said hello
            for file in (first, second):
                file.seek(0)
                self.assertEqual(file.read(), b"0")
            ours.close()


class Confinement(harness.Case):
    def sessions(self, **fields):
        return [self.session(**fields), self.alone(**fields)]

    def test_no_new_privileges_and_no_capabilities(self):
        for session in self.sessions():
            status = session.cell("print(open('/proc/self/status').read())").out
            for line in ("NoNewPrivs:\t1", "Seccomp:\t2", "CapEff:\t0000000000000000", "CapPrm:\t0000000000000000",
                         "CapInh:\t0000000000000000", "CapAmb:\t0000000000000000"):
                self.assertIn(line, status)
            if os.geteuid() == 0:
                self.assertIn("CapBnd:\t0000000000000000", status)

    def test_seccomp_program_holds(self):
        number = {"x86_64": 63, "aarch64": 160}[os.uname().machine]     # uname
        for session in self.sessions(seccomp=refuse(number, errno.ENOTTY)):
            self.assertEqual(session.cell("import os\ntry: os.uname()\nexcept OSError as e: r = e.errno\nr").value(),
                             str(errno.ENOTTY))

    def test_limits(self):
        pairs = [kind.to_bytes(4, "little") + value.to_bytes(8, "little")
                 for kind, value in ((resource.RLIMIT_FSIZE, 12345), (resource.RLIMIT_NOFILE, 99), (resource.RLIMIT_CORE, 0))]
        for session in self.sessions(limits=pairs):
            self.assertEqual(session.cell("import resource as r; r.getrlimit(r.RLIMIT_FSIZE), r.getrlimit(r.RLIMIT_NOFILE)").value(),
                             "((12345, 12345), (99, 99))")
            self.assertEqual(session.cell("open('f', 'wb').write(bytes(20000))").name(), "OSError")

    def test_checkpoint_without_room_for_a_process(self):
        limit = resource.RLIMIT_NPROC.to_bytes(4, "little") + bytes(8)
        session = self.session(limits=[limit], **(IDS if os.geteuid() == 0 else {}))
        answer, _ = session.checkpoint()
        self.assertEqual((answer.tag, answer.fields["reason"]), ("N", b"BlockingIOError: Resource temporarily unavailable"))
        self.assertEqual(session.cell("6 * 7").value(), "42")

    def test_identity(self):
        if os.geteuid() != 0:
            harness.skip("only root can become another user")
        for session in self.sessions(**IDS):
            self.assertEqual(session.cell("import os; os.getresuid(), os.getresgid(), os.getgroups()").value(),
                             "((65534, 65534, 65534), (65534, 65534, 65534), [])")
            self.assertEqual(session.cell("os.access('/proc/self/mem', os.R_OK)").value(), "True")      # dumpable again
            self.assertEqual(session.cell("os.setuid(0)").name(), "PermissionError")

    def test_steps_that_fail_are_fatal(self):
        for fields, said in [({"seccomp": b"123"}, b"seccomp"), ({"seccomp": bytes(8)}, b"seccomp"),
                             ({"directory": "/nowhere"}, b"/nowhere"), ({"limits": [b"\xff\0\0\0" + bytes(8)]}, b"limit 255")]:
            for launcher in (self.launcher, harness.Launcher("alone")):
                with self.subTest(fields), tempfile.TemporaryDirectory() as folder:
                    session = harness.Session(launcher, fields.get("directory", folder), fields)
                    self.assertEqual(session.hello, "X")
                    self.assertIn(said, session.hello_payload)
                    session.close()
                    if launcher is not self.launcher:
                        self.assertEqual(launcher.process.wait(harness.SECONDS_MAX), 1)
                        launcher.close()

    def test_identity_that_is_refused_is_fatal(self):
        if os.geteuid() == 0:
            harness.skip("root may become anybody")
        session = self.session(uid="0", gid="0")
        self.assertEqual(session.hello, "X")
        self.assertIn(b"become user 0", session.hello_payload)


if __name__ == "__main__":
    unittest.main()
