"""Tasks of codeact as a Gymnasium-style environment, over HTTP. Standard library only.

    codeact-serve env --suites data/quickstart/heldout.jsonl     # prints: listening on http://127.0.0.1:8090
    python3 docs/examples/gym_env.py http://127.0.0.1:8090

An action is Python, run in a fresh sandbox for each episode; an observation is what came of it, as a model would see
it. An action that is `<solution>..</solution>` ends the episode: the grader of the task gives the reward, 1 or 0."""

import contextlib
import json
import random
import re
import sys
import urllib.error
import urllib.request

SOLUTION = re.compile(r"<solution>(.*?)</solution>", re.DOTALL)


class CodeActEnv:
    """`reset` and `step` as Gymnasium has them: an instance is one environment, with one episode after the other."""

    def __init__(self, url, key=None, timeout=120.0):
        self.url, self.key, self.timeout = url.rstrip("/"), key, timeout
        self.env = None
        self.random = random.Random()

    def reset(self, *, seed=None, options=None):
        """Begins an episode: the task `options["task"]` (its id, or `SUITE/ID`) or `options["index"]`, or else one that is
        drawn: by `seed`, from which all later draws follow, or the next. Returns the user's words, and what there is to
        know of the task."""
        if seed is not None:
            self.random.seed(seed)
        chosen = {key: (options or {})[key] for key in ("task", "index") if key in (options or {})}
        body = chosen or {"seed": self.random.getrandbits(32)}
        try:
            answer = self._ask("POST", "/env/reset", body | ({"env": self.env} if self.env else {}))
        except LookupError:  # It was not used for so long that the server has closed it.
            answer = self._ask("POST", "/env/reset", body)
        self.env = answer.pop("env")
        return answer.pop("observation"), answer

    def step(self, action):
        """Returns (observation, reward, terminated, truncated, info)."""
        solution = SOLUTION.search(action)
        if solution:
            answer = self._ask("POST", "/env/submit", {"env": self.env, "solution": solution[1]})
        else:
            answer = self._ask("POST", "/env/step", {"env": self.env, "action": action})
        info = answer["info"]
        is_truncated = info["is_truncated"]
        return answer["observation"], answer["reward"], answer["done"] and not is_truncated, is_truncated, info

    def tasks(self):
        """All tasks, without what solves them."""
        return self._ask("GET", "/env/tasks")["tasks"]

    def close(self):
        env, self.env = self.env, None
        if env is not None:
            with contextlib.suppress(LookupError):
                self._ask("DELETE", f"/env/{env}")

    def _ask(self, method, path, body=None):
        headers = {"Content-Type": "application/json"}
        if self.key:
            headers["Authorization"] = f"Bearer {self.key}"
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=self.timeout) as response:
                return json.load(response)
        except urllib.error.HTTPError as error:
            message = json.load(error)["error"]["message"]
            kind = LookupError if error.code == 404 else RuntimeError
            raise kind(f"{method} {path}: {error.code}: {message}") from None


def main():
    env = CodeActEnv(sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8090")
    observation, info = env.reset(seed=0)
    print(f"{info['task']['suite']}/{info['task']['id']}: {observation}\n{info['tools']}")
    print("an action is Python, or <solution>..</solution>; end it with an empty line")
    terminated = truncated = False
    while not (terminated or truncated):
        lines = iter(lambda: sys.stdin.readline().rstrip("\n"), "")
        observation, reward, terminated, truncated, info = env.step("\n".join(lines))
        print(observation)
    print(f"reward {reward}", info["reason"] or "")
    env.close()


if __name__ == "__main__":
    main()
