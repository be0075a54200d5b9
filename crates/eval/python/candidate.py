"""In the session of what a model left behind: answers what a grader asks. Code of the model runs beside it, so what is
answered is taken for a claim.
"""


def start_candidate(source):
    """Puts `source`, the text of the solution, where it can be imported, and gives what answers."""
    import ast
    import asyncio
    import builtins
    import importlib
    import inspect
    import os
    import subprocess
    import sys
    import tempfile

    if source is not None:
        folder = tempfile.mkdtemp()
        with open(os.path.join(folder, "solution.py"), "w", encoding="utf-8") as file:
            file.write(source)
        sys.path.insert(0, folder)
    importlib.invalidate_caches()

    class NotThere(Exception):
        """Why there is nothing to be called: none of what it would raise."""

    def found(target):
        module, _, names = target.partition(":")
        try:
            function = importlib.import_module(module)
            for name in names.split("."):
                function = getattr(function, name)
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            try:
                why = f"{type(error).__name__}: {error}"
            except Exception:
                why = type(error).__name__
            raise NotThere(f"{target} is not there: {why[:1000]}") from None
        return function

    def call(target, args, keywords):
        function = found(target)
        result = function(*args, **keywords)
        return asyncio.run(result) if inspect.iscoroutine(result) else result

    def modules_of(tree):
        """The names of an expression that could be modules: `a` and `a.b` of `a.b.c(1)`."""
        for node in ast.walk(tree):
            parts = []
            while isinstance(node, ast.Attribute):
                parts.append(node.attr)
                node = node.value
            if isinstance(node, ast.Name) and not hasattr(builtins, node.id):
                names = [node.id, *reversed(parts)]
                yield from (".".join(names[:count]) for count in range(1, len(names) + 1))

    def evaluate(expression):
        tree = ast.parse(expression.strip(), "<expression>", "eval")
        space = {"__name__": "expression"}
        for name in dict.fromkeys(modules_of(tree)):
            first = name.partition(".")[0]
            try:
                importlib.import_module(name)
                space[first] = sys.modules[first]
            except ModuleNotFoundError as error:
                if error.name is None or not (name + ".").startswith(error.name + "."):
                    raise
        return eval(compile(tree, "<expression>", "eval"), space)

    def run(argv, stdin):
        program = sys.executable if argv[0] in ("python", "python3") else argv[0]
        given = stdin if isinstance(stdin, bytes) else stdin.encode()
        done = subprocess.run([program, *argv[1:]], input=given, capture_output=True)
        return done.returncode, done.stdout.decode("utf-8", "replace"), done.stderr.decode("utf-8", "replace")

    def answer(request):
        what, *arguments = from_text(request)
        try:
            value = {"call": call, "evaluate": evaluate, "run": run}[what](*arguments)
        except KeyboardInterrupt:
            raise               # the time is over
        except NotThere as error:
            return Answer(json.dumps({"refused": str(error)}))
        except BaseException as error:
            return told(error)
        try:
            return Answer(json.dumps({"value": to_text(value)}))
        except KeyboardInterrupt:
            raise
        except CannotCross as error:
            return Answer(json.dumps({"refused": f"it gives {error}"}))
        except BaseException as error:
            return Answer(json.dumps({"refused": f"it gives a value that fails with {type(error).__name__}"}))

    def told(error):
        try:
            message = str(error)[:10_000]
        except Exception:
            message = ""
        names = [kind.__name__ for kind in type(error).__mro__]
        return Answer(json.dumps({"raised": names, "message": message}))

    return answer
