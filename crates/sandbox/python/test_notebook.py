"""Magics, shell commands, display and the stand-in for IPython."""
import os
import tempfile
import unittest

import harness

NO_IPYTHON = "from importlib.machinery import PathFinder\nold = PathFinder.find_spec\n" \
             "PathFinder.find_spec = classmethod(lambda c, n, *a: None if n.startswith('IPython') else old(n, *a))"


class Magics(harness.Case):
    def test_shell(self):
        session = self.session()
        for code, out in [("name = 'there'\n!echo hello $name {name.upper()} ${HOME} $$HOME", "hello there THERE /tmp /tmp\n"),
                          ("!printf 'a b\\n' | awk '{print $2}'", "b\n"), ("!exit 3\nprint(_exit_code)", "3\n"),
                          ("def f(n):\n    !echo got $n\nf(8)", "got 8\n"), ("lines = !printf 'a\\nb\\n'\nprint(lines, lines.n)",
                                                                         "['a', 'b'] a\nb\n"),
                          ("for i in range(2):\n    !echo {i}", "0\n1\n"), ("!cat", ""), ("%%bash\nX=1\necho $X {y}", "1 {y}\n"),
                          ("%%sh\necho sh", "sh\n"), ("%ls /dev/null", "/dev/null\n"), ("!echo -n", "")]:
            with self.subTest(code):
                answer = session.cell(code)
                self.assertEqual((answer.tag, answer.out), ("F", out), answer)
        self.assertEqual(session.cell("%%bash\nexit 4").name(), "UsageError")

    def test_files_and_folders(self):
        session = self.session()
        self.assertEqual(session.cell("%%writefile a.py\nx = 5\nprint('ran', __name__)\n").out, "Writing a.py\n")
        self.assertEqual(session.cell("%%writefile -a a.py\ny = x + 1").out, "Appending to a.py\n")
        self.assertEqual(session.cell("%run a.py").out, "ran __main__\n")
        self.assertEqual(session.cell("x, y").value(), "(5, 6)")
        session.cell("!mkdir -p below")
        self.assertEqual(session.cell("%cd below").out, session.directory + "/below\n")
        self.assertEqual(session.cell("%pwd").value(), repr(session.directory + "/below"))
        session.cell("%env SOME=thing")
        self.assertEqual(session.cell("!echo $SOME").out, "thing\n")
        self.assertEqual(session.cell("%env SOME").value(), "'thing'")

    def test_looking(self):
        session = self.session()
        session.cell("count, text = 3, 'abc'\ndef double(n: int = 2) -> int:\n    'Twice n.'\n    return 2 * n")
        self.assertEqual(session.cell("%who").out, "count  double  text\n")
        self.assertIn("count     int       3\n", session.cell("%whos").out)
        self.assertEqual(session.cell("double?").out,
                         "Signature: double(n: int = 2) -> int\nType: function\nDocumentation:\nTwice n.\n")
        self.assertIn("return 2 * n", session.cell("double??").out)
        self.assertIn("Type: ", session.cell("?text.upper").out)
        self.assertIn("not found", session.cell("?nothing.at.all").out)

    def test_timing(self):
        session = self.session()
        answer = session.cell("%%time\nz = 3\nz + 1")
        self.assertEqual(answer.value(), "4")
        self.assertRegex(answer.out, "^CPU time: .*, wall time: .*\n$")
        self.assertEqual(session.cell("%time z").value(), "3")
        self.assertRegex(session.cell("%timeit -n 10 -r 2 z + 1").out, "per loop .*2 runs, 10 loops each")
        self.assertRegex(session.cell("%%timeit -n1 -r1\nfor i in range(3):\n    z").out, "1 runs, 1 loops each")

    def test_accepted_and_unknown(self):
        session = self.session()
        for code in ("%matplotlib inline", "%load_ext autoreload", "%autoreload 2", "%config X.y = 1"):
            self.assertIn("changes nothing here", session.cell(code).out)
        for code in ("%nothing", "%%nothing\nx", "%%", "%bash", "a = 1\n%%time\nx"):
            self.assertEqual(session.cell(code).tag, "R", code)

    def test_installing_without_a_network(self):
        session = self.session()
        for code in ("%pip install x", "!pip install x", "!pip3 -q install x", "!python -m pip install x", "%conda install x"):
            with self.subTest(code):
                answer = session.cell(code)
                self.assertIn("there is no network in this sandbox", answer.out)
                self.assertEqual(answer.out.count("\n"), 1)
        self.assertEqual(session.cell("!echo pip install").out, "pip install\n")

    def test_installing_with_a_network(self):
        if not harness.has_modules("pip"):
            harness.skip("pip is not installed")
        with tempfile.TemporaryDirectory() as folder:
            more = self.launcher.environment + f"\0CODEACT_NETWORK=full\0CODEACT_PACKAGES={folder}"
            session = self.session(environment=more)
            self.assertRegex(session.cell("%pip --version").out, r"^pip \d")
            self.assertEqual(session.cell("!echo $PIP_TARGET").out, folder + "\n")
            with open(folder + "/arrived.py", "w") as file:
                file.write("x = 5")
            os.chmod(folder, 0o755)
            self.assertEqual(session.cell("import arrived; arrived.x").value(), "5")

    def test_valid_python_is_never_rewritten(self):
        session = self.session()
        self.assertEqual(session.cell("ls, b = 7, 4\nx = (ls\n%b)\nx").value(), "3")
        self.assertEqual(session.cell("'''\n%pwd\n!ls\n'''").value(), repr("\n%pwd\n!ls\n"))

    def test_get_ipython(self):
        session = self.session()
        session.cell("get_ipython().run_line_magic('cd', '/')")
        self.assertEqual(session.cell("get_ipython().magic('pwd')").value(), "'/'")
        self.assertEqual(session.cell("get_ipython().system('echo x')").out, "x\n")


class Display(harness.Case):
    def test_bundle(self):
        session = self.session()
        session.cell("class Rich:\n  def _repr_html_(s): return '<b>x</b>'\n  def _repr_latex_(s): raise ValueError\n"
                     "  def _repr_png_(s): return b'\\x89PNG'\n  def _repr_json_(s): return {'a': [1]}\n"
                     "  def _repr_markdown_(s): return None\n  def __repr__(s): return 'rich'")
        answer = session.cell("Rich()")
        self.assertEqual(answer.fields, {"value/text/plain": b"rich", "value/text/html": b"<b>x</b>",
                                         "value/application/json": b'{"a": [1]}', "value/image/png": b"\x89PNG"})
        displays = session.cell("display(Rich(), 3)\nprint('after')").displays
        self.assertEqual((displays[0]["image/png"], displays[1]), (b"\x89PNG", {"text/plain": b"3"}))
        self.assertEqual(session.cell("Rich").fields.keys(), {"value/text/plain"})
        self.assertEqual(session.cell("from unittest.mock import MagicMock; MagicMock()").fields.keys(), {"value/text/plain"})
        self.assertEqual(session.cell("display({'text/html': '<i>'}, raw=True)").displays, [{"text/html": b"<i>"}])

    def test_too_much(self):
        session = self.session()
        session.cell("class Big:\n  def _repr_html_(s): return 'x' * (9 << 20)\n  def __repr__(s): return 'y' * (3 << 20)")
        answer = session.cell("Big()")
        self.assertNotIn("value/text/html", answer.fields)
        self.assertIn("characters omitted", answer.value())
        self.assertIn("[text/html of 9437184 bytes left out]", answer.value())

    def test_broken_repr_keeps_the_rest(self):
        answer = self.session().cell("class A:\n  def __repr__(s): 1/0\n  def _repr_html_(s): return '<p>'\nA()")
        self.assertEqual(answer.fields, {"value/text/plain": b"<A: repr failed with ZeroDivisionError>",
                                         "value/text/html": b"<p>"})

    def test_stand_in_for_ipython(self):
        session = self.session()
        session.cell(NO_IPYTHON)
        session.cell("from IPython.display import display as show, HTML, Markdown, Image, JSON, SVG, Latex, Math, clear_output")
        self.assertEqual(session.cell("HTML('<b>')").value("text/html"), "<b>")
        self.assertEqual(session.cell("JSON({'a': 1})").value("application/json"), '{"a": 1}')
        self.assertEqual(session.cell("Math('x')").value("text/latex"), "$\\displaystyle x$")
        session.cell("open('a.png', 'wb').write(b'\\x89PNG123')")
        self.assertEqual(session.cell("show(Image('a.png'), Markdown('# t'))").displays[0]["image/png"], b"\x89PNG123")
        self.assertEqual(session.cell("import IPython; IPython.get_ipython()").tag, "F")
        self.assertEqual(session.cell("import IPython.nothing").name(), "ModuleNotFoundError")

    def test_installed_ipython_displays_through_us(self):
        if not harness.has_modules("IPython.core.display_functions"):
            harness.skip("IPython is not installed")
        answer = self.session().cell("from IPython.display import display, HTML\ndisplay(HTML('<b>'))")
        self.assertEqual([parts.get("text/html") for parts in answer.displays], [b"<b>"], answer)


if __name__ == "__main__":
    unittest.main()
