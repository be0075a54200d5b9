"""The sessions of a grader in this process: the same code, put together and asked as `src/grade` and `src/import` do,
with a host between them that passes on nothing but texts.
"""
import ast
import contextlib
import functools
import importlib
import io
import json
import os
import shutil
import sys
import tempfile

FOLDER = os.path.dirname(os.path.abspath(__file__))
NAMES = ("values", "grader", "candidate", "asserts", "api_call", "rows")
MIME = "application/x-codeact-answer"
# The same tests are compiled for one mutant after another.
COMPILED = functools.lru_cache(maxsize=1000)(compile)


class TimeOver(KeyboardInterrupt):
    """The time of a case is over. Nothing that is tested may keep it."""


class Product:
    """The Python of graders, with one of its sources changed or none."""

    def __init__(self):
        self.texts, self.trees, self.codes = {}, {}, {}
        for name in NAMES:
            with open(os.path.join(FOLDER, name + ".py"), encoding="utf-8") as file:
                self.texts[name] = file.read()
            self.trees[name] = ast.parse(self.texts[name])
            self.codes[name] = compile(self.trees[name], f"<{name}>", "exec")

    @contextlib.contextmanager
    def changed(self, name):
        """The source is what its tree says now, while this lasts."""
        text, code = self.texts[name], self.codes[name]
        self.texts[name] = ast.unparse(self.trees[name]) + "\n"
        self.codes[name] = compile(self.trees[name], f"<{name}>", "exec")
        try:
            yield
        finally:
            self.texts[name], self.codes[name] = text, code


class Room:
    """What one case has: a folder, sessions, and no trace of them afterwards."""

    def __init__(self, product):
        self.product = product

    def __enter__(self):
        self.before = os.getcwd(), list(sys.path), set(sys.modules), tempfile.tempdir
        self.executable = sys.executable
        self.root = os.path.realpath(tempfile.mkdtemp(prefix="graders-"))
        tempfile.tempdir = self.root
        self.workspace = os.path.join(self.root, "workspace")
        os.mkdir(self.workspace)
        os.chdir(self.workspace)
        sys.path.insert(0, self.workspace)
        self.quiet = contextlib.redirect_stdout(io.StringIO())
        self.quiet.__enter__()
        return self

    def __exit__(self, *_):
        self.quiet.__exit__(None, None, None)
        sys.executable = self.executable
        folder, sys.path[:], modules, tempfile.tempdir = self.before
        os.chdir(folder)
        for name in set(sys.modules) - modules:
            if str(getattr(sys.modules[name], "__file__", None) or "").startswith(self.root):
                del sys.modules[name]
        for path in [path for path in sys.path_importer_cache if path.startswith(self.root)]:
            del sys.path_importer_cache[path]
        shutil.rmtree(self.root)

    def hurry(self):
        """Programs in Python start without what the system adds to it, which takes most of their time."""
        sys.executable = os.path.join(self.root, "python")
        with open(sys.executable, "w", encoding="utf-8") as file:
            file.write(f'#!/bin/sh\nexec "{self.executable}" -IS "$@"\n')
        os.chmod(sys.executable, 0o700)

    def session(self, *names):
        """A fresh session after `values` and these sources."""
        space = {"__name__": "session", "compile": COMPILED}
        for name in ("values", *names):
            exec(self.product.codes[name], space)
        return space

    def answer(self, space, question):
        """The text that the host finds in what a cell gives."""
        bundle = eval(question, space)._repr_mimebundle_(include=None, exclude=None)
        assert bundle["text/plain"] == "answer", bundle
        return bundle[MIME]

    def files(self, files):
        """Puts files into the workspace."""
        for path, text in files.items():
            os.makedirs(os.path.dirname(os.path.join(self.workspace, path)), exist_ok=True)
            with open(os.path.join(self.workspace, path), "wb") as file:
                file.write(text if isinstance(text, bytes) else text.encode())

    def candidate(self, source=None, files=()):
        """What answers requests in the session of what is tested. Interrupts come through it to the host."""
        self.files(dict(files))
        sys.modules.pop("solution", None)
        sys.path[:] = [self.workspace, *self.before[1]]
        space = self.session("candidate")
        space["_codeact_answer"] = space["start_candidate"](source)

        def answer(request):
            space["_request"] = json.loads(json.dumps(request))
            return self.answer(space, "_codeact_answer(_request)")

        return answer

    def asked(self, answer, *request):
        """The reply of a candidate to a request: ("value", value), ("refused", why) or ("raised", names, message)."""
        values = self.session()
        reply = json.loads(answer(values["to_text"](list(request))))
        if set(reply) == {"value"}:
            return "value", values["from_text"](reply["value"])
        if set(reply) == {"refused"}:
            return "refused", reply["refused"]
        assert set(reply) == {"raised", "message"}, reply
        return "raised", reply["raised"], reply["message"]

    def told(self, code, solution=None, files=(), nodes=None, reply="", transcript=(), host=None):
        """What the grader `tests` tells of a turn. `host` answers its questions, which is else a candidate."""
        candidate = []
        self.files(dict(files))

        def ask(request):
            assert type(request) is str, request
            if host is not None:
                return host(request)
            if not candidate:
                candidate.append(self.candidate(solution, files))
            try:
                return candidate[0](request)
            except TimeOver:
                raise
            except BaseException as error:
                return json.dumps({"refused": f"the session ends: {type(error).__name__}"})

        space = self.session("grader")
        space["_codeact_ask"] = ask
        given = {
            "code": code, "solution": solution, "reply": reply, "transcript": list(transcript), "nodes": nodes or {},
            "folder": self.workspace
        }
        space["_given"] = json.loads(json.dumps(given))
        return json.loads(self.answer(space, "Answer(json.dumps(examine(**_given)))"))

    def translated(self, *items):
        """What asserts of a benchmark become."""
        space = self.session("asserts")
        space["_items"] = json.loads(json.dumps(items))
        return json.loads(self.answer(space, "Answer(json.dumps([tests_of(item) for item in _items]))"))

    def rows(self, query, path="database"):
        """What a query gives of a database in the workspace."""
        space = self.session("rows")
        space["_path"], space["_query"] = path, query
        return self.answer(space, "Answer(rows_of(_path, _query))")

    def scan(self, files):
        """Puts files into a workspace that Python has looked into, where the clock does not tell that it is another."""
        before = os.stat(self.workspace)
        with contextlib.suppress(ImportError):
            importlib.import_module("nothing_of_this_name")
        self.files(files)
        os.utime(self.workspace, ns=(before.st_atime_ns, before.st_mtime_ns))
