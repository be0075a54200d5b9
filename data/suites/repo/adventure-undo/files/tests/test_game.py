"""Tests of the game."""
import unittest

from adventure.game import play


class GameTest(unittest.TestCase):
    def test_walking_and_taking(self):
        said = play(["take lamp", "go north", "TAKE  rose", "bag", "score"])
        self.assertEqual(said[3:], ["You carry lamp, rose.", "3 steps, 0 points."])

    def test_the_cellar_is_dark(self):
        said = play(["go down", "look", "take crown"])
        self.assertEqual(said[1:], ["It is too dark to see."] * 2)

    def test_nonsense(self):
        self.assertEqual(play(["dance", "", "go"]), ["What?"] * 3)


if __name__ == "__main__":
    unittest.main()
