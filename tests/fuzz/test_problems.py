"""Three hundred random problems, each answered by two engines; thousands by `python -m tests.fuzz`."""

import pytest

from tests.fuzz.campaign import examine
from tests.fuzz.checks import engines
from tests.fuzz.problems import problem
from tests.fuzz.scope import KINDS, kind_of

N_PROBLEMS, N_BLOCKS = 300, 20
AT_EVERY_RUN = 5  # blocks; the others by `python -m pytest -m long`
N_BOUNDED = 20  # problems whose gap is held to another engine's answer, the first five at every run
AT_ONCE = 2  # engines a problem, in turn, so that each answers seventy or so


def some_engines(seed: int) -> set[str]:
    names = sorted(engines())
    return {names[(seed * AT_ONCE + k) % len(names)] for k in range(AT_ONCE)}


def blocks():
    marks = [[] if block < AT_EVERY_RUN else [pytest.mark.long] for block in range(N_BLOCKS)]
    return [pytest.param(block, marks=mark) for block, mark in enumerate(marks)]


@pytest.mark.slow
@pytest.mark.parametrize("block", blocks())
def test_no_engine_is_wrong_without_a_word(block):
    wrong = []
    for seed in range(block, N_PROBLEMS, N_BLOCKS):
        _, label, found, _, _ = examine(seed, only=some_engines(seed), in_units=False, draw=problem)
        wrong += [f"seed {seed}, {label}: {text}" for text in found]
    assert not wrong, "\n".join(wrong)


@pytest.mark.slow
def test_a_step_that_newton_left_early_is_held_to_the_densities_of_the_grid():
    """A rough density under a steep energy: MongeAmpere kept a third of the decrease, by its own record."""
    _, _, found, _, answers = examine(802556, only={"steps.MongeAmpere", "steps.Quantile"})
    assert not found
    assert len([said for said in answers if said.run is not None]) == 2


@pytest.mark.slow
@pytest.mark.parametrize("seed", [905381, 905641])
def test_rounding_is_neither_a_width_nor_a_gap(seed):
    """All mass drawn to one place, its last edge below its first by rounding; a full cap, a gap of −1e-15."""
    _, _, found, _, answers = examine(seed, only={"steps.Quantile"}, in_units=True)
    assert not found
    assert answers[0].run.info.row(-1).converged


@pytest.mark.parametrize(
    "seed",
    [pytest.param(seed, marks=[pytest.mark.long] if seed >= 5 else []) for seed in range(N_BOUNDED)],
)
def test_no_gap_is_below_what_another_engine_proves(seed):
    """The first problem from 20 seeds on that both take, on the line and without an interaction."""
    both = {"steps.BackAndForth", "steps.Quantile"}
    for number in range(20 * seed, 20 * seed + 20):
        posed = problem(number, in_units=False)
        if posed.mu.dimension > 1 or posed.F.parts.interaction:
            continue
        _, label, found, _, answers = examine(number, only=both, in_units=False, draw=problem)
        if all(said.run is not None for said in answers):
            assert not found, f"seed {number}, {label}: {found}"
            return
    pytest.fail("no problem that both take")


@pytest.mark.long
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "box"])
def test_each_kind_of_problem_is_answered(kind):
    """The first two seeds of a kind, in units of 1: no fault, and some engine answers."""
    seeds = [seed for seed in range(400) if kind_of(seed) == kind][:2]
    for seed in seeds:
        _, label, found, _, answers = examine(seed, in_units=False)
        assert not found, f"seed {seed}, {label}: {found}"
        assert any(said.run is not None for said in answers), f"seed {seed}, {label}"
