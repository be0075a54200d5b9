"""Cells that attack the interpreter they run in: the next cell works, and the channel stays in step."""
import os
import unittest

import harness

# (name, cells, how the last of them ends: "F", "R" or None for either)
SURVIVED = [
    ("stdout closed", ["import sys; sys.stdout.close()"], "F"),
    ("streams replaced", ["import sys; sys.stdout = sys.stderr = None; sys.stdin = 3"], "F"),
    ("streams that raise", ["import sys\nclass S:\n  def flush(self): raise SystemExit\n"
                            "  def write(self, t): raise OSError\nsys.stdout = S()"], None),
    ("fds 1 and 2 closed", ["import os; os.close(1); os.close(2)"], "F"),
    ("fds 1 and 2 on a file", ["import os; f = os.open('x', os.O_CREAT | os.O_RDWR); os.dup2(f, 1); os.dup2(f, 2)"], "F"),
    ("builtins deleted", ["import builtins\nfor n in list(vars(builtins)):\n"
                          "  if n not in ('list', 'vars'): delattr(builtins, n)"], None),
    ("builtins changed", ["import builtins; builtins.print = builtins.len = builtins.repr = None"], "F"),
    ("no __builtins__", ["del __builtins__"], "F"),
    ("__builtins__ replaced", ["__builtins__ = {}"], "F"),
    ("namespace cleared", ["globals().clear()"], "F"),
    ("modules cleared", ["import sys; sys.modules.clear()"], "F"),
    ("modules replaced", ["import sys; sys.modules = None"], "F"),
    ("main removed", ["import sys; del sys.modules['__main__']"], "F"),
    ("path destroyed", ["import sys; sys.path = sys.meta_path = sys.path_hooks = None"], "F"),
    ("json and os patched", ["import json, os, traceback, io\nos.write = os.read = os._exit = os.getpid = None\n"
                             "json.dumps = json.loads = traceback.format_exc = io.BytesIO = None"], "F"),
    ("trace that raises", ["import sys\ndef t(*a): raise ValueError('traced')\nsys.settrace(t)"], None),
    ("profile that raises", ["import sys\ndef t(*a): raise ValueError('profiled')\nsys.setprofile(t)"], None),
    ("profile that exits", ["import sys\nsys.setprofile(lambda *a: sys.exit(3))"], None),
    ("audit hook that raises", ["import sys\ndef hook(*a): raise RuntimeError('heard')\nsys.addaudithook(hook)"], None),
    ("hooks replaced", ["import sys\nsys.excepthook = sys.displayhook = sys.unraisablehook = None"], "F"),
    ("timers left armed", ["import signal\nsignal.signal(signal.SIGALRM, lambda *a: 1/0)\n"
                           "signal.setitimer(signal.ITIMER_REAL, 0.01, 0.01)"], None),
    ("timer that kills", ["import signal\nsignal.signal(signal.SIGPROF, signal.SIG_DFL)\n"
                          "signal.setitimer(signal.ITIMER_PROF, 0.2)"], "F"),
    ("SIGINT ignored", ["import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)"], "F"),
    ("signals blocked", ["import signal; signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))"], "F"),
    ("recursion limit tiny", ["import sys\ndef f(n):\n  try: sys.setrecursionlimit(n)\n  except RecursionError: f(n + 1)\n"
                              "f(1)"], None),
    ("recursion limit huge", ["import sys; sys.setrecursionlimit(10**9)"], "F"),
    ("recursion", ["def f(): return f()\nf()"], "R"),
    ("recursion in repr", ["class A:\n  def __repr__(self): return repr(self)\nA()"], "R"),
    ("gc disabled and frozen", ["import gc; gc.disable(); gc.freeze(); gc.set_threshold(1)"], "F"),
    ("finalizers that raise", ["class A:\n  def __del__(self): raise SystemExit\na = A(); a.a = a; del a"], "F"),
    ("finalizers that exit the loop", ["class A:\n  def __del__(self): raise GeneratorExit\nx = [A()]", "del x"], "F"),
    ("switch interval absurd", ["import sys; sys.setswitchinterval(1e9)"], "F"),
    ("warnings as errors", ["import warnings; warnings.simplefilter('error')"], "F"),
    ("In and Out replaced", ["In = Out = _ = __ = None"], "F"),
    ("In and Out hostile", ["class L(list):\n  def append(s, x): raise SystemExit\nIn = L(); Out = type('D', (dict,), {})()"],
     "F"),
    ("wakeup fd", ["import signal, os\nr, w = os.pipe(); os.set_blocking(w, False); signal.set_wakeup_fd(w)"], "F"),
    ("threads that trace", ["import threading\nthreading.settrace(lambda *a: 1/0)"], "F"),
    ("dump later", ["import faulthandler; faulthandler.dump_traceback_later(0.2, exit=True)"], "F"),
    ("import replaced", ["import builtins; builtins.__import__ = lambda *a, **k: 1/0"], "F"),
    ("str of the exception raises", ["class E(Exception):\n  def __str__(self): raise SystemExit(3)\nraise E"], "R"),
    ("exception full of lies", ["class M(type):\n  def __getattribute__(c, n): raise KeyError(n)\n"
                                "class E(Exception, metaclass=M):\n  __class__ = property(lambda s: 1/0)\n"
                                "  __traceback__ = __cause__ = __context__ = __notes__ = property(lambda s: 1/0)\nraise E"], "R"),
    ("GeneratorExit", ["raise GeneratorExit('x')"], "R"),
    ("SystemExit", ["import sys; sys.exit(4)"], "R"),
    ("exit()", ["exit()"], "R"),
    ("KeyboardInterrupt", ["raise KeyboardInterrupt"], "R"),
    ("BaseException", ["raise BaseException('x')"], "R"),
    ("surrogates", ["raise ValueError('\\ud800' + chr(0) + 'x' * 3_000_000)"], "R"),
    ("huge repr", ["class A:\n  def __repr__(self): return 'x' * 50_000_000\nA()"], "F"),
    ("repr of a strange type", ["class S(str):\n  def encode(s, *a): raise SystemExit\n  def __len__(s): return -1\n"
                                "class A:\n  def __repr__(self): return S('x')\nA()"], "F"),
    ("display methods that lie", ["class A:\n  _repr_html_ = 3\n  def _repr_png_(s): return object()\n"
                                  "  def _repr_json_(s): return s\n  def _repr_mimebundle_(s, **k): return {1: 2, 'a/b': 3}\nA()"],
     "F"),
    ("monitoring", ["import sys\nif hasattr(sys, 'monitoring'):\n  m = sys.monitoring; m.use_tool_id(3, 'x')\n"
                    "  m.register_callback(3, m.events.PY_START, lambda *a: 1/0); m.set_events(3, m.events.PY_START)"], None),
    ("nested groups", ["import sys\ne = ValueError('x')\nif sys.version_info >= (3, 11):\n"
                       "  for i in range(50): e = ExceptionGroup('g', [e])\nraise e"], "R"),
    ("circular causes", ["a, b = ValueError('a'), ValueError('b'); a.__cause__ = b; b.__cause__ = a; raise a"], "R"),
    ("long chains", ["e = None\nfor i in range(5000):\n  n = ValueError(i); n.__cause__ = e; e = n\nraise e"], "R"),
    ("modules of the workspace", ["for n in ('json', 'os', 'subprocess', 'select', 'ctypes', 'inspect', 'shlex'):\n"
                                  "  open(n + '.py', 'w').write('raise SystemExit(9)')",
                                  "import sys; sys.modules.pop('json', None); sys.modules.pop('shlex', None)", "!echo still"],
     "F"),
    ("atexit", ["import atexit; atexit.register(lambda: 1/0)"], "F"),
    ("null bytes", ["1\0"], "R"),
    ("deep source", ["(" * 5000 + ")" * 5000], "R"),
    ("fork that ends the cell", ["import os\nif os.fork(): os.wait()"], "F"),
    ("fork that raises", ["import os\nif os.fork(): os.wait()\nelse: 1/0"], "F"),
    ("fork hooks that raise", ["import os\nos.register_at_fork(before=lambda: 1/0, after_in_child=lambda: 1/0,"
                               " after_in_parent=lambda: 1/0)\nif os.fork() == 0: os._exit(0)"], "F"),
    ("thread that prints", ["import threading, time\ndef f():\n  while True: time.sleep(0.01)\n"
                            "threading.Thread(target=f, daemon=True).start()"], "F"),
    ("control channel non-blocking", ["import os\nfor fd in range(3, 20):\n  try: os.set_blocking(fd, False)\n"
                                      "  except OSError: pass"], "F"),
]

NONCE_HUNT = """
import gc, sys
def hunt(want):
    seen, found = set(), []
    stack = list(gc.get_objects())
    frame = sys._getframe()
    while frame: stack += [frame.f_locals, frame.f_globals, frame.f_builtins]; frame = frame.f_back
    gc.unfreeze(); stack += gc.get_objects()
    while stack and len(seen) < 2_000_000:
        item = stack.pop()
        if id(item) in seen: continue
        seen.add(id(item))
        if isinstance(item, (bytes, bytearray)) and want in bytes(item).hex(): found.append(type(item))
        stack += gc.get_referents(item)
    return len(found)
"""


class Hostile(harness.Case):
    def check(self, session, cells, ending):
        for code in cells:
            answer = session.cell(code)
        if ending is not None:
            self.assertEqual(answer.tag, ending, answer)
        answer = session.cell("import sys; print('still', len([1]), file=sys.stdout); kept = 6 * 7; kept")
        self.assertEqual((answer.tag, answer.value(), answer.out), ("F", "42", "still 1\n"), answer)
        self.assertEqual(session.cell("1/0").name(), "ZeroDivisionError")
        answer, child = session.checkpoint()
        self.assertEqual(answer.tag, "S", answer)
        self.assertEqual(session.cell("kept + 1", child).value(), "43")
        self.assertEqual(session.ignored, [])

    def test_next_cell_works(self):
        for name, cells, ending in SURVIVED:
            with self.subTest(name):
                self.check(self.session(), cells, ending)

    def test_next_cell_works_alone(self):
        for name, cells, ending in SURVIVED[::4]:
            with self.subTest(name):
                self.check(self.alone(), cells, ending)

    def test_nonce_is_in_no_object(self):
        session = self.session()
        session.cell(NONCE_HUNT)
        planted = session.cell("import os; box = type('Box', (), {})(); box.inner = [{'key': os.urandom(16)}]\n"
                               "hunt(box.inner[0]['key'].hex())")
        self.assertEqual(planted.value(), "1")
        nonce = os.urandom(16)
        session.send(nonce, "C", f"hunt('{nonce.hex()}')".encode())
        got, tag, payload = session.read_frame()
        self.assertEqual((got, tag, harness.decode(payload)), (nonce, "F", [("value/text/plain", b"0")]))

    def test_frames_on_any_fd_never_reach_the_answer(self):
        session = self.session()
        answer = session.cell("import os\nbody = bytes(16) + b'F'\nfor fd in (0, 1, 2):\n"
                              "  try: os.write(fd, len(body).to_bytes(4, 'little') + body)\n  except OSError: pass\n5")
        self.assertEqual((answer.tag, answer.value()), ("F", "5"))

    def test_forged_frames_on_the_control_socket_do_not_carry_the_nonce(self):
        session = self.session()
        session.cell("import os, socket, stat")
        answer = session.cell("sockets = [fd for fd in range(3, 50) if os.path.exists(f'/proc/self/fd/{fd}') and "
                              "stat.S_ISSOCK(os.fstat(fd).st_mode)]\nbody = bytes(16) + b'F'\n"
                              "for fd in sockets: os.write(fd, len(body).to_bytes(4, 'little') + body)\nlen(sockets)")
        self.assertEqual((answer.tag, answer.value()), ("F", "1"))
        self.assertEqual(session.ignored, [(bytes(16), "F", b"")])
        self.assertEqual(session.cell("7").value(), "7")

    def test_all_descriptors_closed_ends_the_session(self):
        session = self.session()
        with self.assertRaises(harness.Dead):
            session.cell("import os; os.closerange(0, 1000)")
            session.cell("1")

    def test_interrupts(self):
        endless = ["while True: pass", "import time; time.sleep(60)",
                   "class A:\n  def __repr__(self):\n    while True: pass\nA()",
                   "class E(Exception):\n  def __str__(self):\n    while True: pass\nraise E",
                   "import asyncio; await asyncio.sleep(60)", "!sleep 60", "x = !sleep 60", "%%bash\nsleep 60",
                   "import sys\nclass S:\n  def flush(self):\n    while True: pass\nsys.stdout = S()"]
        session = self.session()
        for code in endless:
            with self.subTest(code):
                sender = session.interrupt_after(0.3)
                answer = session.cell(code)
                sender.wait()
                self.assertEqual((answer.tag, answer.name()), ("R", "KeyboardInterrupt"), answer)
                self.assertEqual(session.cell("2 + 3").value(), "5")

    def test_second_interrupt(self):
        session = self.session()
        for code in ("import time\ntry: time.sleep(60)\nfinally: time.sleep(60)",
                     "class E(Exception):\n  def __str__(s):\n    while 1: pass\ntry: time.sleep(60)\nexcept BaseException: raise E",
                     "import sys\nclass S:\n  def flush(s): time.sleep(60)\nsys.stdout = S()\ntime.sleep(60)"):
            with self.subTest(code):
                sender = session.interrupt_after(0.3, 0.3)
                answer = session.cell(code)
                sender.wait()
                self.assertEqual((answer.tag, answer.name()), ("R", "KeyboardInterrupt"), answer)
                self.assertEqual(session.cell("2 + 3").value(), "5")

    def test_storm_of_interrupts(self):
        session = self.session()
        sender = session.interrupt_after(*[0.001] * 500)
        while sender.poll() is None:
            self.assertIn(session.cell("for i in range(20000): pass\n1/0").name(), ("ZeroDivisionError", "KeyboardInterrupt"))
            self.assertIn(session.checkpoint()[0].tag, "SN")
        self.assertEqual(session.cell("2 + 3").value(), "5")

    def test_late_interrupt_is_dropped(self):
        session = self.session()
        session.interrupt_after(0).wait()
        self.assertEqual(session.cell("sum(range(1000))").value(), "499500")


if __name__ == "__main__":
    unittest.main()
