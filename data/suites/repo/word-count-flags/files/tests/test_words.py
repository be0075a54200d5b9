"""Tests of the program."""
import subprocess
import sys
import unittest


def words(*arguments, text=""):
    done = subprocess.run([sys.executable, "-m", "words", *arguments], input=text.encode(), capture_output=True)
    return done.returncode, done.stdout.decode()


class WordsTest(unittest.TestCase):
    def test_a_file(self):
        self.assertEqual(words("--top", "2", "samples/song.txt"), (0, "6\tround\n4\tthe\n"))

    def test_stdin(self):
        self.assertEqual(words(text="b a B"), (0, "2\tb\n1\ta\n"))


if __name__ == "__main__":
    unittest.main()
