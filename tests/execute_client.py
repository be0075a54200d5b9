#!/usr/bin/env python3
"""Check that clients of the original CodeAct work with codeact-serve: its demo, its chat page, and OpenAI's client.

usage: python tests/execute_client.py

Packages: tests/api-requirements.txt. Runs the server in front of a scripted model. Exit code: 0 all passed, 1 something
did not."""

import json
import re
import sys
import unittest
import urllib.request

import openai
from agent_server import KEY, Server

SCENARIOS = [
    {
        "when": r"SAY (\w+)",
        "replies": ["I say it.\n<execute>\nsaid = '{{1}}'\nprint(said)\n</execute>", "<solution>{{1}}!</solution>"],
    },
    {"when": r"AGAIN", "replies": ["<execute>\nprint(said)\n</execute>", "<solution>again</solution>"]},
    {"when": r"title", "replies": ["A title"]},
]
SERVER = None


def execute(code, convid="demo-2024-01-01-00-00-00"):
    """As scripts/chat/demo.py does: JSON without saying so."""
    request = urllib.request.Request(SERVER.url + "/execute", json.dumps({"convid": convid, "code": code}).encode())
    request.add_header("Authorization", f"Bearer {KEY}")
    request.remove_header("Content-type")
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.loads(answer.read())


class TheDemo(unittest.TestCase):
    def test_its_loop_runs_what_the_model_wrote(self):
        """The demo finds the first action with a regular expression and sends what stands in it."""
        reply = "I add.\n<execute>\nx = 1\nprint(x + 1)\n</execute>"
        code = re.search(r"<execute>(.*)</execute>", reply, re.DOTALL).group(1)
        self.assertEqual(execute(code, "loop"), {"result": "2\n", "new_kernel_created": True})
        self.assertEqual(execute("x", "loop"), {"result": "1", "new_kernel_created": False})

    def test_results_are_texts_also_where_code_fails(self):
        self.assertEqual(execute("a = 1")["result"], "[Code executed successfully with no output]")
        self.assertIn("ZeroDivisionError: division by zero", execute("1/0")["result"])
        self.assertEqual(execute("import sys\n_ = sys.stderr.write('e\\n')")["result"], "e\n")
        self.assertEqual(execute("while True: pass")["result"], "[Execution timed out (2 seconds).]")

    def test_conversations_do_not_mix(self):
        execute("secret = 'of one'", "one")
        self.assertIn("NameError", execute("secret", "two")["result"])


class TheAgentAsAModel(unittest.TestCase):
    def setUp(self):
        self.client = openai.OpenAI(base_url=SERVER.url + "/v1", api_key=KEY, max_retries=0, timeout=60)
        self.addCleanup(self.client.close)

    def chat(self, messages, **changes):
        return self.client.chat.completions.create(model="codeact-agent", messages=messages, **changes)

    def test_a_conversation_goes_on_in_its_python(self):
        messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "SAY hello"}]
        first = self.chat(messages)
        text = first.choices[0].message.content
        self.assertEqual(text, "I say it.\n\n```python\nsaid = 'hello'\nprint(said)\n```\n\n```output\nhello\n```\n\nhello!")
        self.assertEqual(first.choices[0].finish_reason, "stop")
        self.assertEqual(first.usage.total_tokens, first.usage.prompt_tokens + first.usage.completion_tokens)
        self.assertGreater(first.usage.completion_tokens, 0)
        # The client sends back what it got.
        messages += [first.choices[0].message, {"role": "user", "content": "AGAIN"}]
        chunks = list(self.chat(messages, stream=True, stream_options={"include_usage": True}))
        said = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
        self.assertEqual(said, "```python\nprint(said)\n```\n\n```output\nhello\n```\n\nagain")
        self.assertEqual(chunks[-2].choices[0].finish_reason, "stop")
        self.assertGreater(chunks[-1].usage.total_tokens, 0)

    def test_what_the_chat_page_of_the_original_sends_is_accepted(self):
        system = "<|im_start|>system\nBe kind.<|im_end|>\n"
        messages = [{"role": "system", "content": system}, {"role": "user", "content": "SAY yes"}]
        stop = ["<|im_end|>", "</execute>"]
        answer = self.chat(messages, temperature=0.5, top_p=0.95, max_tokens=1024, stop=stop)
        self.assertTrue(answer.choices[0].message.content.endswith("yes!"))

    def test_the_helper_for_streams_works(self):
        messages = [{"role": "user", "content": "SAY hello"}]
        with self.client.chat.completions.stream(model="codeact-agent", messages=messages) as stream:
            kinds = {event.type for event in stream}
            whole = stream.get_final_completion()
        self.assertLessEqual({"chunk", "content.delta", "content.done"}, kinds)
        self.assertTrue(whole.choices[0].message.content.endswith("hello!"))

    def test_it_is_listed_and_the_plain_model_is_not_there(self):
        self.assertEqual([model.id for model in self.client.models.list()], ["codeact-agent"])
        with self.assertRaises(openai.NotFoundError) as caught:
            self.client.chat.completions.create(model="other", messages=[{"role": "user", "content": "x"}])
        self.assertIn("codeact-agent", caught.exception.message)

    def test_what_it_cannot_do_is_refused(self):
        for wrong in ({"n": 2}, {"response_format": {"type": "json_object"}}, {"stop": ["x"]}):
            with self.assertRaises(openai.BadRequestError) as caught:
                self.chat([{"role": "user", "content": "title"}], **wrong)
            self.assertEqual(caught.exception.param, next(iter(wrong)))


if __name__ == "__main__":
    with Server(SCENARIOS, options=["--preimport=", "--cell-seconds", "2"]) as server:
        SERVER = server
        result = unittest.main(exit=False, verbosity=2).result
    sys.exit(not result.wasSuccessful())
