#!/usr/bin/env python3
"""Check that OpenAI's own Python client works with codeact-serve as it does with OpenAI's API.

usage: python tests/openai_conformance.py [MODEL_DIR]

Packages: tests/api-requirements.txt. Starts target/release/codeact-serve (or $CODEACT_SERVE) on a free port with
MODEL_DIR, by default checkpoints/base/HuggingFaceTB--SmolLM2-135M-Instruct, and asks it through the client: chat,
streams, usage, log-probabilities, several answers, stop strings, seeds, structured output, completions with echo,
embeddings, models, every class of error, and the asynchronous client. Exit code: 0 all passed, 1 something did not, 2 no model or no program."""

import asyncio
import json
import math
import os
import re
import subprocess
import sys
import tempfile
import threading
import unittest
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import openai
import pydantic

REPOSITORY = Path(__file__).resolve().parent.parent
BASE = REPOSITORY / "checkpoints/base/HuggingFaceTB--SmolLM2-135M-Instruct"
SERVER = Path(os.environ.get("CODEACT_SERVE", REPOSITORY / "target/release/codeact-serve"))
KEY = "a-key-for-the-conformance-test"
NAME = "smol"
QUESTION = [{"role": "user", "content": "Name three colours."}]
# Few sequences at once, so that a burst of requests finds no room.
SETTINGS = "[limits]\nrunning_max = 4\nwaiting_max = 4\nprompt_tokens_per_pass = 128\n"


class Server:
    """The program, until the block ends."""

    def __init__(self, model):
        self.model = model

    def __enter__(self):
        self.folder = tempfile.TemporaryDirectory()
        keys, settings = Path(self.folder.name, "keys.txt"), Path(self.folder.name, "serve.toml")
        keys.write_text(KEY + "\n")
        settings.write_text(SETTINGS)
        command = [SERVER, "--model", self.model, "--name", NAME, "--port", "0", "--api-keys", keys]
        command += ["--config", settings, "--kv-memory", "512", "--context", "2048", "--unsafe-no-sandbox"]
        command += ["--state-dir", Path(self.folder.name, "state")]
        self.process = subprocess.Popen([str(part) for part in command], stderr=subprocess.PIPE, text=True)
        for line in self.process.stderr:
            if found := re.fullmatch(r"listening on (http://\S+)\n", line):
                self.url = found[1]
                # Whoever writes much and is not read comes to a stop.
                threading.Thread(target=lambda: [None for _ in self.process.stderr], daemon=True).start()
                return self
            print(line, end="")
        sys.exit("the server did not start")

    def __exit__(self, *_):
        self.process.terminate()
        code = self.process.wait(60)
        self.process.stderr.close()
        self.folder.cleanup()
        if code:
            sys.exit(f"the server ended with {code}")


class Conformance(unittest.TestCase):
    url = None

    def setUp(self):
        self.client = openai.OpenAI(base_url=self.url + "/v1", api_key=KEY, max_retries=0, timeout=120)
        self.addCleanup(self.client.close)

    def chat(self, **changes):
        settings = {"model": NAME, "messages": QUESTION, "max_tokens": 16, "temperature": 0} | changes
        return self.client.chat.completions.create(**settings)

    def text(self, **changes):
        settings = {"model": NAME, "prompt": "The sky is", "max_tokens": 8, "temperature": 0} | changes
        return self.client.completions.create(**settings)

    def test_a_chat_completion_is_whole(self):
        answer = self.chat()
        self.assertEqual((answer.object, answer.model), ("chat.completion", NAME))
        choice = answer.choices[0]
        self.assertEqual((choice.index, choice.message.role), (0, "assistant"))
        self.assertTrue(choice.message.content)
        self.assertIn(choice.finish_reason, ("stop", "length"))
        usage = answer.usage
        self.assertEqual(usage.total_tokens, usage.prompt_tokens + usage.completion_tokens)
        self.assertLessEqual(usage.completion_tokens, 16)
        self.assertTrue(answer._request_id)

    def test_what_came_back_can_be_sent_again(self):
        first = self.chat()
        messages = QUESTION + [first.choices[0].message, {"role": "user", "content": "And one more."}]
        second = self.chat(messages=messages)
        # The beginning is the conversation that was just computed.
        self.assertGreater(second.usage.prompt_tokens_details.cached_tokens, 0)

    def test_a_stream_says_what_the_whole_says(self):
        whole = self.chat()
        chunks = list(self.chat(stream=True, stream_options={"include_usage": True}))
        last = chunks.pop()
        self.assertEqual((last.choices, last.usage.total_tokens), ([], whole.usage.total_tokens))
        self.assertEqual(chunks[0].choices[0].delta.role, "assistant")
        said = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
        self.assertEqual(said, whole.choices[0].message.content)
        self.assertEqual(chunks[-1].choices[0].finish_reason, whole.choices[0].finish_reason)
        self.assertTrue(all(chunk.usage is None for chunk in chunks))

    def test_the_last_chunk_says_what_a_stream_cost_unless_a_chunk_of_its_own_is_asked_for(self):
        whole = self.chat(n=2)
        chunks = list(self.chat(n=2, stream=True))
        self.assertEqual(chunks[-1].usage, whole.usage)
        self.assertTrue(all(chunk.usage is None for chunk in chunks[:-1]))
        self.assertTrue(all(len(chunk.choices) == 1 for chunk in chunks))
        chunks = list(self.text(stream=True))
        self.assertEqual(chunks[-1].usage.completion_tokens, 8)

    def test_a_text_has_16_tokens_unless_the_request_says_otherwise(self):
        answer = self.client.completions.create(model=NAME, prompt="The sky is", extra_body={"ignore_eos": True})
        self.assertEqual((answer.usage.completion_tokens, answer.choices[0].finish_reason), (16, "length"))

    def test_the_clients_own_helper_for_streams_works(self):
        # It takes an answer that was cut for an error.
        settings = {"max_tokens": 200, "stop": [",", ".", "\n"]}
        helper = self.client.chat.completions.stream(model=NAME, messages=QUESTION, temperature=0, **settings)
        with helper as stream:
            kinds = {event.type for event in stream}
            whole = stream.get_final_completion()
        self.assertLessEqual({"chunk", "content.delta", "content.done"}, kinds)
        self.assertEqual(whole.choices[0].message.content, self.chat(**settings).choices[0].message.content)

    def test_a_stream_that_is_left_is_over(self):
        with self.chat(stream=True, max_tokens=1000, extra_body={"ignore_eos": True}) as stream:
            next(iter(stream))
        self.assertTrue(self.chat().choices)

    def test_log_probabilities_are_of_the_tokens(self):
        entries = self.chat(logprobs=True, top_logprobs=3, max_tokens=6).choices[0].logprobs.content
        self.assertTrue(0 < len(entries) <= 6)
        for entry in entries:
            self.assertEqual(len(entry.top_logprobs), 3)
            # Greedy: the one that came is the likeliest.
            self.assertEqual((entry.token, entry.logprob), (entry.top_logprobs[0].token, entry.top_logprobs[0].logprob))
            self.assertEqual(bytes(entry.bytes).decode(errors="replace"), entry.token)
            self.assertLessEqual(entry.logprob, 0)

    def test_several_answers_differ_and_the_seed_brings_them_back(self):
        def several(seed):
            answer = self.chat(n=3, temperature=1.0, seed=seed)
            self.assertEqual([choice.index for choice in answer.choices], [0, 1, 2])
            return [choice.message.content for choice in answer.choices]

        first = several(7)
        self.assertEqual(len(set(first)), 3)
        self.assertEqual(several(7), first)
        self.assertNotEqual(several(1000), first)

    def test_a_stop_string_ends_the_answer_before_it(self):
        said = self.text(max_tokens=24).choices[0].text
        stop = said[6:9]
        answer = self.text(max_tokens=24, stop=[stop, "never in it"]).choices[0]
        self.assertEqual((answer.text, answer.finish_reason), (said[: said.index(stop)], "stop"))

    def test_structured_output_is_parsed(self):
        class Colour(pydantic.BaseModel):
            name: str
            is_warm: bool
            shades: int = pydantic.Field(ge=0, le=99)

        parsed = self.client.chat.completions.parse(
            model=NAME, messages=QUESTION, response_format=Colour, max_tokens=200, temperature=0.7, seed=3
        )
        self.assertIsInstance(parsed.choices[0].message.parsed, Colour)
        answer = self.chat(response_format={"type": "json_object"}, max_tokens=120, temperature=1, seed=5)
        if answer.choices[0].finish_reason == "stop":
            self.assertIsInstance(json.loads(answer.choices[0].message.content), dict)

    def test_shapes_beyond_json_are_kept_to(self):
        regex = {"type": "regex", "regex": "(red|green|blue), [0-9]{2}"}
        said = self.chat(response_format=regex, temperature=1, seed=2).choices[0].message.content
        self.assertRegex(said, "^(red|green|blue), [0-9]{2}$")
        required = {"type": "codeact", "required": True}
        said = self.chat(response_format=required, temperature=1, max_tokens=60, seed=2).choices[0].message.content
        self.assertTrue(re.search("<execute>.*</execute>|<solution>.*</solution>", said, re.DOTALL), said)

    def test_a_prompt_is_scored(self):
        scored = self.text(echo=True, logprobs=2, max_tokens=0)
        logprobs = scored.choices[0].logprobs
        self.assertEqual(scored.choices[0].text, "The sky is")
        self.assertEqual("".join(logprobs.tokens), "The sky is")
        self.assertIsNone(logprobs.token_logprobs[0])
        self.assertTrue(all(score < 0 for score in logprobs.token_logprobs[1:]))
        self.assertEqual(logprobs.text_offset[:2], [0, 3])
        likely = self.text(prompt="One, two, three, four, five", echo=True, logprobs=0, max_tokens=0)
        unlikely = self.text(prompt="One, two, three, four, whale", echo=True, logprobs=0, max_tokens=0)
        last = [answer.choices[0].logprobs.token_logprobs[-1] for answer in (likely, unlikely)]
        self.assertGreater(last[0], last[1])

    def test_completions_take_many_prompts_and_token_ids(self):
        one, other = (self.text(prompt=prompt).choices[0].text for prompt in ("The sky is", "Two plus two is"))
        both = self.text(prompt=["The sky is", "Two plus two is"])
        self.assertEqual([choice.text for choice in both.choices], [one, other])
        ids = self.client.post("../tokenize", body={"prompt": "The sky is"}, cast_to=object)["tokens"]
        self.assertEqual(self.text(prompt=ids).choices[0].text, one)
        said = "".join(chunk.choices[0].text for chunk in self.text(stream=True))
        self.assertEqual(said, one)

    def test_embeddings_come_in_both_encodings(self):
        texts = ["The cat sleeps on the sofa.", "A cat is sleeping on the couch.", "Interest rates rose again in March."]
        # By default the client asks for base64 and decodes it.
        vectors = [item.embedding for item in self.client.embeddings.create(model=NAME, input=texts).data]
        floats = self.client.embeddings.create(model=NAME, input=texts[0], encoding_format="float")
        self.assertTrue(all(math.isclose(a, b, abs_tol=1e-6) for a, b in zip(vectors[0], floats.data[0].embedding)))
        self.assertEqual(floats.usage.prompt_tokens, floats.usage.total_tokens)

        def cosine(left, right):
            return sum(a * b for a, b in zip(left, right))

        self.assertTrue(math.isclose(cosine(vectors[0], vectors[0]), 1, abs_tol=1e-4))
        self.assertGreater(cosine(vectors[0], vectors[1]), cosine(vectors[0], vectors[2]))

    def test_models_are_listed_and_found(self):
        self.assertEqual([model.id for model in self.client.models.list()], [NAME, "codeact-agent"])
        self.assertEqual(self.client.models.retrieve(NAME).owned_by, "codeact")
        with self.assertRaises(openai.NotFoundError):
            self.client.models.retrieve("gpt-9")

    def test_errors_have_the_classes_of_the_client(self):
        with self.assertRaises(openai.BadRequestError) as caught:
            self.chat(temperature=-1)
        self.assertEqual((caught.exception.param, caught.exception.type), ("temperature", "invalid_request_error"))
        with self.assertRaises(openai.BadRequestError) as caught:
            self.chat(messages=[{"role": "user", "content": "word " * 3000}])
        self.assertEqual(caught.exception.code, "context_length_exceeded")
        with self.assertRaises(openai.BadRequestError) as caught:
            self.chat(extra_body={"temprature": 1})
        self.assertIn("did you mean `temperature`?", caught.exception.message)
        with self.assertRaises(openai.BadRequestError):
            self.chat(tools=[{"type": "function", "function": {"name": "f"}}])
        with self.assertRaises(openai.NotFoundError) as caught:
            self.chat(model="gpt-9")
        self.assertEqual(caught.exception.code, "model_not_found")
        stranger = openai.OpenAI(base_url=self.url + "/v1", api_key="another-key-of-some-length", max_retries=0)
        self.addCleanup(stranger.close)
        with self.assertRaises(openai.AuthenticationError) as caught:
            stranger.models.list()
        self.assertEqual(caught.exception.code, "invalid_api_key")

    def test_what_never_has_room_is_a_bad_request(self):
        # Eight sequences have room, these are nine: coming again would not help.
        with self.assertRaises(openai.BadRequestError) as caught:
            self.text(n=9, max_tokens=64)
        self.assertEqual(caught.exception.param, "n")
        for field in ("max_tokens", "max_completion_tokens"):
            for count in (2048, 2049, 100_000):
                settings = {"model": NAME, "messages": QUESTION, field: count}
                with self.assertRaises(openai.BadRequestError) as caught:
                    self.client.chat.completions.create(**settings)
                self.assertEqual((caught.exception.code, caught.exception.param), ("context_length_exceeded", field))

    def test_too_much_at_once_is_a_rate_limit_and_passes(self):
        refused = []

        def ask(number):
            try:
                self.text(prompt=f"{number} or", max_tokens=64, extra_body={"ignore_eos": True})
            except openai.RateLimitError as error:
                refused.append(error.response.headers["retry-after"])

        # Eight sequences have room, these are four times as many.
        with ThreadPoolExecutor(32) as pool:
            list(pool.map(ask, range(32)))
        self.assertTrue(refused)
        self.assertEqual(set(refused), {"1"})
        # With the client's own retries everybody gets an answer.
        patient = self.client.with_options(max_retries=100)

        def ask_patiently(number):
            answer = patient.completions.create(model=NAME, prompt=f"{number} and", max_tokens=4)
            return answer.usage.completion_tokens

        with ThreadPoolExecutor(12) as pool:
            self.assertEqual(len(list(pool.map(ask_patiently, range(24)))), 24)

    def test_the_asynchronous_client_gets_the_same(self):
        whole = self.chat()

        async def ask():
            settings = {"model": NAME, "messages": QUESTION, "max_tokens": 16, "temperature": 0}
            async with openai.AsyncOpenAI(base_url=self.url + "/v1", api_key=KEY, max_retries=100, timeout=120) as client:
                answers = await asyncio.gather(*(client.chat.completions.create(**settings) for _ in range(24)))
                stream = await client.chat.completions.create(**settings, stream=True)
                said = [chunk.choices[0].delta.content or "" async for chunk in stream]
                # One that is left does not disturb the next.
                async with await client.chat.completions.create(**settings, stream=True) as left:
                    await anext(aiter(left))
                vectors = await client.embeddings.create(model=NAME, input=["a", "b"])
                with self.assertRaises(openai.NotFoundError):
                    await client.chat.completions.create(**settings | {"model": "gpt-9"})
                return answers, "".join(said), len(vectors.data)

        answers, said, vector_count = asyncio.run(ask())
        expected = whole.choices[0].message.content
        self.assertEqual({answer.choices[0].message.content for answer in answers}, {expected})
        self.assertEqual((said, vector_count), (expected, 2))


def main():
    model = Path(sys.argv.pop(1)) if len(sys.argv) > 1 and not sys.argv[1].startswith("-") else BASE
    for path in (model, SERVER):
        if not path.exists():
            print(f"`{path}` is missing", file=sys.stderr)
            sys.exit(2)
    with Server(model) as server:
        Conformance.url = server.url
        program = unittest.main(exit=False, verbosity=1)
    sys.exit(0 if program.result.wasSuccessful() else 1)


if __name__ == "__main__":
    main()
