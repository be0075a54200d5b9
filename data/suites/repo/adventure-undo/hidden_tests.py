"""Games and their answers."""


def play(*commands):
    return call("adventure.game:play", list(commands))


def test_a_step_and_its_number_are_undone():
    assert play("go north", "undo", "look", "score") == [
        "You are in the garden.", "Undone: go north",
        "hall: exits north, up, down; here is lamp, key.", "0 steps, 0 points."]


def test_the_order_of_things_comes_back():
    said = play("go north", "take rose", "undo", "look", "bag")
    assert said[3:] == ["garden: exits south; here is rose, spade, pear.", "You carry nothing."]
    said = play("take lamp", "take key", "drop lamp", "undo", "bag", "look", "score")
    assert said[3:] == ["Undone: drop lamp", "You carry lamp, key.",
                        "hall: exits north, up, down; here is nothing.", "2 steps, 0 points."]


def test_back_to_the_beginning():
    said = play("take key", "go up", "drop key", "undo", "undo", "undo", "undo", "undo", "look", "score")
    assert said[3:] == ["Undone: drop key", "Undone: go up", "Undone: take key", "Nothing to undo.", "Nothing to undo.",
                        "hall: exits north, up, down; here is lamp, key.", "0 steps, 0 points."]


def test_only_steps_are_undone():
    said = play("take key", "look", "go west", "drop crown", "light", "dance", "score", "bag", "undo", "bag")
    assert said[8:] == ["Undone: take key", "You carry nothing."]
    assert play("look", "go west", "undo") == ["hall: exits north, up, down; here is lamp, key.", "There is no way.",
                                               "Nothing to undo."]


def test_the_command_is_shown_as_it_was_understood():
    assert play("  TAKE \t Key ", "UNDO ", "undo now")[1:] == ["Undone: take key", "What?"]


def test_the_lamp():
    said = play("take lamp", "light", "go down", "look", "undo", "undo", "light", "go down", "take crown", "undo", "look")
    assert said[3:] == ["cellar: exits up; here is crown.", "Undone: go down", "Undone: light", "The lamp burns.",
                        "You are in the cellar.", "You take the crown.", "Undone: take crown",
                        "cellar: exits up; here is crown."]
    assert play("take lamp", "light", "undo", "go down", "look")[-1] == "It is too dark to see."


def test_undo_between_new_steps():
    said = play("take lamp", "undo", "take key", "take lamp", "undo", "undo", "undo", "score")
    assert said[4:] == ["Undone: take lamp", "Undone: take key", "Nothing to undo.", "0 steps, 0 points."]


def test_games_do_not_share_what_they_remember():
    assert play("take lamp") == ["You take the lamp."]
    assert play("undo", "look") == ["Nothing to undo.", "hall: exits north, up, down; here is lamp, key."]


def test_at_the_terminal():
    code, out, errors = run(["python", "-m", "adventure"], stdin="go up\nscore\nundo\nscore\n")
    assert code == 0, errors
    assert out.splitlines() == ["You are in the tower.", "1 steps, 0 points.", "Undone: go up", "0 steps, 0 points."]
