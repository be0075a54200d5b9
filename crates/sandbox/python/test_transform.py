"""Notebook syntax into Python, as text: what is replaced, what is left alone, and that lines keep their numbers."""
import unittest

import boot
import harness

SOURCES = {name[:-3]: text.decode() for name, text in harness.sources().items()}
transform = boot.make_loader(SOURCES)("transform").transform
LINE, SYSTEM, OUTPUT = "get_ipython().run_line_magic(", "get_ipython().system(", "get_ipython().getoutput("


class Transform(unittest.TestCase):
    def test_replaced(self):
        for source, expected in [
                ("%time x = 1", LINE + "'time', 'x = 1')"),
                ("!ls -l", SYSTEM + "'ls -l')"),
                ("  !ls\n", "  " + SYSTEM + "'ls')\n"),
                ("files = !ls *.py", "files = " + OUTPUT + "'ls *.py')"),
                ("a, b = !echo 1 2", "a, b = " + OUTPUT + "'echo 1 2')"),
                ("where = %pwd", "where = " + LINE + "'pwd', '')"),
                ("!!ls", OUTPUT + "'ls')"),
                ("!echo a \\\n  b\nx = 1 1", SYSTEM + "'echo a b')\n\nx = 1 1"),
                ("len?", "get_ipython().show_help('len?')"),
                ("??a.b", "get_ipython().show_help('??a.b')"),
                ("%%bash -x\nls\n", "get_ipython().run_cell_magic('bash', '-x', 'ls\\n')"),
                ("\n\n%%time\nf(", "\n\nget_ipython().run_cell_magic('time', '', 'f(')"),
                ("if x:\n    %cd /tmp\nelse:\n    y = !pwd", "if x:\n    " + LINE + "'cd', '/tmp')\nelse:\n    y = "
                 + OUTPUT + "'pwd')"),
                ("x = '''\n%time\n'''\n%time", "x = '''\n%time\n'''\n" + LINE + "'time', '')"),
                ("x = (a\n% b)\n!ls", "x = (a\n% b)\n" + SYSTEM + "'ls')"),
                ("x = a \\\n% b\n!ls", "x = a \\\n% b\n" + SYSTEM + "'ls')"),
                ("x = 'it\\'s (' # (\n!ls", "x = 'it\\'s (' # (\n" + SYSTEM + "'ls')"),
                ("f(\"\"\"a\"b\n!no\n\"\"\")\n!yes", "f(\"\"\"a\"b\n!no\n\"\"\")\n" + SYSTEM + "'yes')"),
        ]:
            with self.subTest(source):
                self.assertEqual(transform(source), expected)

    def test_left_alone(self):
        for source in ["x != 1", "a = b % c", "a[0] != b", "print('''\n!ls\n''')", "x = [\n!ls\n]", "# !ls", "%", "?",
                       "x = '\\\n!ls'", "a == !b", "def f(:\n  pass", "lambda: ?", "x?y", "", "\n"]:
            with self.subTest(source):
                self.assertEqual(transform(source), source)

    def test_lines_keep_their_numbers(self):
        source = "a = 1\n!echo \\\n  x\n\n%time b\nc = ?\n"
        self.assertEqual(transform(source).count("\n"), source.count("\n"))
        self.assertEqual(transform(source).split("\n")[5], "c = ?")


class Fields(unittest.TestCase):
    def test_round_trip_and_garbage(self):
        fields = boot.make_loader(SOURCES)("fields")
        pairs = [("a", b""), ("a", b"\0\xff"), ("ü", "\ud800é".encode("utf-8", "backslashreplace"))]
        for decode in (fields.decode, boot.decode_fields):
            self.assertEqual(decode(fields.encode([("a", ""), ("a", b"\0\xff"), ("ü", "\ud800é")])), pairs)
            for garbage in (b"\1", b"\1\0\0\0", b"\1\0\0\0a", b"\1\0\0\0a\2\0\0\0b", b"\xff\xff\xff\xff", b"\1\0\0\0\xff\0\0\0\0"):
                with self.assertRaises(ValueError):
                    decode(garbage)


if __name__ == "__main__":
    unittest.main()
