"""Each module first, the house rules by the source, and the behaviour."""
import ast
import json

PUBLIC = {"network": ["Network"], "route": ["Route", "NoRoute", "shortest"], "hut": ["Hut", "hut_named"]}
DRIVER = """
import json
import sys
import {first}
import trails.network, trails.route, trails.hut
from trails.network import Network
from trails.route import NoRoute, Route, shortest
from trails.hut import Hut, hut_named

network = Network()
for name, height in (("a", 1), ("b", 2), ("c", 3), ("d", 4)):
    network.add_hut(name, height)
network.add_trail("a", "b", 10, 5)
network.add_trail("b", "c", 10, 5)
network.add_trail("a", "c", 20, 30)


def error(function, *arguments):
    try:
        return str(function(*arguments))
    except NoRoute as error:
        return "NoRoute " + str(error)
    except Exception as error:
        return type(error).__name__


print(json.dumps([
    network.distance("a", "c"), network.distance("c", "a"), network.describe("a", "c"), network.describe("a", "d"),
    error(network.distance, "a", "d"), error(network.distance, "a", "x"), error(hut_named, {{}}, "a"), error(hut_named, network, "x"),
    type(hut_named(network, "b")) is Hut, type(shortest(network, "a", "b")) is Route,
    [getattr(sys.modules["trails." + module], name) is globals()[name] for module, names in {public} for name in names],
]))
"""
WANTED = [20, 10, "a (1 m) - b (2 m) - c (3 m): 20 min", "no way: a to d", "NoRoute a to d", "KeyError", "TypeError",
          "KeyError", True, True, [True] * 6]


def modules():
    return [path for path in workspace.files() if path.startswith("trails/") and path.endswith(".py")]


def test_each_module_can_be_first():
    for path in modules():
        first = path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        code, out, errors = run(["python", "-c", DRIVER.format(first=first, public=repr(list(PUBLIC.items())))])
        assert code == 0, f"{first}: {errors[-300:]}"
        assert json.loads(out) == WANTED, first


def test_the_house_rules():
    for path in modules():
        tree = ast.parse(workspace.text(path))
        imports = [node for node in ast.walk(tree) if isinstance(node, (ast.Import, ast.ImportFrom))]
        assert all(node in tree.body for node in imports), f"{path} imports below its top"
        names = {alias.name for node in imports for alias in node.names} | {getattr(node, "module", "") for node in imports}
        assert not {"importlib", "sys"} & names, path
        assert not any(isinstance(node, ast.Name) and node.id == "__import__" for node in ast.walk(tree)), path


def circle(edges):
    """Modules that are left when those that import no other are taken away, again and again."""
    left = dict(edges)
    while any(not (used & set(left)) for used in left.values()):
        left = {name: used for name, used in left.items() if used & set(left)}
    return sorted(left)


def test_no_circle_is_left():
    edges = {}
    names = {path.removeprefix("trails/").removesuffix(".py") for path in modules()} - {"__init__"}
    for name in names:
        used = set()
        for node in ast.walk(ast.parse(workspace.text(f"trails/{name}.py"))):
            if isinstance(node, ast.Import):
                used |= {alias.name.removeprefix("trails.").split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                module = (node.module or "").removeprefix("trails").strip(".")
                used |= {module.split(".")[0]} if module else {alias.name for alias in node.names}
        edges[name] = used & names
    assert not circle(edges), circle(edges)


def test_nothing_public_is_missing():
    for module in PUBLIC:
        assert f"trails/{module}.py" in modules(), module
