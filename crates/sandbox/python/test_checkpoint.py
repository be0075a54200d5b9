"""Checkpoints: state, files, folders, random numbers and threads across fork and wake."""
import os
import unittest

import harness


class Checkpoints(harness.Case):
    def test_state_and_descent(self):
        session = self.session()
        session.cell("x = [1]")
        _, first = session.checkpoint()
        session.cell("x.append(2)")
        _, second = session.checkpoint()
        session.cell("x.append(3)")
        self.assertEqual(session.cell("x").value(), "[1, 2, 3]")
        self.assertEqual(first.ask("W"), ("F", b"", []))
        self.assertEqual(session.cell("x", first).value(), "[1]")
        session.socket.close()      # the head ends, its other checkpoint does not
        second.ask("W")
        self.assertEqual(session.cell("x", second).value(), "[1, 2]")
        _, third = session.checkpoint(second)
        session.cell("x.clear()", second)
        third.ask("W")
        self.assertEqual(session.cell("x", third).value(), "[1, 2]")

    def test_files_go_back(self):
        session = self.session()
        session.cell("f = open('log', 'w+'); f.write('one\\n'); f.flush(); g = open('log'); g.readline()\n"
                     "import os\nos.mkdir('d'); os.chdir('d')")
        answer, child = session.checkpoint()
        self.assertEqual(answer.fields["files"].decode(), session.directory + "/log")
        session.cell("f.write('two\\n'); f.flush(); os.chdir('/')")
        child.ask("W")
        self.assertEqual(session.cell("os.getcwd()", child).value(), repr(session.directory + "/d"))
        self.assertEqual(session.cell("f.tell(), g.tell()", child).value(), "(4, 4)")
        session.cell("f.write('new\\n'); f.flush()", child)
        self.assertEqual(session.cell("g.read()", child).value(), repr("new\n"))
        self.assertEqual(session.cell("f.tell()").value(), "8")     # offsets are no longer shared
        self.assertEqual(session.cell("os.get_inheritable(f.fileno())", child).value(), "False")

    def test_deleted_and_replaced_files(self):
        session = self.session()
        session.cell("import os\nf = open('gone', 'w+'); f.write('kept'); f.flush(); os.unlink('gone')\n"
                     "g = open('other', 'w+'); g.write('123456'); g.flush()")
        _, child = session.checkpoint()
        os.unlink(session.directory + "/other")
        with open(session.directory + "/other", "w") as file:
            file.write("abcdefghi")     # what a snapshot of the workspace puts back is another file
        os.chmod(session.directory + "/other", 0o666)
        child.ask("W")
        self.assertEqual(session.cell("f.seek(0); f.read(), g.read()", child).value(), "('kept', 'ghi')")

    def test_a_pipe_named_like_the_file_does_not_block(self):
        session = self.session()
        session.cell("import os\nf = open('x', 'w'); os.unlink('x'); os.mkfifo('x'); f.name")
        session.cell("g = open('y'); os.unlink('y'); os.mkfifo('y')")
        _, child = session.checkpoint()
        self.assertEqual(child.ask("W")[0], "F")

    def test_random_numbers_are_those_of_the_moment(self):
        session = self.session()
        session.cell("import random; random.seed(1); random.gauss(0, 1)")
        _, child = session.checkpoint()
        code = "[random.random(), random.gauss(0, 1), random.gauss(0, 1)]"
        self.assertEqual(session.cell(code).value(), session.cell(code, child).value())

    def test_sessions_differ_in_random_numbers(self):
        code = "import random; random.random()"
        self.assertNotEqual(self.session().cell(code).value(), self.session().cell(code).value())

    def test_threads_are_named(self):
        session = self.session()
        session.cell("import threading\nstop = threading.Event()\n"
                     "for n in 'ab': threading.Thread(target=stop.wait, name='thread-' + n).start()")
        answer, child = session.checkpoint()
        self.assertEqual(sorted(answer.fields["threads"].decode().split("\n")), ["thread-a", "thread-b"])
        self.assertEqual(answer.fields["native_threads"], b"0")
        self.assertEqual(answer.err, "")
        self.assertEqual(session.cell("threading.active_count()", child).value(), "1")
        session.cell("stop.set()")

    def test_hooks_that_hang_are_interrupted(self):
        session = self.session()
        session.cell("import os, time\nos.register_at_fork(before=lambda: time.sleep(60))")
        sender = session.interrupt_after(0.3)
        answer, _ = session.checkpoint()
        sender.wait()
        self.assertEqual(answer.tag, "S")
        self.assertEqual(session.cell("1").value(), "1")

    def test_dropped_checkpoints_are_reaped(self):
        session = self.session()
        children = "open(f'/proc/self/task/{__import__(\"os\").getpid()}/children').read().split()"
        for _ in range(5):
            _, child = session.checkpoint()
            child.socket.close()
        self.assertTrue(harness.wait_for(lambda: session.checkpoint() and session.cell(f"len({children}) < 8").value() == "True"))

    def test_await_after_waking(self):
        session = self.session()
        session.cell("import asyncio; await asyncio.sleep(0)")
        _, child = session.checkpoint()
        child.ask("W")
        self.assertEqual(session.cell("await asyncio.sleep(0.01, 'woken')", child).value(), "'woken'")
        self.assertEqual(session.cell("await asyncio.sleep(0.01, 'head')").value(), "'head'")

    def test_without_a_socket(self):
        session = self.session()
        self.assertEqual(session.ask("S")[:2], ("N", b"no socket came with the request"))
        self.assertEqual(session.cell("1").value(), "1")

    def test_warnings_as_errors_and_threads(self):
        session = self.session()
        session.cell("import warnings, threading, time; warnings.simplefilter('error')\n"
                     "threading.Thread(target=time.sleep, args=(1,), daemon=True).start()")
        answer, child = session.checkpoint()
        self.assertEqual((answer.tag, session.cell("warnings.filters[0][0]", child).value()), ("S", "'error'"))


if __name__ == "__main__":
    unittest.main()
