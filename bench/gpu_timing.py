"""Times of work on the card, by its own events."""

import statistics
import time

import torch

from gpu_work import percentile


def seconds_of(run, device):
    """Seconds of one call, on the card's clock."""
    if device == "cpu":
        start = time.perf_counter()
        run()
        return time.perf_counter() - start
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    start.record()
    run()
    end.record()
    end.synchronize()
    return start.elapsed_time(end) / 1000


def summary(runs, device, seconds=0.2, least=8, most=200):
    """Median, 20th and 80th percentile in ms of calls that take turns, so that none finds its inputs in the cache.

    Calls go on for about `seconds`, after a warm-up."""
    for run in runs:
        run()
    first = seconds_of(runs[0], device)
    count = max(least, min(most, int(seconds / max(first, 1e-6))))
    if device == "cpu":
        times = [seconds_of(runs[index % len(runs)], device) for index in range(count)]
    else:
        events = [torch.cuda.Event(enable_timing=True) for _ in range(count + 1)]
        events[0].record()
        for index in range(count):
            runs[index % len(runs)]()
            events[index + 1].record()
        torch.cuda.synchronize()
        times = [before.elapsed_time(after) / 1000 for before, after in zip(events, events[1:])]
    ms = [1000 * value for value in times]
    return {"ms": statistics.median(ms), "ms_p20": percentile(ms, 0.2), "ms_p80": percentile(ms, 0.8), "calls": count}


def random_matrix(rows, columns, device):
    """Random bf16 entries: a product of zeros can run faster than one of numbers."""
    return torch.randn(rows, columns, device=device, dtype=torch.bfloat16)


def relative_error(value, reference):
    """Norm of the difference over the norm of the reference, in f32."""
    value, reference = value.float(), reference.float()
    return float((value - reference).norm() / reference.norm())
