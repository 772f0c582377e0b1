"""The list of mutants fits the code; `make mutants` runs them."""

import ast

import pytest

pytest.importorskip("resource", reason="not on Windows")
from soak.mutants import MUTANTS, PROJECT, choose, mutated


def test_a_hundred_mutants_change_one_place_each_and_have_tests():
    assert len(MUTANTS) == len(set(MUTANTS)) == 100
    for mutant in MUTANTS:
        ast.parse(mutated(mutant))  # raises ValueError unless the old text occurs once
        assert mutant.new != mutant.old and all((PROJECT / path).is_file() for path in mutant.tests), mutant


def test_mutants_are_chosen_by_count_or_text():
    assert len(choose(["10"])) == 10 and [mutant.new for mutant in choose(["SPLIT_SEED"])] == ["SPLIT_SEED = 1"]
