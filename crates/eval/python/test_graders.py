"""The Python of graders keeps every promise of the cases, and none of its mutants does.

A mutant that breaks no case is a promise that nobody wrote down, or changes nothing: those are in `EQUIVALENT`.
"""
import concurrent.futures
import contextlib
import functools
import multiprocessing
import os
import sys
import unittest
import warnings

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import cases_asserts
import cases_beside
import cases_candidate
import cases_grader
import cases_requests
import cases_rows
import cases_values
from casebook import broken_by
from equivalent import EQUIVALENT
from mutation import mutants_of
from sessions import NAMES, Product

# The cases that can break a mutant of a source: its own first, and those of what it serves.
BOOKS = {
    "values": [cases_values, cases_candidate, cases_grader],
    "grader": [cases_grader, cases_requests],
    "candidate": [cases_candidate, cases_grader],
    "asserts": [cases_asserts, cases_beside],
    "api_call": [cases_requests],
    "rows": [cases_rows],
}
# Of each source; fewer would mean that changes are no longer made.
MUTANTS_MIN = {"values": 200, "grader": 250, "candidate": 120, "asserts": 400, "api_call": 110, "rows": 20}
# Mutants that one process takes at once.
SHARE = 40


def cases_of(name):
    return [case for book in BOOKS[name] for case in book.case.cases]


@contextlib.contextmanager
def silent():
    """Programs that a mutant starts may write to where this one does."""
    kept = [os.dup(number) for number in (1, 2)]
    with open(os.devnull, "w", encoding="utf-8") as nowhere:
        for number in (1, 2):
            os.dup2(nowhere.fileno(), number)
    try:
        yield
    finally:
        for number, saved in zip((1, 2), kept):
            os.dup2(saved, number)
            os.close(saved)


def breaks(mutant, name, product, cases):
    """Whether a mutant breaks a case, which then comes first: the next mutant stands beside this one."""
    with mutant.applied(), silent(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with product.changed(name):
                broken = next((case for case in cases if broken_by(case, product) is not None), None)
        except (SyntaxError, ValueError):
            return True     # It does not even compile.
    if broken is not None:
        cases.remove(broken)
        cases.insert(0, broken)
    return broken is not None


@functools.lru_cache(maxsize=None)
def prepared(name):
    """What a process needs for the mutants of a source."""
    sys.dont_write_bytecode = True
    product = Product()
    return product, mutants_of(product.trees[name], name), cases_of(name)


def survivors(name, start):
    """The names of the mutants of one share that break no case."""
    product, mutants, cases = prepared(name)
    return [mutant.name for mutant in mutants[start:start + SHARE] if not breaks(mutant, name, product, cases)]


class Graders(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        sys.dont_write_bytecode, cls.writes = True, sys.dont_write_bytecode
        cls.product = Product()
        context = multiprocessing.get_context("fork")
        cls.pool = concurrent.futures.ProcessPoolExecutor(os.cpu_count(), mp_context=context)

    @classmethod
    def tearDownClass(cls):
        sys.dont_write_bytecode = cls.writes
        cls.pool.shutdown()

    def test_every_promise_is_kept(self):
        for case in dict.fromkeys(case for name in NAMES for case in cases_of(name)):
            with self.subTest(case.__name__):
                error = broken_by(case, self.product)
                if error is not None:
                    raise error

    def test_a_source_that_is_written_again_without_a_change_keeps_them(self):
        for name in NAMES:
            with self.product.changed(name):
                broken = [case.__name__ for case in cases_of(name) if broken_by(case, self.product)]
            self.assertEqual(broken, [], name)

    def test_what_is_equivalent_has_a_reason(self):
        self.assertTrue(all(reason.strip() for reason in EQUIVALENT.values()))
        strange = [name for name in EQUIVALENT if name.split(":")[0].split(".")[0] not in NAMES]
        self.assertEqual(strange, [])

    def check(self, name):
        """Every mutant of a source breaks a case, but for those that are listed."""
        names = [mutant.name for mutant in mutants_of(self.product.trees[name], name)]
        self.assertGreaterEqual(len(names), MUTANTS_MIN[name])
        listed = {mutant for mutant in EQUIVALENT if mutant.split(":")[0].split(".")[0] == name}
        self.assertEqual(listed - set(names), set(), "are listed, and are no mutants")
        shares = self.pool.map(survivors, *zip(*((name, start) for start in range(0, len(names), SHARE))))
        found = {mutant for share in shares for mutant in share}
        self.assertEqual(found - listed, set(), "break no case: write it, or give a reason in `EQUIVALENT`")
        self.assertEqual(listed - found, set(), "are listed as equivalent, and break a case")


def check_of(name):
    return lambda self: self.check(name)


for source in NAMES:
    setattr(Graders, f"test_every_mutant_of_{source}_breaks_a_case", check_of(source))

if __name__ == "__main__":
    unittest.main()
