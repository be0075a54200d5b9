"""Cells as in a notebook: values, output, tracebacks, await, history."""
import unittest

import harness


class Cells(harness.Case):
    def test_last_expression(self):
        session = self.session()
        for code, value in [("1 + 1", "2"), ("x = 5", None), ("x", "5"), ("x;", None), ("x ; # quiet", None), ("(x)  # ;", "5"),
                            ("(x);", None), ("None", None), ("x\ny = 1", None), ("'é'; 'ü'", "'ü'"), ("'ü' ;", None),
                            ("def f():\n  return 3\nf()", "3"), ("", None), ("# only a comment", None)]:
            with self.subTest(code):
                answer = session.cell(code)
                self.assertEqual((answer.tag, answer.value()), ("F", value), answer)

    def test_output_is_raw_and_split(self):
        answer = self.session().cell("import sys, os\nprint('out')\nprint('err', file=sys.stderr)\nos.write(1, b'raw\\n');")
        self.assertEqual((answer.out, answer.err), ("out\nraw\n", "err\n"))

    def test_values_are_remembered_within_bounds(self):
        session = self.session()
        session.cell("10")
        session.cell("20")
        self.assertEqual(session.cell("_, __").value(), "(20, 10)")
        self.assertEqual(session.cell("In[-1], type(Out).__name__").value(), "('In[-1], type(Out).__name__', 'dict')")
        session.cell("for _ in range(3): pass")
        session.cell("'not kept in _'")
        self.assertEqual(session.cell("_").value(), "2")
        for number in range(110):
            session.cell(str(number))
        self.assertEqual(session.cell("len(Out)").value(), "100")

    def test_await(self):
        session = self.session()
        session.cell("import asyncio\nlock = asyncio.Lock()")
        code = "async with lock:\n  await asyncio.sleep(0)\nresult = await asyncio.gather(*[asyncio.sleep(0, i) for i in (1, 2)])\n"
        self.assertEqual(session.cell(code + "result").value(), "[1, 2]")
        self.assertEqual(session.cell("asyncio.run(asyncio.sleep(0, 'run'))").value(), "'run'")
        self.assertEqual(session.cell("async with lock: pass\nlock.locked()").value(), "False")
        self.assertEqual(session.cell("async def f(): raise KeyError(1)\nawait f()").name(), "KeyError")

    def test_future_imports_last(self):
        session = self.session()
        session.cell("from __future__ import annotations")
        self.assertEqual(session.cell("def f(x: not_there): pass\nf.__annotations__").value(), "{'x': 'not_there'}")

    def test_no_input(self):
        session = self.session()
        for code, name in [("input('? ')", "EOFError"), ("import getpass; getpass.getpass()", "EOFError"),
                           ("import sys; sys.stdin.read() == '' or 1/0", ""), ("breakpoint()", ""),
                           ("import pdb; pdb.set_trace()", None)]:
            with self.subTest(code):
                answer = session.cell(code)
                self.assertIn(answer.tag, "FR")
                if name is not None:
                    self.assertEqual(answer.name(), name, answer)
        self.assertIn("there is no input in this sandbox", session.cell("input()").traceback())
        self.assertIn("no debugger", session.cell("breakpoint()").out)

    def test_source_is_there_for_inspect(self):
        session = self.session()
        session.cell("def f():\n    return 41")
        self.assertEqual(session.cell("import inspect; inspect.getsource(f)").value(), repr("def f():\n    return 41\n"))

    def test_pickle_and_processes_find_names_of_cells(self):
        session = self.session()
        session.cell("def double(x): return 2 * x")
        answer = session.cell("import multiprocessing\nwith multiprocessing.get_context('fork').Pool(2) as pool:\n"
                              "  r = pool.map(double, [1, 2])\nr")
        self.assertEqual(answer.value(), "[2, 4]", answer)
        self.assertEqual(session.cell("import pickle; pickle.loads(pickle.dumps(double)) is double").value(), "True")

    def test_children_do_not_hold_the_channel(self):
        session = self.session()
        code = "import os\npid = os.fork()\nif pid == 0:\n  display('from the child')\n  os._exit(7)\nos.waitpid(pid, 0)[1] >> 8"
        answer = session.cell(code)
        self.assertEqual((answer.value(), answer.displays, answer.out), ("7", [], "'from the child'\n"))
        answer = session.cell("if os.fork() == 0: import sys; print('bye'); sys.exit(5)\nos.wait()[1] >> 8")
        self.assertEqual((answer.value(), answer.out), ("5", "bye\n"))


class Tracebacks(harness.Case):
    def check(self, session, code, expected):
        with self.subTest(code):
            self.assertEqual(session.cell(code).traceback(), expected)

    def test_texts(self):
        session = self.session()
        top = "Traceback (most recent call last):\n"
        self.check(session, "x = 1\n1/0", top + '  File "<cell>", line 2\n    1/0\nZeroDivisionError: division by zero')
        self.check(session, "def f(n):\n    return n and f(n - 1) or 1/0\nf(9)", top + '  File "<cell>", line 3\n    f(9)\n'
                   + '  File "<cell>", line 2, in f\n    return n and f(n - 1) or 1/0\n' * 3
                   + "  [Previous line repeated 7 more times]\nZeroDivisionError: division by zero")
        self.check(session, "1 +", '  File "<cell>", line 1\n    1 +\n       ^\nSyntaxError: invalid syntax')
        self.check(session, "try:\n  [][1]\nexcept IndexError:\n  {}['k']", top
                   + '  File "<cell>", line 2\n    [][1]\nIndexError: list index out of range\n\nDuring handling of the above '
                   'exception, another exception occurred:\n\n' + top + '  File "<cell>", line 4\n    {}[\'k\']\nKeyError: \'k\'')
        self.check(session, "raise KeyError('a') from OSError(2, 'b')", "FileNotFoundError: [Errno 2] b\n\nThe above exception "
                   "was the direct cause of the following exception:\n\n" + top
                   + '  File "<cell>", line 1\n    raise KeyError(\'a\') from OSError(2, \'b\')\nKeyError: \'a\'')
        self.check(session, "raise ValueError('a\\nb') from None", top + '  File "<cell>", line 1\n    raise ValueError(\'a\\nb\') '
                   "from None\nValueError: a\nb")

    def test_files_of_the_workspace_and_libraries(self):
        session = self.session()
        session.cell("%%writefile mine.py\nimport json\ndef load(text):\n    return json.loads(text)\n")
        text = session.cell("import mine\nmine.load('{')").traceback()
        self.assertIn('  File "mine.py", line 3, in load\n    return json.loads(text)\njson.decoder.JSONDecodeError: ', text)
        text = session.cell("import nothing_like_this").traceback()
        self.assertEqual(text, 'Traceback (most recent call last):\n  File "<cell>", line 1\n    import nothing_like_this\n'
                         "ModuleNotFoundError: No module named 'nothing_like_this'")
        session.cell("%%writefile broken.py\nx = (\n")
        self.assertIn('  File "broken.py", line 1\n    x = (\n        ^\nSyntaxError', session.cell("import broken").traceback())

    def test_an_earlier_cell_is_named(self):
        session = self.session()
        session.cell("def f(): 1/0")
        text = session.cell("f()").traceback()
        self.assertRegex(text, r'File "<cell>", line 1\n    f\(\)\n  File "<cell \d+>", line 1, in f\n')

    def test_groups_and_notes(self):
        session = self.session()
        if session.cell("import sys; sys.version_info >= (3, 11)").value() != "True":
            harness.skip("exception groups and notes need Python 3.11")
        text = session.cell("e = ValueError('x'); e.add_note('look here')\nraise ExceptionGroup('two', [e, KeyError('k')])").traceback()
        self.assertIn("ExceptionGroup: two\n  +---- 1 of 2 ----\n  | ValueError: x\n  | look here\n  +---- 2 of 2 ----\n"
                      "  | KeyError: 'k'", text)

    def test_a_magic_line_keeps_its_line(self):
        text = self.session().cell("x = 1\n%nothing\n").traceback()
        self.assertIn('  File "<cell>", line 2\n    %nothing\nUsageError: there is no magic %nothing; known are', text)
        text = self.session().cell("!true\n\nx = = 1").traceback()
        self.assertIn('  File "<cell>", line 3\n    x = = 1\n', text)


if __name__ == "__main__":
    unittest.main()
