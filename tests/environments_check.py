#!/usr/bin/env python3
"""Tasks as environments over HTTP: `docs/examples/gym_env.py` against `codeact-serve env`, and what it must refuse.

usage: python3 tests/environments_check.py, with target/release/codeact-serve built. Standard library only."""

import http.client
import json
import subprocess
import sys
import tempfile
import threading
import time
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "docs/examples"))
from gym_env import CodeActEnv  # noqa: E402

TASKS = [
    {"id": "add", "family": "f", "prompt": "How many nuts?", "setup": "nuts = 40", "answer": 42, "tags": ["easy"]},
    {
        "id": "write",
        "family": "f",
        "prompt": "Write done into out.txt.",
        "limits": {"turns": 2},
        "grader": {"kind": "state", "files": {"out.txt": {"text": "done"}}},
    },
]


class Server:
    def __init__(self, *arguments):
        self.folder = tempfile.TemporaryDirectory()
        suite = Path(self.folder.name) / "tasks.jsonl"
        suite.write_text("".join(json.dumps(task) + "\n" for task in TASKS))
        command = [ROOT / "target/release/codeact-serve", "env", "--suites", suite, "--listen", "127.0.0.1:0"]
        command += ["--preimport=", "--cell-seconds", "20", *arguments]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        for line in self.process.stderr:
            if line.startswith("listening on "):
                self.url = line.split()[-1]
                break
        # Whoever logs must not wait for a reader.
        self.reader = threading.Thread(target=self.process.stderr.read, daemon=True)
        self.reader.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(30)
        self.reader.join()
        self.process.stderr.close()
        self.folder.cleanup()

    def ask(self, method, path, body=b"", headers=None):
        connection = http.client.HTTPConnection(self.url.removeprefix("http://"), timeout=60)
        connection.request(method, path, body, {"Content-Type": "application/json"} | (headers or {}))
        try:
            response = connection.getresponse()
            return response.status, json.load(response)
        finally:
            connection.close()


class Episodes(unittest.TestCase):
    def test_solutions_and_states_are_rewarded(self):
        with Server() as server:
            env = CodeActEnv(server.url)
            self.assertEqual([task["id"] for task in env.tasks()], ["add", "write"])
            self.assertNotIn("42", json.dumps(env.tasks()))
            for solution, wanted in [("42", 1.0), ("41", 0.0)]:
                observation, info = env.reset(options={"task": "add"})
                self.assertEqual((observation, info["task"]["tags"]), ("How many nuts?", ["easy"]))
                observation, reward, terminated, truncated, info = env.step("nuts + 2")
                self.assertEqual((observation, reward, terminated, truncated), ("42", 0.0, False, False))
                _, reward, terminated, truncated, info = env.step(f"<solution>{solution}</solution>")
                self.assertEqual((reward, terminated, truncated), (wanted, True, False), info)
            env.reset(options={"index": 1})
            self.assertEqual(env.step("1 / 0")[4]["error"], "ZeroDivisionError")
            step = env.step("with open('out.txt', 'w') as file: print(file.write('done'))")
            self.assertEqual(step[1:4], (1.0, False, True))
            with self.assertRaisesRegex(RuntimeError, "409.*no episode is open"):
                env.step("1")
            drawn = [env.reset(seed=seed)[1]["task"]["index"] for seed in (3, 3, 4, 5, 6, 7)]
            self.assertTrue(drawn[0] == drawn[1] and set(drawn) == {0, 1}, drawn)
            env.reset(seed=3)
            self.assertEqual({env.reset()[1]["task"]["index"] for _ in range(20)}, {0, 1}, "without a seed it goes on")
            env.close()
            # As one that the server has closed meanwhile.
            env.env = "env-none"
            with self.assertRaisesRegex(LookupError, "404"):
                env.step("1")
            self.assertEqual(env.reset(options={"task": "add"})[0], "How many nuts?")
            env.close()
            env.env = "env-none"
            env.close()

    def test_several_act_at_once_and_apart(self):
        with Server() as server:
            environments = [CodeActEnv(server.url) for _ in range(3)]
            for number, env in enumerate(environments):
                env.reset(options={"index": 0})
                env.step(f"mine = {number}")
            self.assertEqual([env.step("mine")[0] for env in environments], ["0", "1", "2"])
            slow = threading.Thread(target=environments[0].step, args=("import time; time.sleep(3)",))
            slow.start()
            time.sleep(1)
            self.assertEqual(environments[1].step("mine")[0], "1")
            with self.assertRaisesRegex(RuntimeError, "409.*acting already"):
                environments[0].step("mine")
            slow.join()

    def test_what_is_wrong_or_too_much_is_refused(self):
        with Server("--environments", "1", "--idle-seconds", "2") as server:
            for body, status in [
                (b"{", 400),
                (b"[]", 400),
                (b"{}", 400),
                (b'{"index": 0, "seed": 1}', 400),
                (b'{"index": 2}', 400),
                (b'{"index": -1}', 400),
                (b'{"task": "nothing"}', 404),
                (b'{"index": 0, "indx": 1}', 400),
                (b'{"env": "x", "index": 0}', 404),
                (b'{"task": "' + b"x" * (5 << 20) + b'"}', 413),
            ]:
                answer = server.ask("POST", "/env/reset", body)
                self.assertEqual(answer[0], status, (body[:40], answer))
                self.assertIn("message", answer[1]["error"])
            text = {"Content-Type": "text/plain"}
            self.assertEqual(server.ask("POST", "/env/reset", b'{"index": 0}', text)[0], 415)
            self.assertEqual(server.ask("GET", "/env/reset")[0], 405)
            self.assertEqual(server.ask("GET", "/env/tasks", headers={"Host": "evil.example"})[0], 403)
            env = CodeActEnv(server.url)
            env.reset(seed=0)
            with self.assertRaisesRegex(RuntimeError, "429.*the limit"):
                CodeActEnv(server.url).reset(seed=0)
            for _ in range(100):  # until the idle one is closed
                time.sleep(0.1)
                if server.ask("POST", "/env/reset", b'{"index": 0}')[0] == 200:
                    break
            else:
                self.fail("an idle environment is never closed")

    def test_without_its_key_nobody_comes_in(self):
        with tempfile.NamedTemporaryFile("w", suffix=".keys") as keys:
            keys.write("a-key-that-is-long-enough\nanother-key-that-is-long\n")
            keys.flush()
            with Server("--api-keys", keys.name) as server:
                self.assertEqual(server.ask("GET", "/env/tasks")[0], 401)
                env = CodeActEnv(server.url, key="a-key-that-is-long-enough")
                env.reset(seed=1)
                other = CodeActEnv(server.url, key="another-key-that-is-long")
                other.env = env.env
                with self.assertRaisesRegex(LookupError, "404"):
                    other.step("1")


if __name__ == "__main__":
    unittest.main()
