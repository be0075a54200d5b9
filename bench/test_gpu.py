"""What the GPU benchmark counts, reads and writes, without a GPU and without packages: `python3 bench/test_gpu.py`."""

import sys
import tempfile
import unittest
from pathlib import Path
from unittest import mock

sys.path.insert(0, str(Path(__file__).resolve().parent))

import gpu_parts  # noqa: E402
import gpu_report  # noqa: E402
import gpu_run  # noqa: E402
from gpu_work import documents, projections, shape, step_flops  # noqa: E402


def step(seconds, **more):
    """A line as the example train_step prints it."""
    run = dict(model="bench/shapes/mistral-7b", dtype="bf16", recompute="none", tokens=4096, documents=documents(4096))
    return {**run, "seconds": seconds, "losses": [10.4], "gradient_sha256": [], "peak_bytes": 30 * 10**9, **more}


def peft(seconds, **more):
    run = dict(shape="mistral-7b", dtype="bf16", tokens=4096, documents=documents(4096), way="packed", attention="sdpa")
    return {**run, "adapter": "bf16", "checkpointing": False, "seconds": seconds, "peak_bytes": 50 * 10**9, **more}


def item(part, name, result, **more):
    return {"part": part, "item": name, "status": "done", "seconds": 1.0, "result": result, **more}


def whole(*items):
    card = {"name": "NVIDIA H100 80GB HBM3", "driver_version": "580"}
    return dict(
        command="bash bench/gpu.sh", date="2026-01-01", card=card, card_after=None, build={}, system="", versions={}, items=items
    )


class Work(unittest.TestCase):
    def test_documents_add_up_and_are_always_the_same(self):
        self.assertEqual(sorted(documents(4096)), [638, 926, 1185, 1347])
        for tokens in (4096, 8192, 16384):
            lengths = documents(tokens)
            self.assertEqual(sum(lengths), tokens)
            self.assertEqual(len(lengths), round(tokens / 1000))
            self.assertLess(max(lengths), 4096)

    def test_operations_of_known_shapes(self):
        # 6.979 and 6.476 billion weights in the linear layers.
        for name, billions in (("mistral-7b", 6.979), ("llama2-7b", 6.476)):
            linear = 32 * sum(c_in * c_out for c_in, c_out in projections(shape(name)).values())
            self.assertAlmostEqual(linear / 1e9, billions, places=3)
        # One document of one token attends to itself and predicts nothing.
        config = shape("mistral-7b")
        linear = 32 * sum(c_in * c_out for c_in, c_out in projections(config).values())
        self.assertEqual(step_flops(config, [1]), 4 * linear + 14 * 4096 * 32)

    def test_a_window_bounds_the_pairs(self):
        config = {**shape("mistral-7b"), "sliding_window": 2}
        linear, head = step_flops(config, [1]) - 14 * 4096 * 32, 4 * 4096 * 32000
        # Three tokens: 1 + 2 + 2 pairs.
        self.assertEqual(step_flops(config, [3]), 3 * linear + 2 * head + 14 * 5 * 4096 * 32)


class Judging(unittest.TestCase):
    def test_counts_of_a_test_executable(self):
        output = "test a_fact ... skipped: 1 set\nok\ntest result: ok. 12 passed; 0 failed; 1 ignored; 0 measured\n"
        judged = gpu_parts.judge_test(output, 0)
        self.assertEqual(judged["result"], {"passed": 12, "failed": 0, "ignored": 1, "skipped": 1, "is_ok": True})

    def test_a_failed_test_is_a_result_and_keeps_its_output(self):
        judged = gpu_parts.judge_test("boom\ntest result: FAILED. 1 passed; 2 failed; 0 ignored\n", 101)
        self.assertEqual(judged["status"], "done")
        self.assertFalse(judged["result"]["is_ok"])
        self.assertIn("boom", judged["output"])

    def test_a_crash_or_time_out_is_no_result(self):
        for code in (None, -11):
            self.assertEqual(gpu_parts.judge_test("running 3 tests\n", code)["status"], "failed")

    def test_lines_before_a_time_out_count(self):
        entry = gpu_parts.Item(4, "peft", "json", [], 1)
        judged = gpu_parts.judge(entry, '{"a": 1}\n{"a": 2', None)
        self.assertEqual((judged["status"], judged["result"]), ("done", [{"a": 1}]))
        self.assertIn("timed out", judged["reason"])
        self.assertEqual(gpu_parts.judge(entry, "", 1)["status"], "failed")

    def test_launches_of_a_kernel_are_added(self):
        metrics = ",".join(f'"{name}"' for name in gpu_parts.NCU_METRICS)
        rows = [f'"ID","Kernel Name",{metrics}', '"","","ns","byte","byte"']
        rows += ['"0","a","1,000","10","20"', '"1","b","5000","1","1"', '"2","a","2000","30","40"']
        output = "\n".join(["==PROF== Connected", '{"model": "x"}', *rows])
        first, second = gpu_parts.ncu_kernels(output)
        self.assertEqual((first["name"], second["name"], second["launches"], second["bytes"]), ("b", "a", 2, 100.0))
        self.assertAlmostEqual(second["seconds"], 3e-6)


class Report(unittest.TestCase):
    def test_rates_and_the_ratio_to_the_best_way(self):
        products = [{"model": "mistral-7b", "tokens": 4096, "in": 4096, "out": 4096, "ms": 2 * 4096**3 / 500e9}]
        ceilings = [{"products": [{**products[0], "name": "o", "direction": "forward", "ms_p20": 1, "ms_p80": 1, "tflops": 500}]}]
        ceilings[0]["copy"] = {"bytes": 2**32, "gb_per_second": 3000}
        result = whole(
            item(2, "ceilings", ceilings),
            item(3, "ours", [step([0.2, 0.25, 0.3])]),
            item(4, "peft", [peft([0.6]), peft([0.5], way="padded"), {"way": "masked", "adapter": "f32", "error": "no"}]),
        )
        text = gpu_report.markdown(result)
        row = next(line for line in text.splitlines() if "| ours |" in line)
        tflops = step_flops(shape("mistral-7b"), documents(4096)) / 0.25 / 1e12
        self.assertIn(f"| 16384 (13653 to 20480) | {tflops:.0f} | {100 * tflops / 500:.0f}% | 30.00 | - | 2.00 |", row)
        self.assertIn("| Mistral-7B bf16, 4096 tokens: tokens/s | 16384 | at least 18000 | no |", text)
        self.assertIn("| the same over PEFT's best, 4096 tokens | 2.00 | at least 2 | yes |", text)
        self.assertIn("peft: masked, adapter f32 | failed | no |", text)

    def test_runs_that_differ_are_found(self):
        passed = item(1, "test golden", {"is_ok": True, "passed": 9, "failed": 0, "ignored": 0, "skipped": 0})
        same = [passed, item(3, "a", [step([1.0], gradient_sha256=["x", "y"])]), item(6, "b", [step([1], gradient_sha256=["x", "y"])])]
        self.assertTrue(gpu_report.is_correct(whole(*same)))
        other = item(6, "b", [step([1.1], gradient_sha256=["x", "z"])])
        self.assertFalse(gpu_report.is_correct(whole(*same[:2], other)))
        self.assertIn("**DIFFERENT**", gpu_report.markdown(whole(*same[:2], other)))

    def test_what_was_not_tested_is_not_correct(self):
        self.assertFalse(gpu_report.is_correct(whole()))
        self.assertFalse(gpu_report.is_correct(whole({"part": 1, "item": "test kernels", "status": "skipped", "reason": "x"})))

    def test_costs_of_a_lora_layout_add_up_over_a_block(self):
        ways = {name: {"ms": ms, "passes": [ms]} for name, ms in (("base", 1.0), ("skinny", 1.5), ("block", 1.4))}
        ways |= {"augmented": {"ms": 1.1, "passes": [1.1]}, "padded": {"ms": 1.2, "passes": [1.2]}}
        rows = [{"name": name, "direction": "forward", "ways": ways} for name in ("o", "down")]
        result = item(7, "lora", [{"model": "mistral-7b", "tokens": 8192, "rank": 16, "rows": rows}])
        self.assertIn("| a block | both | 2.000 | +1.000 | +0.800 | +0.200 | +0.400 |", gpu_report.markdown(whole(result)))

    def test_passes_that_serve_are_set_beside_the_copy_rate(self):
        ceilings = [{"products": [], "copy": {"bytes": 2**32, "gb_per_second": 3000}}]
        decode = dict(what="decode", weights="q8", batch=8, context=1024, same_tokens=True, queued_ms=4.0, recorded_ms=3.0)
        decode |= dict(tokens_per_s=8 / 0.003, bytes=7.5e9, bytes_per_s=2.5e12)
        product = dict(what="product", weights="q8", shape="down", n=4096, k=14336, rows=1, us=25.0, bytes=1, bytes_per_s=1.5e12)
        prompt = dict(what="prompt", weights="q8", tokens=2048, ms=40.0, tokens_per_s=51200.0)
        skipped = {"what": "decode", "weights": "q8", "batch": 64, "context": 4096, "skipped": "pages"}
        passed = item(1, "test card_serving", {"is_ok": True, "passed": 6, "failed": 0, "ignored": 0, "skipped": 0})
        served = item(8, "serving mistral-7b q8", [product, decode, skipped, prompt])
        result = whole(passed, item(2, "ceilings", ceilings), served)
        text = gpu_report.markdown(result)
        self.assertIn("| mistral-7b | q8 | 8 | 1024 | 2667 | 3.000 | 4.000 | the same | 7.50 | 2500 | 83% |", text)
        self.assertIn("| mistral-7b | q8 | down | 4096 x 14336 | 1 | 25.0 | 1500 | 50% |", text)
        self.assertIn("| mistral-7b | q8 | 2048 | 40.0 | 51200 |", text)
        self.assertIn("| 8 | serving mistral-7b q8: decode, batch 64, context 4096 | skipped | pages |", text)
        self.assertTrue(gpu_report.is_correct(result))
        decode["same_tokens"] = False
        self.assertFalse(gpu_report.is_correct(result))
        self.assertIn("**DIFFERENT**", gpu_report.markdown(result))

    def test_what_did_not_run_is_listed_and_nothing_is_invented(self):
        skipped = {"part": 5, "item": "kernels", "status": "skipped", "reason": "ncu is not installed"}
        text = gpu_report.markdown(whole(skipped))
        self.assertIn("| 5 | kernels | skipped | ncu is not installed |", text)
        self.assertNotIn("tokens/s", text.split("## Not measured")[1])
        self.assertNotIn("## Goals", text)


class Resuming(unittest.TestCase):
    def call(self, out, commands, deadline=1000.0):
        entries = [gpu_parts.Item(3, name, "json", command, 10, reason="missing") for name, command in commands.items()]
        place = mock.Mock(out=out, root=out, environment=None)
        with mock.patch.object(gpu_run.time, "monotonic", return_value=0.0), mock.patch("sys.stderr"):
            return gpu_run.work(place, entries, gpu_run.finished(out / "gpu-items.jsonl"), deadline)

    def test_what_is_done_is_left_out_and_the_rest_is_made_up(self):
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder)
            printing = [sys.executable, "-c", "open('ran', 'a').write('x'); print('{}')"]
            first = self.call(out, {"a": printing, "b": [sys.executable, "-c", "raise SystemExit(3)"], "c": None})
            self.assertEqual([record["status"] for record in first.values()], ["done", "failed", "skipped"])
            with (out / "gpu-items.jsonl").open("a") as journal:
                journal.write('{"cut off')
            second = self.call(out, {"a": printing, "b": printing, "c": None})
            self.assertEqual([record["status"] for record in second.values()], ["done", "done", "skipped"])
            third = self.call(out, {"a": printing, "b": printing, "c": None})
            self.assertEqual([record["status"] for record in third.values()], ["done", "done", "skipped"])
            self.assertEqual((out / "ran").read_text(), "xx")

    def test_without_time_nothing_is_begun(self):
        with tempfile.TemporaryDirectory() as folder:
            records = self.call(Path(folder), {"a": [sys.executable, "-c", "print('{}')"]}, deadline=10.0)
            self.assertEqual(records["a"]["reason"], "out of time")


if __name__ == "__main__":
    unittest.main()
