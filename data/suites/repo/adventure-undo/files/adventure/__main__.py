"""Plays at the terminal."""
import sys

from adventure.game import Game

game = Game()
for line in sys.stdin:
    print(game.answer(line), flush=True)
