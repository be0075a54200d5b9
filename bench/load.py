#!/usr/bin/env python3
"""Many clients at once on codeact-serve, some of which leave early: errors, times, fairness, leaks, and whether any
answer holds what another client said.

usage: python bench/load.py --model DIR [--clients 200] [--minutes 10] [--leaving 0.1] [--seed 1] [-- SERVER OPTIONS]
       python bench/load.py --url http://127.0.0.1:8080 [...]

Standard library only. Starts target/release/codeact-serve on a free port, or asks the server at --url. Every client
goes on asking until the time is up: chat and text completions, whole and streamed, prompts from a few words to two
thousand tokens, answers from 8 to 256. Each prompt holds a secret of its client, drawn anew each time; half of the
prompts ask for it to be repeated. A secret in the answer to anybody else is what must not be. --leaving is the share of
requests that are dropped at a random moment. 429 is an answer: the client waits as it is told and asks again.

Prints one JSON object: requests by how they ended, other errors in words, seconds to the first token and to the end
(percentiles, by size), fairness (the slowest client's mean over the mean of all, and Jain's index), memory and pages
before and after, and secrets found in wrong answers. Exit code: 0 nothing wrong, 1 an error other than 429, a leak of
pages or memory, or a secret in a wrong answer."""

import argparse
import asyncio
import json
import random
import re
import statistics
import subprocess
import sys
import time
from collections import Counter, defaultdict
from pathlib import Path
from urllib.parse import urlsplit

REPOSITORY = Path(__file__).resolve().parent.parent
SERVER = REPOSITORY / "target/release/codeact-serve"
# A hex word with a mark that no text has by chance.
SECRET = re.compile(r"zq[0-9a-f]{10}")
WORDS = "the agent reads a table and prints the sum of every column before it answers with one number".split()
# Prompt words, answer tokens, and how often.
SIZES = {"short": ((5, 40), (8, 48), 6), "middle": ((80, 300), (32, 128), 3), "long": ((600, 1500), (64, 256), 1)}
# Memory that may stay: the allocator's, not the requests'.
LEAK_MIB = 64


class Refused(Exception):
    """429, with the seconds to wait."""


class Broken(Exception):
    """Anything else that should not happen."""


async def request(address, method, path, body=None, on_data=None):
    """Status, header fields and body. `on_data` gets each piece of the body as it comes."""
    reader, writer = await asyncio.open_connection(*address)
    try:
        data = b"" if body is None else json.dumps(body).encode()
        head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
        head += f"Content-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n"
        writer.write(head.encode() + data)
        await writer.drain()
        lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        status = int(lines[0].split()[1])
        fields = dict(line.lower().split(": ", 1) for line in lines[1:] if ": " in line)
        if fields.get("transfer-encoding") != "chunked":
            return status, fields, await reader.readexactly(int(fields.get("content-length", 0)))
        pieces = []
        while size := int(await reader.readuntil(b"\r\n"), 16):
            pieces.append((await reader.readexactly(size + 2))[:-2])
            if on_data:
                on_data(pieces[-1])
        return status, fields, b"".join(pieces)
    finally:
        writer.close()


class Client:
    """Asks one thing after the other."""

    def __init__(self, load, number):
        self.load, self.number = load, number
        self.random = random.Random(load.options.seed * 100_003 + number)
        self.times = []

    def draw(self):
        """A request, its size class and its secret."""
        draw = self.random
        size = draw.choices(list(SIZES), [weight for *_, weight in SIZES.values()])[0]
        words, tokens, _ = SIZES[size]
        secret = f"zq{draw.getrandbits(40):010x}"
        text = " ".join(draw.choices(WORDS, k=draw.randint(*words)))
        repeat = f"Say the word {secret} again: {secret}" if draw.random() < 0.5 else f"Note {secret}."
        body = {"max_tokens": draw.randint(*tokens), "temperature": draw.choice([0, 0.7, 1.0])}
        body |= {"stream": draw.random() < 0.5, "seed": draw.getrandbits(32)}
        prompt = f"{text}\n{repeat}"
        if draw.random() < 0.6:
            body["messages"] = [{"role": "user", "content": prompt}]
            return "/v1/chat/completions", body, size, secret
        return "/v1/completions", body | {"prompt": prompt}, size, secret

    async def run(self, end):
        while time.monotonic() < end:
            path, body, size, secret = self.draw()
            self.load.secrets[secret] = self.number
            leaves = self.random.random() < self.load.options.leaving
            patience = self.random.uniform(0.0, 5.0) if leaves else None
            while time.monotonic() < end:
                try:
                    async with asyncio.timeout(patience):
                        await self.ask(path, body, size, secret)
                    self.load.ends["answered"] += 1
                except TimeoutError:
                    self.load.ends["left"] += 1
                except Refused as refused:
                    self.load.ends["refused (429)"] += 1
                    await asyncio.sleep(refused.args[0] * self.random.uniform(0.5, 1.5))
                    continue
                except (Broken, OSError, EOFError, ValueError) as error:
                    self.load.ends["failed"] += 1
                    self.load.errors[f"{type(error).__name__}: {str(error)[:200]}"] += 1
                    # A server that is gone answers at once; asking it without a pause would only burn time.
                    await asyncio.sleep(0.5)
                break

    async def ask(self, path, body, size, secret):
        start, first = time.monotonic(), None

        def on_data(piece):
            nonlocal first
            first = first or (time.monotonic() if b"data: " in piece else None)

        status, fields, answer = await request(self.load.address, "POST", path, body, on_data)
        elapsed = time.monotonic() - start
        if status == 429:
            raise Refused(float(fields["retry-after"]))
        text = answer.decode()
        if status != 200 or 'data: {"error"' in text:
            raise Broken(f"{status}: {text}")
        if body["stream"] and not text.rstrip().endswith("data: [DONE]"):
            raise Broken("a stream without an end")
        self.times.append(elapsed)
        self.load.times[size].append((elapsed, first and first - start))
        self.load.tokens += body["max_tokens"]
        for found in SECRET.findall(spoken(text, body["stream"])):
            if found != secret and found in self.load.secrets:
                self.load.leaks.append({"secret": found, "of": self.load.secrets[found], "found_by": self.number})
            self.load.repeated += found == secret


def spoken(text, is_stream):
    """What the model said. In a stream a secret may be cut anywhere."""
    bodies = [line[6:] for line in text.split("\n") if line.startswith("data: {")] if is_stream else [text]
    pieces = []
    for body in bodies:
        for choice in json.loads(body)["choices"]:
            message = choice.get("delta") or choice.get("message") or {}
            pieces.append(choice.get("text") or message.get("content") or "")
    return "".join(pieces)


class Load:
    """What all clients share."""

    def __init__(self, options, address, process_id):
        self.options, self.address, self.process_id = options, address, process_id
        self.ends, self.errors = Counter(), Counter()
        self.times, self.secrets, self.leaks = defaultdict(list), {}, []
        self.tokens = self.repeated = 0

    async def state(self):
        """Gauges and memory once nothing runs any more."""
        for _ in range(600):
            _, _, text = await request(self.address, "GET", "/metrics")
            lines = [line.rsplit(" ", 1) for line in text.decode().splitlines() if not line.startswith("#")]
            values = {name: float(value) for name, value in lines}
            # This request itself is in flight.
            busy = values["codeact_requests_running"] + values["codeact_requests_waiting"]
            if busy + values["codeact_kv_pages_used"] == 0 and values["codeact_http_requests_in_flight"] <= 1:
                break
            await asyncio.sleep(0.1)
        names = ["requests_running", "requests_waiting"]
        names += ["kv_pages", "kv_pages_used", "kv_pages_cached", "kv_pages_pinned"]
        state = {name: values[f"codeact_{name}"] for name in names}
        counters = ["preemptions", "generated_tokens", "prompt_tokens", "prefix_hit_tokens", "accepted_tokens"]
        state |= {name: values[f"codeact_{name}_total"] for name in counters}
        return state | {"in_flight": values["codeact_http_requests_in_flight"] - 1, "rss_mib": self.resident()}

    def resident(self):
        if self.process_id is None:
            return None
        status = Path(f"/proc/{self.process_id}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", status)[1]) / 1024

    async def run(self):
        clients = [Client(self, number) for number in range(self.options.clients)]
        before = await self.state()
        # The memory that so many clients need is taken in the first third, and should not grow after it.
        start, seconds = time.monotonic(), self.options.minutes * 60
        watching = asyncio.create_task(self.watch(start, seconds))
        await asyncio.gather(*(client.run(start + seconds) for client in clients))
        elapsed, middle = time.monotonic() - start, await watching
        return self.report(clients, elapsed, before, middle, await self.state())

    async def watch(self, start, seconds):
        most = 0.0
        while (passed := time.monotonic() - start) < seconds / 3:
            await asyncio.sleep(min(1.0, seconds / 3 - passed))
            most = max(most, self.resident() or 0.0)
        return most

    def report(self, clients, elapsed, before, middle, after):
        means = [statistics.mean(client.times) for client in clients if client.times]
        squares = sum(mean * mean for mean in means)
        growth = after["rss_mib"] - middle if self.process_id else None
        wrong = []
        wrong += [f"{count} x {what}" for what, count in self.errors.items()]
        wrong += [f"a secret of client {leak['of']} in an answer to {leak['found_by']}" for leak in self.leaks]
        for gauge in ("requests_running", "requests_waiting", "kv_pages_used", "kv_pages_pinned", "in_flight"):
            wrong += [f"{gauge} is {after[gauge]:.0f} when nothing runs"] if after[gauge] else []
        if growth is not None and growth > LEAK_MIB:
            wrong.append(f"{growth:.0f} MiB more at the end than in the first third")
        wrong += [f"client {client.number} got no answer" for client in clients if not client.times]
        return {
            "clients": len(clients), "seconds": round(elapsed, 1), "ends": dict(self.ends), "wrong": wrong,
            "seconds_to_the_end": {size: percentiles([end for end, _ in times]) for size, times in self.times.items()},
            "seconds_to_the_first_event": {
                size: percentiles([first for _, first in times if first]) for size, times in self.times.items()
            },
            "fairness": {
                "slowest_mean_over_mean": round(max(means) / statistics.mean(means), 2) if means else None,
                "jain": round(sum(means) ** 2 / (len(means) * squares), 3) if means else None,
            },
            "secrets": {
                "drawn": len(self.secrets), "repeated_to_their_client": self.repeated, "leaked": len(self.leaks),
            },
            "rss_mib_in_first_third": middle, "before": before, "after": after,
        }


def percentiles(values):
    if not values:
        return {}
    ordered = sorted(values)
    at = {f"p{share}": ordered[min(len(ordered) - 1, len(ordered) * share // 100)] for share in (50, 90, 99)}
    at["max"] = ordered[-1]
    return {"count": len(ordered)} | {name: round(value, 3) for name, value in at.items()}


def start(options):
    """The server's process and address."""
    command = [str(SERVER), "--model", options.model, "--port", "0", "--unsafe-no-sandbox", *options.server]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    for line in process.stderr:
        if found := re.fullmatch(r"listening on (http://\S+)\n", line):
            return process, found[1]
        print(line, end="", file=sys.stderr)
    sys.exit("the server did not start")


async def drain(stream):
    """Reads the server's log, so that it never waits for a reader."""
    while await asyncio.to_thread(stream.read, 1 << 16):
        pass


async def measure(options, process, url):
    parts = urlsplit(url)
    reading = asyncio.create_task(drain(process.stderr)) if process else None
    load = Load(options, (parts.hostname, parts.port), process and process.pid)
    report = await load.run()
    if process:
        process.terminate()
        code = await asyncio.to_thread(process.wait, 60)
        report["wrong"] += [f"the server ended with {code}"] if code else []
        await reading
    return report


def main():
    parser = argparse.ArgumentParser(usage=__doc__.split("\n\n")[1])
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--model")
    where.add_argument("--url")
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--leaving", type=float, default=0.1)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("server", nargs="*")
    options = parser.parse_args()
    process, url = start(options) if options.model else (None, options.url)
    try:
        report = asyncio.run(measure(options, process, url))
    finally:
        if process and process.poll() is None:
            process.kill()
    print(json.dumps(report, indent=2))
    sys.exit(1 if report["wrong"] else 0)


if __name__ == "__main__":
    main()
