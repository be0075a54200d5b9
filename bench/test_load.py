#!/usr/bin/env python3
"""What bench/load.py counts and finds wrong, on a server that is a few lines of Python."""

import asyncio
import json
import random
import sys
import time
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from load import ask_again, fairness, judge, percentiles
from load_clients import Client, Notes, draw, spoken

REST = dict.fromkeys(("requests_running", "requests_waiting", "kv_pages_used", "kv_pages_pinned", "in_flight"), 0.0)


class Fake:
    """Answers each request with what comes next of `answers`: a status and what the model says."""

    def __init__(self, answers):
        self.answers = iter(answers)

    async def __aenter__(self):
        self.server = await asyncio.start_server(self.serve, "127.0.0.1", 0)
        self.address = self.server.sockets[0].getsockname()
        return self

    async def __aexit__(self, *_):
        self.server.close()

    async def serve(self, reader, writer):
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        length = int(head.split("content-length: ")[1].split()[0])
        body = json.loads(await reader.readexactly(length))
        status, said = next(self.answers)
        choice = {"text": said(body) if callable(said) else said, "finish_reason": "stop"}
        data = json.dumps({"choices": [choice]})
        if body["stream"]:
            data = f"data: {data}\n\ndata: [DONE]\n\n"
        fields = f"Retry-After: 0.2\r\nContent-Length: {len(data)}\r\nConnection: close"
        writer.write(f"HTTP/1.1 {status} X\r\n{fields}\r\n\r\n{data}".encode())
        await writer.drain()
        writer.close()


def seen(**changes):
    """A run in which nothing is wrong."""
    notes = Notes(None, 1, 0)
    notes.ends.update({"answered": 4, "refused (429)": 1})
    notes.repeated = 1
    for client, seconds in ((0, 1.0), (1, 1.2)):
        notes.by_client[client] = [("short", seconds)] * 2
        notes.times["short"] += [(seconds, None)] * 2
    states = [REST | {"preemptions": count, "rss_mib": 100.0} for count in (0, 1, 2)]
    return {"notes": notes, "states": states, "phases": [], "again": {"asked": 1, "other": []}} | changes


class Judging(unittest.TestCase):
    def assert_wrong(self, what, run):
        wrong = judge(run, 2)
        self.assertEqual(len(wrong), 1, wrong)
        self.assertIn(what, wrong[0])

    def test_a_good_run_has_nothing_wrong(self):
        self.assertEqual(judge(seen(), 2), [])

    def test_what_did_not_happen_was_not_tested(self):
        run = seen()
        run["notes"].ends["refused (429)"] = 0
        self.assert_wrong("nobody was refused", run)
        run = seen()
        run["notes"].repeated = 0
        self.assert_wrong("no secret was repeated", run)
        run = seen()
        run["states"][2]["preemptions"] = 0
        self.assert_wrong("no sequence gave way", run)
        self.assertEqual(len(judge(seen(), 3)), 1)

    def test_leaks_of_words_pages_and_memory_are_found(self):
        run = seen()
        run["notes"].leaks.append({"of": 1, "found_by": 0})
        self.assert_wrong("a secret of client 1 in an answer to 0", run)
        run = seen()
        run["states"][1]["kv_pages_used"] = 3.0
        self.assert_wrong("kv_pages_used is 3", run)
        run = seen()
        run["states"][2]["rss_mib"] = 140.0
        self.assert_wrong("40 MiB more at rest", run)
        # What comes with the first load is not a leak, and of a foreign server nothing is known.
        run = seen()
        run["states"][0]["rss_mib"] = 10.0
        self.assertEqual(judge(run, 2), [])
        for state in run["states"]:
            state["rss_mib"] = None
        self.assertEqual(judge(run, 2), [])

    def test_a_client_that_waits_longer_than_others_is_found(self):
        run = seen()
        run["notes"].by_client |= {client: [("short", 1.0)] for client in range(2, 20)}
        run["notes"].by_client[1] = [("short", 9.0)]
        wrong = judge(run, 20)
        self.assertEqual((len(wrong), "not served alike" in wrong[0]), (1, True))
        # Whoever asks for more may wait longer.
        run = seen()
        run["notes"].by_client[1] = [("long", 9.0)] * 2
        run["notes"].times["short"], run["notes"].times["long"] = [(1.0, None)], [(9.0, None)]
        self.assertEqual(fairness(run["notes"]), {"slowest_over_mean": 1.0, "jain": 1.0})

    def test_answers_that_are_others_alone_are_found(self):
        body = {"stream": False, "prompt": "x"}

        async def ask():
            async with Fake([(200, "a"), (429, ""), (200, "c")]) as server:
                return await ask_again(server, [("/", body, "a", "stop"), ("/", body, "b", "stop")])

        again = asyncio.run(ask())
        self.assertEqual([other["alone"] for other in again["other"]], [["c", "stop"]])
        self.assert_wrong("1 answers are others", seen(again=again))


class Asking(unittest.TestCase):
    def run_client(self, answers, leaving=0.0):
        async def run():
            async with Fake(answers) as server:
                notes = Notes(server.address, 3, leaving)
                await Client(notes, 0).ask_until_answered(time.monotonic() + 60)
                return notes

        return asyncio.run(run())

    def test_time_in_which_a_client_is_refused_counts(self):
        notes = self.run_client([(429, ""), (429, ""), (200, "yes")])
        self.assertEqual(dict(notes.ends), {"refused (429)": 2, "answered": 1})
        # Twice at least half of the fifth of a second that it was told.
        self.assertGreater(notes.by_client[0][0][1], 0.2)

    def test_any_other_status_is_an_error(self):
        notes = self.run_client([(500, "no")])
        self.assertEqual((notes.ends["failed"], len(notes.errors), notes.kept), (1, 1, []))

    def test_secrets_of_others_are_seen_and_the_own_are_not_leaks(self):
        own = self.run_client([(200, lambda body: json.dumps(body))])
        self.assertEqual((own.leaks, own.repeated > 0), ([], True))
        notes = Notes(None, 3, 0)
        notes.secrets["zq0123456789"] = 7

        async def run():
            async with Fake([(200, "it is zq0123456789, not zqffffffffff")]) as server:
                notes.address = server.address
                await Client(notes, 0).ask_until_answered(time.monotonic() + 60)

        asyncio.run(run())
        self.assertEqual(notes.leaks, [{"of": 7, "found_by": 0}])

    def test_prompts_differ_and_some_hide_the_secret_behind_what_all_share(self):
        drawn = [draw(random.Random(seed)) for seed in range(200)]
        self.assertEqual(len({secret for *_, secret in drawn}), 200)
        starts = [body["messages"][0]["content"] for _, body, _, secret in drawn if secret in str(body.get("messages"))]
        within = [start for start in starts if "zq" in start]
        self.assertGreater(len(within), 20)
        self.assertEqual(len({start[:200] for start in starts}), 1)

    def test_streams_are_put_together(self):
        events = [{"delta": {"content": "zq01"}}, {"delta": {"content": "23456789"}, "finish_reason": "length"}]
        text = "".join(f"data: {json.dumps({'choices': [event]})}\n\n" for event in events) + "data: [DONE]\n\n"
        self.assertEqual(spoken(text, True), ("zq0123456789", "length"))
        self.assertEqual(percentiles([3, 1, 2])["max"], 3)


if __name__ == "__main__":
    unittest.main()
