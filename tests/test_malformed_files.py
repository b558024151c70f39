"""Malformed experiments and damaged results, some of the thousands of tests/fuzz."""

import pytest

from tests.fuzz import damaged, malformed


@pytest.mark.parametrize("seed", range(10_000, 10_040))
def test_a_malformed_experiment_is_one_sentence_and_leaves_nothing(seed):
    assert not malformed.outcome(seed).startswith("fault")


def test_most_of_the_damage_is_damage_and_the_undamaged_are_good():
    files = {"experiment.toml": malformed.MORE["cloud"].encode()} | malformed.companions()
    assert malformed.of_files(files) == "ran"
    assert malformed.of_files(files | {"points.csv": b"PK"}) == "refused"
    assert malformed.of_files(files | {"experiment.toml": b"\xff"}) == "refused"


@pytest.mark.parametrize("seed", range(10_000, 10_024))
def test_damaged_results_are_refused_or_the_same(seed):
    assert damaged.outcome(seed) in ("refused", "same")
