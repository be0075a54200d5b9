"""Code compiled without being run."""
import unittest

import harness


class Check(harness.Case):
    def check(self, session, code):
        tag, payload, _ = session.ask("K", code.encode("utf-8", "surrogatepass"))
        return harness.Answer(tag, payload, [], session.drain(session.out), session.drain(session.err))

    def test_python_and_magics_pass_and_leave_no_trace(self):
        session = self.session()
        before = int(session.cell("len(In)").value())
        for code in ["", "x = 1", "await f()", "!ls\n%pip list", "%%bash\nls (", "print(1);", "from __future__ import annotations",
                     "'\\d'", "assert (1, 'x')", "1 is 1"]:
            with self.subTest(code):
                answer = self.check(session, code)
                self.assertEqual((answer.tag, answer.out, answer.err), ("F", "", ""), answer)
        self.assertEqual(session.cell("def f(x: int): pass\nf.__annotations__['x'] is int").value(), "True")
        self.assertEqual(session.cell("'x' in globals(), len(In)").value(), f"(False, {before + 2})")

    def test_what_is_no_python_is_told_as_when_it_runs(self):
        session = self.session()
        for code in ["x = (", "return 1", "break", "def f():\nx", "\tx\n  y", "print 'x'", "nonlocal x", "await = 1", "a b",
                     "x = 1\n\0"]:
            with self.subTest(code):
                answer = self.check(session, code)
                self.assertEqual(answer.tag, "R")
                self.assertEqual(answer.name(), session.cell(code).name())

    def test_what_compiling_cannot_bear_is_left_to_the_cell(self):
        session = self.session()
        for code in ["(" * 5000 + ")" * 5000, "-" * 200_000 + "1", "x" * (1 << 20)]:
            self.assertIn(self.check(session, code).tag, "FR")
        self.assertEqual(session.cell("1").value(), "1")

    def test_a_cell_cannot_make_it_say_anything_or_stay(self):
        session = self.session()
        session.cell("""
import builtins, sys, warnings
warnings.filters[:] = [("error", None, Warning, None, 0)]
warnings.showwarning = lambda *args, **more: print("shown")
builtins.compile = builtins.SyntaxError = None
sys.addaudithook(lambda event, args: print(event) if event == "compile" else None)
""")
        answer = self.check(session, "'\\d'")
        self.assertEqual((answer.tag, answer.out, answer.err), ("F", "", ""))
        self.assertEqual(self.check(session, "x = (").name(), "SyntaxError")
        session.cell("import warnings; warnings.filters = None")
        self.assertIn(self.check(session, "x = (").tag, "FR")
        self.assertEqual(session.cell("2").value(), "2")


if __name__ == "__main__":
    unittest.main()
