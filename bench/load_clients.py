"""Clients of bench/load.py: what they ask, how they ask it, and what they note of the answers."""

import asyncio
import json
import random
import re
import time
from collections import Counter, defaultdict

# A hex word with a mark that no text has by chance.
SECRET = re.compile(r"zq[0-9a-f]{10}")
WORDS = "the agent reads a table and prints the sum of every column before it answers with one number".split()
# What every conversation begins with, so that they share its pages; long enough for several.
COMMON = " ".join(WORDS * 3)
# Prompt words, answer tokens, and how often.
SIZES = {"short": ((5, 30), (8, 40), 7), "middle": ((40, 120), (24, 64), 2), "long": ((200, 400), (48, 96), 1)}
# Answers that are kept to be asked for again.
KEPT = 100


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


def draw(chance):
    """Path, body, size class and secret of a request."""
    size = chance.choices(list(SIZES), [weight for *_, weight in SIZES.values()])[0]
    words, tokens, _ = SIZES[size]
    secret = f"zq{chance.getrandbits(40):010x}"
    text = " ".join(chance.choices(WORDS, k=chance.randint(*words)))
    repeat = f"Say the word {secret} again: {secret}" if chance.random() < 0.5 else f"Note {secret}."
    # Greedy or with a seed: asked again, the answer is the same.
    body = {"max_tokens": chance.randint(*tokens), "temperature": chance.choice([0, 0.7, 1.0])}
    body |= {"stream": chance.random() < 0.5, "seed": chance.getrandbits(32)}
    kind = chance.random()
    if kind < 0.3:
        # The secret stands within what conversations share: pages before it are the same, pages behind it are not.
        system = f"{COMMON} {repeat} {COMMON}"
        body["messages"] = [{"role": "system", "content": system}, {"role": "user", "content": text}]
        return "/v1/chat/completions", body, size, secret
    if kind < 0.6:
        messages = [{"role": "system", "content": COMMON}, {"role": "user", "content": f"{text}\n{repeat}"}]
        return "/v1/chat/completions", body | {"messages": messages}, size, secret
    return "/v1/completions", body | {"prompt": f"{text}\n{repeat}"}, size, secret


def spoken(text, is_stream):
    """What the model said, and how it ended. In a stream a secret may be cut anywhere."""
    bodies = [line[6:] for line in text.split("\n") if line.startswith("data: {")] if is_stream else [text]
    pieces, reason = [], None
    for body in bodies:
        for choice in json.loads(body)["choices"]:
            message = choice.get("delta") or choice.get("message") or {}
            pieces.append(choice.get("text") or message.get("content") or "")
            reason = choice.get("finish_reason") or reason
    return "".join(pieces), reason


async def answer(address, path, body, on_data=None):
    """What the model said and how it ended; `Refused` and `Broken` when it said nothing."""
    status, fields, data = await request(address, "POST", path, body, on_data)
    if status == 429:
        raise Refused(float(fields["retry-after"]))
    text = data.decode()
    if status != 200 or 'data: {"error"' in text:
        raise Broken(f"{status}: {text}")
    if body["stream"] and not text.rstrip().endswith("data: [DONE]"):
        raise Broken("a stream without an end")
    return spoken(text, body["stream"])


class Notes:
    """What all clients note."""

    def __init__(self, address, seed, leaving):
        self.address, self.seed, self.leaving = address, seed, leaving
        self.ends, self.errors = Counter(), Counter()
        # Seconds to the end and to the first event by size; seconds to the end by client, each with its size.
        self.times, self.by_client = defaultdict(list), defaultdict(list)
        self.secrets, self.leaks, self.repeated = {}, [], 0
        self.kept, self.chance = [], random.Random(seed)

    def keep(self, exchange):
        """Keeps some of all exchanges, each with the same chance."""
        if len(self.kept) < KEPT:
            self.kept.append(exchange)
        elif (place := self.chance.randrange(self.ends["answered"] + 1)) < KEPT:
            self.kept[place] = exchange


class Client:
    """Asks one thing after the other."""

    def __init__(self, notes, number):
        self.notes, self.number = notes, number
        self.chance = random.Random(notes.seed * 100_003 + number)

    async def run(self, end):
        while time.monotonic() < end:
            await self.ask_until_answered(end)

    async def ask_until_answered(self, end):
        path, body, size, secret = draw(self.chance)
        self.notes.secrets[secret] = self.number
        patience = self.chance.uniform(0.0, 5.0) if self.chance.random() < self.notes.leaving else None
        # From the first try on: whoever is refused waits too.
        start = time.monotonic()
        while time.monotonic() < end:
            try:
                async with asyncio.timeout(patience):
                    await self.ask(path, body, size, secret, start)
                return
            except TimeoutError:
                self.notes.ends["left"] += 1
                return
            except Refused as refused:
                self.notes.ends["refused (429)"] += 1
                await asyncio.sleep(refused.args[0] * self.chance.uniform(0.5, 1.5))
            except (Broken, OSError, EOFError, ValueError, KeyError) as error:
                self.notes.ends["failed"] += 1
                self.notes.errors[f"{type(error).__name__}: {str(error)[:200]}"] += 1
                # A server that is gone answers at once; asking it without a pause would only burn time.
                await asyncio.sleep(0.5)
                return

    async def ask(self, path, body, size, secret, start):
        first = None

        def on_data(piece):
            nonlocal first
            first = first or (time.monotonic() if b"data: " in piece else None)

        said, reason = await answer(self.notes.address, path, body, on_data)
        elapsed = time.monotonic() - start
        self.notes.by_client[self.number].append((size, elapsed))
        self.notes.times[size].append((elapsed, first and first - start))
        self.notes.keep((path, body, said, reason))
        self.notes.ends["answered"] += 1
        for found in SECRET.findall(said):
            if found != secret and found in self.notes.secrets:
                self.notes.leaks.append({"of": self.notes.secrets[found], "found_by": self.number})
            self.notes.repeated += found == secret
