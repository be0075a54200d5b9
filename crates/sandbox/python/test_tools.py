"""Functions of the host: definition, calls, errors, threads and interrupts."""
import json
import threading
import unittest

import harness

DEFINITIONS = [("tool", "weather"), ("signature", "(city: str, days: int = 3, *more, flag=False, **rest) -> dict"),
               ("doc", "The weather."), ("tool", "ping")]


class Tools(harness.Case):
    def prepared(self):
        session = self.session()
        self.assertEqual(session.ask("D", harness.encode(DEFINITIONS))[:2], ("F", b""))
        self.calls = []

        def answer(fields):
            self.calls.append((fields["name"].decode(), json.loads(fields["arguments"])))
            return [("id", fields["id"]), ("value", json.dumps({"calls": len(self.calls), "é": [1.5, None]}))]
        session.tools = answer
        return session

    def test_calls(self):
        session = self.prepared()
        self.assertEqual(session.cell("weather('Bern')['calls'], weather('Ulm', 1, 7, flag=True, x={'a': (1, {2})})['é']").value(),
                         "(1, [1.5, None])")
        self.assertEqual(self.calls, [("weather", {"city": "Bern", "days": 3, "flag": False}),
                                      ("weather", {"city": "Ulm", "days": 1, "more": [7], "flag": True, "x": {"a": [1, [2]]}})])
        self.assertEqual(session.cell("weather?").out, "Signature: weather(city: str, days: int = 3, *more, flag=False, "
                         "**rest) -> dict\nType: function\nDocumentation:\nThe weather.\n")
        self.assertEqual(session.cell("weather()").name(), "TypeError")
        self.assertEqual(session.cell("weather(lambda: 1)").name(), "TypeError")
        self.assertEqual(session.cell("weather(float('nan'))").name(), "ValueError")
        self.assertEqual(session.cell("x = []; x.append(x); weather(x)").name(), "TypeError")

    def test_errors_of_the_host(self):
        session = self.prepared()
        session.tools = lambda fields: [("id", fields["id"]), ("error", "no such city")]
        answer = session.cell("weather('Nowhere')")
        self.assertEqual((answer.name(), answer.fields["error/message"]), ("RuntimeError", b"no such city"))
        self.assertEqual(answer.traceback().count("File"), 1)

    def test_from_threads(self):
        session = self.prepared()
        code = "from concurrent.futures import ThreadPoolExecutor\nwith ThreadPoolExecutor(4) as pool:\n" \
               "  r = sorted(x['calls'] for x in pool.map(lambda i: weather(str(i)), range(20)))\nr == list(range(1, 21))"
        self.assertEqual(session.cell(code).value(), "True")

    def test_interrupted_call_and_its_late_answer(self):
        session = self.prepared()
        kept = []

        def never(fields):
            kept.append(fields["id"])
        working, session.tools = session.tools, never
        sender = session.interrupt_after(0.3)
        answer = session.cell("weather('x')")
        sender.wait()
        self.assertEqual(answer.name(), "KeyboardInterrupt")
        session.send(bytes(16), "T", harness.encode([("id", kept[0]), ("value", '"late"')]))
        session.tools = working
        self.assertEqual(session.cell("weather('y')['calls']").value(), "1")

    def test_call_of_a_thread_whose_cell_is_over(self):
        session = self.prepared()
        session.tools = lambda fields: None
        session.cell("import threading, time\nerrors = []\ndef f():\n  try: weather('x')\n  except RuntimeError as e: errors.append(str(e))\n"
                     "t = threading.Thread(target=f); t.start(); time.sleep(0.2)")
        self.assertEqual(session.cell("t.join(10); errors").value(), "['weather: the cell ended before the answer came']")
        session.cell("def g():\n  time.sleep(0.3); f()\nt = threading.Thread(target=g); t.start()")
        threading.Event().wait(0.6)
        self.assertEqual(session.cell("t.join(10); errors[1]").value(), "'weather: tools work only while a cell runs'")

    def test_not_in_children(self):
        session = self.prepared()
        answer = session.cell("import os\nif os.fork() == 0:\n  try: weather('x')\n  except RuntimeError as e: print(e)\n"
                              "  sys = __import__('sys'); sys.stdout.flush(); os._exit(0)\nos.wait();")
        self.assertEqual(answer.out, "weather: tools work only in the process of the session, not in a child process\n")
        self.assertEqual(self.calls, [])

    def test_patched_json_is_not_used(self):
        session = self.prepared()
        session.cell("import json\njson.dumps = json.loads = json.encoder.JSONEncoder.encode = json.decoder.JSONDecoder.decode = None")
        self.assertEqual(session.cell("weather('x')['calls']").value(), "1")

    def test_bad_definitions(self):
        session = self.session()
        for pairs in ([("tool", "not a name")], [("tool", "class")], [("tool", "f"), ("signature", "(x")],
                      [("tool", "f"), ("signature", "(): import os; x = (1")], [("tool", "f"), ("signature", "(x=open('/'))")]):
            with self.subTest(pairs):
                tag, payload, _ = session.ask("D", harness.encode(pairs))
                self.assertEqual(tag, "R")
        self.assertEqual(session.ask("D", b"\1\0")[0], "R")
        self.assertEqual(session.cell("f").name(), "NameError")

    def test_tools_live_on_in_checkpoints(self):
        session = self.prepared()
        _, child = session.checkpoint()
        child.tools = session.tools
        self.assertEqual(session.cell("weather('x')['calls']", child).value(), "1")


if __name__ == "__main__":
    unittest.main()
