"""numpy, pandas and matplotlib in the zygote and in cells; skipped with a line where they are not installed."""
import unittest

import harness

PNG = b"\x89PNG\r\n\x1a\n"


def need(*names):
    if not harness.has_modules(*names):
        harness.skip(f"{', '.join(names)} not installed for {harness.PYTHON}")


class Numbers(harness.Case):
    imports = ("numpy", "pandas")

    @classmethod
    def setUpClass(cls):
        need(*cls.imports)
        super().setUpClass()

    def test_shown_as_text_and_html(self):
        session = self.session()
        self.assertEqual(session.cell("import numpy as np, pandas as pd\nnp.arange(3)").fields,
                         {"value/text/plain": b"array([0, 1, 2])"})
        answer = session.cell("pd.DataFrame({'a': [1, 2]})")
        self.assertEqual(answer.value(), "   a\n0  1\n1  2")
        self.assertIn("<table", answer.value("text/html"))

    def test_library_frames_are_cut(self):
        text = self.session().cell("import pandas as pd\npd.DataFrame({'a': [1]})['b']").traceback()
        self.assertTrue(text.endswith("    pd.DataFrame({'a': [1]})['b']\nKeyError: 'b'"), text)

    def test_sessions_do_not_share_random_numbers(self):
        code = "import numpy; numpy.random.rand()"
        self.assertNotEqual(self.session().cell(code).value(), self.session().cell(code).value())

    def test_checkpoint_after_threads_of_a_library(self):
        session = self.session()
        code = "import numpy as np\na = np.random.rand(400, 400); b = a @ a; np.allclose(b, a.dot(a))"
        self.assertEqual(session.cell(code).value(), "True")
        answer, child = session.checkpoint()
        self.assertEqual((answer.tag, answer.fields["threads"]), ("S", b""))
        for head in (child, session):
            self.assertEqual(session.cell("np.allclose(a @ a, b)", head).value(), "True")

    def test_tools_take_numpy_values(self):
        session = self.session()
        session.ask("D", harness.encode([("tool", "f"), ("signature", "(x)")]))
        seen = []

        def answer(fields):
            seen.append(fields["arguments"])
            return [("id", fields["id"]), ("value", "null")]
        session.tools = answer
        self.assertEqual(session.cell("import numpy as np; f({'a': np.float32(1.5), 'b': np.eye(2, dtype=int)})").tag, "F")
        self.assertEqual(seen, [b'{"x": {"a": 1.5, "b": [[1, 0], [0, 1]]}}'])


class Figures(harness.Case):
    imports = ("matplotlib.pyplot",)

    @classmethod
    def setUpClass(cls):
        need(*cls.imports)
        super().setUpClass()

    def test_open_figures_are_sent(self):
        session = self.session()
        answer = session.cell("import matplotlib.pyplot as plt\nplt.plot([1, 2]);")
        self.assertEqual([parts["text/plain"] for parts in answer.displays], [b"<Figure size 640x480 with 1 Axes>"])
        self.assertTrue(answer.displays[0]["image/png"].startswith(PNG))
        self.assertEqual(session.cell("plt.get_fignums()").value(), "[]")
        self.assertEqual(session.cell("1").displays, [])

    def test_show_sends_once_and_in_order(self):
        code = "import matplotlib.pyplot as plt\nplt.plot([1]); plt.show()\nplt.figure(); plt.plot([2]); plt.show()\ndisplay('end')"
        answer = self.session().cell(code)
        self.assertEqual([set(parts) for parts in answer.displays],
                         [{"text/plain", "image/png"}, {"text/plain", "image/png"}, {"text/plain"}])

    def test_a_figure_as_value_is_not_sent_twice(self):
        answer = self.session().cell("import matplotlib.pyplot as plt\nfig, ax = plt.subplots()\nfig")
        self.assertTrue(answer.value("image/png").startswith(PNG))
        self.assertEqual(answer.displays, [])

    def test_other_backends_and_errors(self):
        session = self.session()
        answer = session.cell("import matplotlib; matplotlib.use('Agg')\nimport matplotlib.pyplot as plt\nplt.plot([1]); 1/0")
        self.assertEqual((answer.name(), len(answer.displays)), ("ZeroDivisionError", 1))
        answer = session.cell("plt.title('$\\\\nonsense{$');")
        self.assertIn(b"could not be drawn", answer.displays[0]["text/plain"])
        self.assertEqual(session.cell("plt.plot([1]);").displays[0]["image/png"][:8], PNG)

    def test_bounds(self):
        session = self.session()
        answer = session.cell("import matplotlib.pyplot as plt\nfor i in range(23): plt.figure(figsize=(1, 1))")
        self.assertEqual(len(answer.displays), 21)
        self.assertEqual(answer.displays[-1], {"text/plain": b"[3 more figures not shown: at most 20 per cell]"})
        answer = session.cell("plt.figure(figsize=(400, 300)); plt.plot([1]);")
        width, height = (int.from_bytes(answer.displays[0]["image/png"][start:start + 4], "big") for start in (16, 20))
        self.assertTrue(width * height <= 40_000_000, (width, height))
        answer = session.cell("plt.figure(figsize=(10**5, 10**5));")
        self.assertIn(b"too large to show", answer.displays[0]["text/plain"])
        code = "import numpy as np\nplt.figure(figsize=(40, 40)); plt.imshow(np.random.rand(4000, 4000, 3), interpolation='none');"
        self.assertIn(b"not shown: its PNG has", session.cell(code).displays[0]["text/plain"])

    def test_children_find_a_backend(self):
        code = "import subprocess, sys\nsubprocess.run([sys.executable, '-c', 'import matplotlib.pyplot as p; p.plot([1]); " \
               "p.savefig(\"x.png\"); print(p.get_backend())'], capture_output=True, text=True).stdout"
        self.assertEqual(self.session().cell(code).value().lower(), "'agg\\n'")


class Late(harness.Case):
    def test_backend_when_imported_by_a_cell(self):
        need("matplotlib")
        answer = self.alone().cell("import matplotlib.pyplot as plt\nplt.plot([1])\nplt.show()\nplt.get_backend()")
        self.assertEqual((len(answer.displays), answer.value()), (1, "'module://codeact_backend'"), answer)


if __name__ == "__main__":
    unittest.main()
