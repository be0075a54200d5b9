#!/usr/bin/env python3
"""A small OpenAI-compatible server that says what a file tells it to, for tests that need a model.

usage: python3 tests/scripted_endpoint.py [--port 0] [--scenarios FILE.json] [--delay SECONDS]

Standard library only. Prints `listening on http://127.0.0.1:PORT` and serves /v1/chat/completions (whole and streamed,
with stop strings and usage) and /v1/models (`scripted`). It keeps nothing between requests: the reply follows from the
messages alone, so that any number of conversations can run at once and a conversation can go on after a restart.

FILE.json is a list of scenarios; without it, SCENARIOS below. A scenario is an object:

    {"when": "count to (\\\\d+)",        a regular expression, searched in the user's messages, the last one first
     "replies": ["<execute>...", ...],  the n-th is the n-th answer behind that message; the last one goes on for ever
     "delay": 0.05,                     seconds before each token; without it, that of the command line
     "status": 503}                     answer with this error instead of a reply

The newest message that any scenario matches decides, and in it the match that stands last; of equals the first. What
matches nothing gets `I have no script for this.` In replies, `{{1}}` is the first group of the match, `{{last}}` the last user message (an
observation, in the middle of a turn), `{{count}}` the number of messages and `{{system}}` the system message. A token
is a word with the space behind it."""

import argparse
import json
import re
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

MODEL = "scripted"
NO_SCRIPT = "I have no script for this."
BODY_BYTES_MAX = 64 << 20

SCENARIOS = [
    {
        "when": r"(?i)plot",
        "replies": [
            "I draw a line.\n<execute>\nimport matplotlib.pyplot as plt\nplt.plot([1, 3, 2])\nplt.show()\n</execute>",
            "<solution>There it is.</solution>",
        ],
    },
    {
        "when": r"(?i)table",
        "replies": [
            "I make a table.\n<execute>\nimport pandas as pd\npd.DataFrame({'n': [1, 2, 3], 'square': [1, 4, 9]})\n"
            "</execute>",
            "<solution>Three rows.</solution>",
        ],
    },
    {
        "when": r"(?i)write (\S+) into (\S+)",
        "replies": [
            "<execute>\nopen('{{2}}', 'w').write('{{1}}')\nprint('written')\n</execute>",
            "<solution>{{2}} holds {{1}}.</solution>",
        ],
    },
    {
        "when": r"(?i)remember (\w+)",
        "replies": ["I keep it.\n<execute>\nkept = '{{1}}'\nprint(kept)\n</execute>", "<solution>{{1}}</solution>"],
    },
    {
        "when": r"(?i)what did you keep",
        "replies": ["<execute>\nprint(kept)\n</execute>", "<solution>{{last}}</solution>"],
    },
    {
        "when": r"(?i)count to (\d+)",
        "replies": [
            "I count.\n<execute>\nfor number in range(1, {{1}} + 1):\n    print(number)\n</execute>",
            "<solution>{{1}}</solution>",
        ],
    },
    {
        "when": r"(?i)wait (\d+)",
        "replies": [
            "<execute>\nimport time\nfor second in range({{1}}):\n    print(second, flush=True)\n    time.sleep(1)\n"
            "</execute>",
            "<solution>Waited.</solution>",
        ],
    },
    {
        "when": r"(?i)divide by zero",
        "replies": ["<execute>\n1 / 0\n</execute>", "<solution>It cannot be done.</solution>"],
    },
    {"when": r"(?i)tell a long story", "replies": ["once upon a time " * 400], "delay": 0.02},
    {"when": r"(?i)fail with (\d{3})", "replies": [""], "status": 503},
    {"when": r"(?i)hello", "replies": ["Hello. What shall I do?"]},
]


def chosen(scenarios, messages):
    """The scenario that these messages ask for, its reply, and the seconds before each token (None: the default)."""
    users = [(index, message["content"]) for index, message in enumerate(messages) if message["role"] == "user"]
    for index, content in reversed(users):
        found = [(list(re.finditer(scenario["when"], content)), scenario) for scenario in scenarios]
        found = [(matches[-1], scenario) for matches, scenario in found if matches]
        if found:
            # What an interrupted turn was asked stands in the same message, before what is asked now.
            match, scenario = max(found, key=lambda pair: pair[0].start())
            answered = sum(message["role"] == "assistant" for message in messages[index:])
            reply = scenario["replies"][min(answered, len(scenario["replies"]) - 1)]
            first = messages[0]
            words = {
                "last": users[-1][1],
                "count": str(len(messages)),
                "system": first["content"] if first["role"] == "system" else "",
            }
            words |= {str(number): group or "" for number, group in enumerate(match.groups(), 1)}
            reply = re.sub(r"\{\{(\w+)\}\}", lambda found: words.get(found[1], found[0]), reply)
            return scenario, reply
    return {}, NO_SCRIPT


def tokens(text):
    return re.findall(r"\S+\s?|\s+", text)


def stopped(text, stops):
    """The text before the first of the stop strings, which is left out as OpenAI's API leaves it out."""
    found = [text.find(stop) for stop in stops]
    ends = [place for place in found if place >= 0]
    return text[: min(ends)] if ends else text


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, status, body):
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def refuse(self, status, message):
        self.answer(status, {"error": {"message": message, "type": "scripted", "param": None, "code": None}})

    def do_GET(self):
        if self.path == "/v1/models":
            card = {"id": MODEL, "object": "model", "created": 0, "owned_by": "tests"}
            return self.answer(200, {"object": "list", "data": [card]})
        return self.refuse(404, "there is no such path")

    def do_POST(self):
        length = int(self.headers.get("Content-Length", 0))
        if length > BODY_BYTES_MAX:
            self.close_connection = True
            return self.refuse(413, "too large")
        body = json.loads(self.rfile.read(length) or b"{}")
        if self.path != "/v1/chat/completions":
            return self.refuse(404, "there is no such path")
        scenario, reply = chosen(self.server.scenarios, body["messages"])
        if "status" in scenario:
            return self.refuse(scenario["status"], "the script says so")
        stops = body.get("stop") or []
        whole = tokens(reply)
        most = body.get("max_tokens") or body.get("max_completion_tokens") or len(whole)
        said = stopped("".join(whole[:most]), [stops] if isinstance(stops, str) else stops)
        finish = "length" if most < len(whole) else "stop"
        prompt = sum(len(tokens(message["content"])) for message in body["messages"])
        usage = {"prompt_tokens": prompt, "completion_tokens": len(tokens(said))}
        usage["total_tokens"] = sum(usage.values())
        delay = scenario.get("delay", self.server.delay)
        head = {"id": "scripted", "created": int(time.time()), "model": MODEL}
        if body.get("stream"):
            return self.stream(head, said, finish, usage, delay, body.get("stream_options") or {})
        time.sleep(delay * len(tokens(said)))
        choice = {"index": 0, "message": {"role": "assistant", "content": said}, "finish_reason": finish}
        return self.answer(200, head | {"object": "chat.completion", "choices": [choice], "usage": usage})

    def stream(self, head, said, finish, usage, delay, options):
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        head = head | {"object": "chat.completion.chunk"}
        try:
            self.chunk(head | {"choices": [{"index": 0, "delta": {"role": "assistant"}, "finish_reason": None}]})
            for token in tokens(said):
                time.sleep(delay)
                self.chunk(head | {"choices": [{"index": 0, "delta": {"content": token}, "finish_reason": None}]})
            self.chunk(head | {"choices": [{"index": 0, "delta": {}, "finish_reason": finish}]})
            if options.get("include_usage"):
                self.chunk(head | {"choices": [], "usage": usage})
            self.piece(b"data: [DONE]\n\n")
            self.wfile.write(b"0\r\n\r\n")
        except OSError:
            self.close_connection = True  # the reader has left

    def chunk(self, body):
        self.piece(f"data: {json.dumps(body)}\n\n".encode())

    def piece(self, data):
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        self.wfile.flush()


class Endpoint(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def __init__(self, port, scenarios, delay=0.0):
        super().__init__(("127.0.0.1", port), Handler)
        # Compiled here: of more than 512 expressions `re` forgets some, and compiles them again for each request.
        self.scenarios = [{**scenario, "when": re.compile(scenario["when"])} for scenario in scenarios]
        self.delay = delay

    def handle_error(self, request, client_address):
        """Clients that leave are no news; everything else is."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--scenarios", type=Path)
    parser.add_argument("--delay", type=float, default=0.0)
    options = parser.parse_args()
    scenarios = json.loads(options.scenarios.read_text()) if options.scenarios else SCENARIOS
    server = Endpoint(options.port, scenarios, options.delay)
    print(f"listening on http://127.0.0.1:{server.server_address[1]}", flush=True)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
