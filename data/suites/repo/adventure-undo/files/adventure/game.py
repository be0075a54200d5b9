"""Reads commands and answers them."""
from adventure import actions
from adventure.world import new_world

PLAIN = {"look": actions.look, "bag": actions.bag, "score": actions.score, "light": actions.light}
WITH_WORD = {"go": actions.go, "take": actions.take, "drop": actions.drop}


class Game:
    """One game from its beginning."""

    def __init__(self):
        self.world = new_world()

    def answer(self, command):
        """Carry out a command; gives what the player reads."""
        words = command.lower().split()
        if len(words) == 1 and words[0] in PLAIN:
            said, is_step = PLAIN[words[0]](self.world)
        elif len(words) == 2 and words[0] in WITH_WORD:
            said, is_step = WITH_WORD[words[0]](self.world, words[1])
        else:
            return "What?"
        self.world["steps"] += is_step
        return said


def play(commands):
    """The answers to a list of commands."""
    game = Game()
    return [game.answer(command) for command in commands]
