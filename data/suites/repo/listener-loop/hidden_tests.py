"""What the bus does when its listeners change while it speaks."""
import json


def said(program):
    code, out, errors = run(["python", "-c", "import json\nfrom home.bus import Bus\nbus, done = Bus(), []\n" + program + "\nprint(json.dumps(done))\n"])
    assert code == 0, errors[-500:]
    return json.loads(out)


def test_the_rules_of_the_house():
    assert said("from home.rules import install\ninstall(bus, done)\nbus.emit('door'); bus.emit('door'); bus.emit('night')") == [
        "welcome", "light", "light", "lock"]


def test_once_ends_before_the_call():
    assert said("bus.once('x', lambda: done.append('o') or bus.emit('x'))\nbus.listen('x', lambda: done.append('l'))\nbus.emit('x')") == ["o", "l", "l"]
    assert said("stop = bus.once('x', lambda: 1)\nstop(); stop()\ndone.append(bus.emit('x'))") == [[]]
    assert said("bus.once('x', lambda v: v)\nbus.once('x', lambda v: v + 1)\ndone.append(bus.emit('x', 1)); done.append(bus.emit('x', 1))") == [[1, 2], []]


def test_who_begins_meanwhile_waits():
    program = "def grow():\n    done.append('g')\n    bus.listen('x', lambda: done.append('new'))\nbus.listen('x', grow)\nbus.emit('x')\ndone.append('-')\nbus.emit('x')"
    assert said(program) == ["g", "-", "g", "new"]


def test_who_is_taken_back_meanwhile_is_not_called():
    program = "bus.listen('x', lambda: done.append('a') or stop())\nstop = bus.listen('x', lambda: done.append('b'))\nbus.listen('x', lambda: done.append('c'))\nbus.emit('x')"
    assert said(program) == ["a", "c"]
    program = "bus.listen('x', lambda: done.append('a'))\nstop = bus.listen('x', lambda: stop() or done.append('b'))\nbus.listen('x', lambda: done.append('c'))\nbus.emit('x'); bus.emit('x')"
    assert said(program) == ["a", "b", "c", "a", "c"]


def test_the_same_listener_several_times():
    program = "f = lambda: done.append('f')\none = bus.listen('x', f)\nbus.listen('x', lambda: done.append('m'))\ntwo = bus.listen('x', f)\n"
    assert said(program + "bus.emit('x')\ntwo(); two()\ndone.append('-')\nbus.emit('x')\none()\nbus.emit('x')") == ["f", "m", "f", "-", "f", "m", "m"]
    assert said(program + "one(); one()\nbus.emit('x')") == ["m", "f"]


def test_exceptions_wait_for_the_others():
    program = ("def bad(kind):\n    def fail():\n        done.append(kind.__name__)\n        raise kind()\n    return fail\n"
               "bus.listen('x', bad(KeyError)); bus.once('x', bad(ValueError)); bus.listen('x', lambda: done.append('end'))\n"
               "try:\n    bus.emit('x')\nexcept Exception as error:\n    done.append('raised ' + type(error).__name__)\n")
    assert said(program) == ["KeyError", "ValueError", "end", "raised KeyError"]
    assert said(program + "try:\n    bus.emit('x')\nexcept Exception as error:\n    done.append('raised ' + type(error).__name__)")[4:] == [
        "KeyError", "end", "raised KeyError"]


def test_events_are_apart():
    assert said("bus.listen('x', lambda: 'x')\nbus.listen('y', lambda: 'y')\ndone += [bus.emit('x'), bus.emit('y'), bus.emit('z')]") == [["x"], ["y"], []]
