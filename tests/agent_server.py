"""codeact-serve in front of a scripted model, for the tests that are written in Python.

    with Server(scenarios) as server: ...server.url, server.key

Standard library only. Runs target/release/codeact-serve (or $CODEACT_SERVE) on a free port, with keys and a state
folder of its own, and tests/scripted_endpoint.py in this process."""

import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import urllib.error
import urllib.request
from pathlib import Path

from scripted_endpoint import SCENARIOS, Endpoint

REPOSITORY = Path(__file__).resolve().parent.parent
PROGRAM = Path(os.environ.get("CODEACT_SERVE", REPOSITORY / "target/release/codeact-serve"))
KEY = "a-key-for-the-tests-of-agents"


class Server:
    """The program, until the block ends. `settings`: a settings file; `options`: of the command line; `model`: a folder,
    in the place of the scripted model."""

    def __init__(self, scenarios=None, settings="", options=(), delay=0.0, model=None):
        if not PROGRAM.exists():
            sys.exit(f"there is no {PROGRAM}: cargo build --release --package codeact-serve")
        self.scenarios, self.settings, self.options, self.delay = scenarios or SCENARIOS, settings, options, delay
        self.key, self.model = KEY, model

    def __enter__(self):
        self.folder = tempfile.TemporaryDirectory()
        self.endpoint = Endpoint(0, self.scenarios, self.delay)
        threading.Thread(target=self.endpoint.serve_forever, daemon=True).start()
        Path(self.folder.name, "keys.txt").write_text(KEY + "\n")
        Path(self.folder.name, "serve.toml").write_text(self.settings)
        self.start()
        return self

    def start(self, port=0):
        folder = Path(self.folder.name)
        endpoint = ["--endpoint", f"http://127.0.0.1:{self.endpoint.server_address[1]}/v1"]
        command = [PROGRAM, *(["--model", self.model] if self.model else endpoint), "--port", port]
        command += ["--api-keys", folder / "keys.txt", "--config", folder / "serve.toml"]
        command += ["--state-dir", folder / "state", *self.options]
        self.log = []
        self.process = subprocess.Popen([str(part) for part in command], stderr=subprocess.PIPE, text=True)
        for line in self.process.stderr:
            if found := re.fullmatch(r"listening on (http://\S+)\n", line):
                self.url = found[1]
                # Whoever writes much and is not read comes to a stop.
                threading.Thread(target=self.drain, args=[self.process.stderr], daemon=True).start()
                return
            self.log.append(line)
        sys.exit("the server did not start:\n" + "".join(self.log))

    def drain(self, lines):
        for line in lines:
            # Only what is no record of a request.
            if not line.startswith('{"time"'):
                self.log.append(line)

    def kill(self):
        self.process.kill()
        self.process.wait(60)

    def ask(self, method, path, body=None, key=KEY):
        """Status and JSON of an answer, or its text."""
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, {"Content-Type": "application/json"}, method=method)
        if key:
            request.add_header("Authorization", f"Bearer {key}")
        try:
            with urllib.request.urlopen(request, timeout=120) as answer:
                status, content = answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            status, content = error.code, error.read().decode()
        try:
            return status, json.loads(content)
        except ValueError:
            return status, content

    def __exit__(self, *_):
        self.process.terminate()
        code = self.process.wait(60)
        self.endpoint.shutdown()
        self.folder.cleanup()
        if code:
            sys.exit(f"the server ended with {code}\n" + "".join(self.log))
