"""In the session of a grader, where no code of a model runs: what the tests can use, and what comes of them."""


class Raised(Exception):
    """An exception in the session of what is tested: `type` is its name, `message` what it says."""

    def __init__(self, names, message):
        super().__init__(f"{names[0]}: {message}")
        self.type, self.message, self.names = names[0], message, names


class NoAnswer(Exception):
    """What is tested gave no value: it took too long, ended its process, or gave what is no plain value."""


class Workspace:
    """The files that the turn left behind, as they were when it ended. Nothing can change them any more."""

    def __init__(self, nodes, folder):
        self._nodes, self._folder = nodes, folder

    def exists(self, path):
        """Whether there is a file or a folder at `path`; a link is none. OSError where that cannot be seen."""
        name = self._name(path)
        for end in (end for end, sign in enumerate(name) if sign == "/"):
            if self._nodes.get(name[:end], {}).get("kind") == "other":
                raise OSError(f"what is below {name[:end]} cannot be seen: {self._nodes[name[:end]].get('why')}")
        return self._nodes.get(name, {}).get("kind") in ("file", "folder")

    def files(self):
        """The paths of all files, sorted."""
        return sorted(path for path, node in self._nodes.items() if node["kind"] == "file")

    def bytes(self, path):
        """The content of a file. FileNotFoundError where there is none, OSError where it cannot be read."""
        node = self._nodes.get(self._name(path))
        if node is None:
            raise FileNotFoundError(f"there is no {path} in the workspace")
        if node["kind"] != "file":
            raise OSError(f"{path} cannot be read: {node.get('why', 'it is a folder')}")
        with open(f"{self._folder}/{node['number']}", "rb") as file:
            return file.read()

    def text(self, path):
        """The same as text in UTF-8."""
        return self.bytes(path).decode("utf-8")

    @staticmethod
    def _name(path):
        parts = [part for part in str(path).split("/") if part not in ("", ".")]
        return "/".join(parts)


def answered(*request):
    """One question to the session of what is tested."""
    text = _codeact_ask(to_text(list(request)))
    try:
        kind, value = taken_apart(json.loads(text))
    except Exception as error:
        raise NoAnswer(f"it gives what is no value: {type(error).__name__}") from None
    if kind == "value":
        return value
    raise NoAnswer(value) if kind == "refused" else Raised(*value)


def taken_apart(reply):
    """What kind of reply it is, and what it holds. Whatever is malformed raises."""
    if "value" in reply:
        return "value", from_text(reply["value"])
    if "refused" in reply:
        return "refused", str(reply["refused"])
    names, message = reply["raised"], reply["message"]
    if not names or type(names) is not list or not all(type(part) is str for part in [*names, message]):
        raise ValueError("no exception")
    return "raised", (names, message)


def call(target, *args, **kwargs):
    """`target` is "module:function"; the module `solution` is the text of the solution."""
    if type(target) is not str or ":" not in target:
        raise TypeError(f'the target of a call is "module:function", and not {target!r}')
    return answered("call", target, list(args), kwargs)


def evaluate(expression):
    """The value of an expression in which the names of modules can be used."""
    return answered("evaluate", expression)


def run(argv, stdin=""):
    """Runs a program in a copy of the workspace: (exit code, stdout, stderr). `python` is the interpreter."""
    if type(argv) not in (list, tuple) or not argv or not all(type(part) is str for part in argv):
        raise TypeError(f"a program is run by a list of texts, and not by {argv!r}")
    return answered("run", list(argv), stdin)


def raises(kind, target, *args, **kwargs):
    """Asserts that a call raises an exception of this type, given by name or as the type, or of one below it."""
    name = kind if type(kind) is str else kind.__name__
    try:
        value = call(target, *args, **kwargs)
    except Raised as error:
        assert name in error.names, f"{target} raises {error}, and not {name}"
        return error
    raise AssertionError(f"{target} gives {value!r:.200}, and does not raise {name}")


def examine(code, solution, reply, transcript, nodes, folder):
    """Runs every test up to the first that fails. Gives {"broken": why}, {"failed": why} or {"passed": count}."""
    import inspect
    import linecache

    given = {"solution": solution, "reply": reply, "transcript": transcript, "workspace": Workspace(nodes, folder),
             "call": call, "evaluate": evaluate, "run": run, "raises": raises, "Raised": Raised, "NoAnswer": NoAnswer}
    space = {"__name__": "tests", **given}
    linecache.cache["<tests>"] = (len(code), None, code.splitlines(True), "<tests>")

    def why(error, name):
        line, trace = None, error.__traceback__
        while trace is not None:
            line = trace.tb_lineno if trace.tb_frame.f_code.co_filename == "<tests>" else line
            trace = trace.tb_next
        try:
            said = str(error)
        except Exception:
            said = ""
        kind = "" if isinstance(error, AssertionError) and said else type(error).__name__ + (": " if said else "")
        at = linecache.getline("<tests>", line).strip() if line else ""
        return f"{name}: {kind}{said:.1000}" + (f"\nin line {line}: {at:.300}" if line else "")

    try:
        compiled = compile(code, "<tests>", "exec", 0, True)
    except (SyntaxError, ValueError) as error:
        return {"broken": f"the tests are no Python: {error}"}
    try:
        exec(compiled, space)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        return {"failed": why(error, "the tests")}
    tests = [(name, value) for name, value in space.items() if name.startswith("test_") and inspect.isfunction(value)]
    if not tests:
        return {"broken": "there is no function `test_..`"}
    for name, test in tests:
        # A call of such a function runs nothing of it.
        is_lazy = any(is_one(test) for is_one in (
            inspect.iscoroutinefunction, inspect.isgeneratorfunction, inspect.isasyncgenfunction))
        if is_lazy or inspect.signature(test).parameters:
            return {"broken": f"`{name}` is no plain function without parameters"}
    for name, test in tests:
        try:
            test()
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            return {"failed": why(error, name)}
    return {"passed": len(tests)}
