#!/usr/bin/env python3
"""What bench/action_formats.py says of runs that are not there: nothing is trained or measured here."""

import sys
import tempfile
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import action_formats
from action_formats import FORMS, REASONS, failures, told


class Told(unittest.TestCase):
    def test_every_reason_is_counted(self):
        reasons = [f"reason {index}" for index in range(REASONS + 2)]
        unsolved = {reason: {"is_solved": False, "failure": reason} for reason in reasons}
        solved = {"solved": {"is_solved": True, "failure": None}}
        lines = failures({form: unsolved | solved for form in FORMS})
        self.assertEqual(len(lines), 2 + REASONS + 1)
        self.assertEqual(lines[-1], "| 2 others | 2 | 2 | 2 |")
        few = failures({form: {"first": unsolved["reason 0"]} for form in FORMS})
        self.assertEqual(few[2:], ["| reason 0 | 1 | 1 | 1 |"])

    def test_a_time_is_told_of_what_was_done_here_as_a_whole(self):
        minutes = {"code": 0.04, "json": None}
        self.assertEqual([told(minutes, form) for form in FORMS], ["0.0", "resumed", "–"])

    def test_the_model_is_that_of_the_run(self):
        with tempfile.TemporaryDirectory() as folder:
            runs = Path(folder)
            (runs / "code").mkdir()
            (runs / "code/config.toml").write_text('[model]\nname = "another"\n')
            self.assertEqual(action_formats.model("code", runs), "another")


if __name__ == "__main__":
    unittest.main()
