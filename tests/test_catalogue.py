"""The pages of functionals, and the matrix of functionals and engines: a cell runs or refuses."""

from pathlib import Path

import numpy as np
import pytest

import functionals as fn
import jko
from jko import catalogue

ENGINES = catalogue.engines()
PAGE = Path(__file__).parent.parent / "docs" / "functionals.md"


def test_every_functional_has_an_example_on_the_line():
    for name in catalogue.names():
        F = catalogue.example(name)
        assert isinstance(F, fn.lookup(name))


def test_a_page_says_what_is_known_and_who_takes_it():
    page = catalogue.page("fisher_information")
    assert "δF/δρ = −2Δ√ρ/√ρ" in page
    assert "`limits.FiniteVolume`, `steps.Cvxpy`" in page
    assert "- `steps.PrimalDual`: steps.PrimalDual does not take FisherInformation()" in page


def test_the_documentation_has_a_page_of_every_functional_and_a_column_of_every_engine():
    text = PAGE.read_text(encoding="utf-8")
    for name in catalogue.names():
        assert f"\n## {name}\n" in text, "run docs/make_functionals.py"
        assert f"\n| {name} | " in text
    for engine in ENGINES:
        assert engine.split(".")[1] in text


@pytest.mark.slow
@pytest.mark.parametrize("name", catalogue.names())
def test_a_cell_runs_or_refuses(name):
    """What `prepare` takes, takes a step: mass stays, and F does not rise but by noise."""
    F = catalogue.example(name)
    for engine, scheme in ENGINES.items():
        answer = catalogue.asked(scheme, F)
        if not answer.runs:
            assert len(answer.reason) > 20, engine
            continue
        start = catalogue._start(type(scheme))
        run = jko.flow(F, start, scheme, tau=1e-3, n_steps=1, throw=False)
        if set(run.info.status) != {"converged"}:
            assert len(run.info.note[0]) > 20, engine  # too short a step for it, in its own sentence
            continue
        assert not scheme.transports or abs(run.final.mass - start.mass) < 1e-9, engine
        noisy = "noise" in (type(scheme).__doc__ or "") or run.energy_kind != "exact"
        assert noisy or engine.startswith("steps.Entropic") or np.diff(run.energy)[0] <= 1e-9, engine


@pytest.mark.slow
def test_the_page_of_the_documentation_is_what_the_functionals_say():
    assert PAGE.read_text(encoding="utf-8") == catalogue.document(), "run docs/make_functionals.py"
