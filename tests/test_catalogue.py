"""The pages of functionals, and the matrix: a cell runs and keeps its laws, or is refused in a sentence."""

from itertools import product
from pathlib import Path

import numpy as np
import pytest

import functionals as fn
from jko import catalogue
from jko.catalogue import cells, laws, matrix, pages
from jko.catalogue.cells import Balance, Cell, Place
from jko.catalogue.matrix import Outcome, Verdict
from jko.catalogue.registry import engine_classes

DOCS = Path(__file__).parent.parent / "docs"
OUTCOMES = matrix.read(DOCS / "matrix.json")
QUICK = ("steps.PrimalDual", "steps.MongeAmpere", "steps.Linearized", "steps.FisherRao", "steps.Quantile")
CLOUDS = ("descent.ForwardEuler", "descent.Langevin", "descent.BirthDeath")
SAMPLE = {QUICK: 12, CLOUDS: 6}  # of the cells of quick engines in each run of the tests, of the seed below


def test_every_functional_has_an_example_on_the_line():
    for name in catalogue.names():
        F = catalogue.example(name)
        assert isinstance(F, fn.lookup(name))


def test_a_page_says_what_is_known_and_who_takes_it():
    page = catalogue.page("fisher_information")
    assert "δF/δρ = −2Δ√ρ/√ρ" in page
    assert "`limits.FiniteVolume`, `steps.Cvxpy`" in page
    assert "- `steps.PrimalDual`: steps.PrimalDual does not take FisherInformation()" in page


def test_the_matrix_is_whole_and_has_no_third_outcome():
    known = {matrix.key(cell) for cell in matrix.cells()}
    assert set(OUTCOMES) == known, "run docs/make_matrix.py for what is new"
    assert [name for name, found in OUTCOMES.items() if found.verdict is Verdict.FAILS] == []
    for name, found in OUTCOMES.items():
        assert (found.verdict is Verdict.REFUSES) == bool(found.said), name


def test_the_documentation_is_what_the_functionals_and_the_matrix_say():
    text = (DOCS / "functionals.md").read_text(encoding="utf-8")
    assert text == pages.document(OUTCOMES), "run docs/make_functionals.py"


def sampled() -> list[Cell]:
    """Cells of quick engines, drawn evenly among those that ran and those that were refused."""
    generator = np.random.default_rng(20261129)
    drawn = []
    for (engines, number), verdict in product(SAMPLE.items(), (Verdict.RUNS, Verdict.REFUSES)):
        cells = matrix.cells(engines=engines)
        group = [cell for cell in cells if OUTCOMES[matrix.key(cell)].verdict is verdict]
        drawn += [group[i] for i in generator.choice(len(group), number // 2, replace=False)]
    return drawn


def test_a_refusal_is_a_sentence_of_ours_and_no_librarys_complaint(monkeypatch):
    cell = Cell("potential", "descent.ForwardEuler", Place.BOX, Balance.KEPT, 2)
    monkeypatch.setattr(cells, "quantiles", lambda *_: np.ones(2) @ np.ones(3))
    assert matrix.outcome(cell).verdict is Verdict.FAILS
    assert "mismatch" in matrix.outcome(cell).said
    refused = Cell("cap", "descent.ForwardEuler", Place.TORUS, Balance.KEPT, 2)
    monkeypatch.undo()
    assert matrix.outcome(refused).verdict is Verdict.REFUSES


def test_a_cloud_whose_rates_are_not_the_densitys_is_told():
    cell = Cell("potential", "descent.ForwardEuler", Place.BOX, Balance.KEPT, 2)
    start, run = matrix._run(cell)
    assert matrix._agreement(cell, start, run) == ""
    moved = run.final.positions - start.positions
    run.measures[-1] = start.with_positions(start.positions + 2.0 * moved)
    assert "of the step away from that of limits.FiniteVolume" in matrix._agreement(cell, start, run)
    matrix._run.cache_clear()


@pytest.mark.slow
def test_a_sample_of_cells_is_as_stored():
    for cell in sampled():
        found = matrix.outcome(cell)
        assert found.verdict is OUTCOMES[matrix.key(cell)].verdict, (matrix.key(cell), found.said)


@pytest.mark.long
@pytest.mark.parametrize("name", catalogue.names())
def test_all_cells_are_as_stored(name):
    for cell in matrix.cells([name]):
        found, stored = matrix.outcome(cell), OUTCOMES[matrix.key(cell)]
        assert found.verdict is stored.verdict, (matrix.key(cell), found.said)


def test_laws_tell_a_step_that_is_wrong_from_one_that_is_right(monkeypatch):
    """A step of half the length, in place of the one that was asked for, fails three of the four checks."""
    cell = Cell("entropy", "steps.MongeAmpere", Place.BOX, Balance.KEPT)
    assert matrix.outcome(cell) == Outcome(Verdict.RUNS)
    start, run = matrix._run(cell)
    whole = laws.duration(cell)
    monkeypatch.setattr(laws, "duration", lambda cell: 2.0 * whole)
    assert "first variation" in matrix._first_variation(cell, start, run)
    half = cells.law(Place.BOX, 1)
    run.measures[-1] = half.with_values(0.5 * (half.values + run.final.values))
    assert "away" in matrix._agreement(cell, start, run)
    run.energy[-1] = run.energy[0] + 1.0
    assert "rose" in matrix._decay(cell, run)


def test_every_engine_has_its_column():
    text = (DOCS / "functionals.md").read_text(encoding="utf-8")
    for engine in engine_classes():
        assert engine.split(".")[1] in text
