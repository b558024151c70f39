"""Species and schemes that wrap others in a file: what is read is what Python would write."""

import numpy as np
import pytest

import functionals as fn
import jko
from jko.cli import main
from jko.experiment import ExperimentError, parse

KAPPA, THETA = 0.8, 0.5
BOUND = """
[grid]
lower = -6.0
upper = 6.0
cells = 200

[species.a]
kind = "gaussian"
mean = -1.0
std = 0.7

[species.b]
kind = "gaussian"
mean = 1.5
std = 0.9

[[functional]]
name = "entropy"
weight = 0.5
species = "a"

[[functional]]
name = "entropy"
weight = 0.5
species = "b"

[[functional]]
name = "interaction"
kernel = "quadratic"
weight = 0.8
between = ["a", "b"]
"""
IN_TURN = """
[runs.turn]
scheme = "SpeciesInTurn"
order = 2
tau = 0.05
n_steps = 10
[runs.turn.step]
scheme = "FiniteVolume"
"""
CLOUDS = """
[runs.clouds]
scheme = "SpeciesEuler"
particles = 4000
seed = 1
tau = 0.05
n_steps = 10
"""


@pytest.mark.slow
def test_two_species_bound_come_together_at_the_rate_of_the_law(tmp_path, capsys):
    (tmp_path / "bound.toml").write_text(BOUND + IN_TURN + CLOUDS)
    assert main(["compare", str(tmp_path / "bound.toml"), "--out", str(tmp_path / "out")]) == 0
    assert "turn" in capsys.readouterr().out
    apart = 2.5 * np.exp(-2 * KAPPA * 0.5)
    for name, error in (("turn", 1e-3), ("clouds", 0.1)):  # 4.5 standard errors, and Euler's 2 % of tau
        final = jko.Trajectory.load(tmp_path / "out" / f"{name}.nc").final
        assert final.names == ("a", "b")
        assert abs(final["b"].mean()[0] - final["a"].mean()[0] - apart) < error


def test_a_file_gives_what_python_gives():
    read = parse(BOUND + IN_TURN)
    grid = jko.Grid.uniform(-6.0, 6.0, 200)
    start = jko.Species(a=jko.Density.gaussian(grid, -1.0, 0.7), b=jko.Density.gaussian(grid, 1.5, 0.9))
    F = 0.5 * fn.on("a", fn.Entropy()) + 0.5 * fn.on("b", fn.Entropy())
    F = F + 0.8 * fn.Cross("quadratic", "a", "b")
    scheme = jko.steps.SpeciesInTurn(jko.limits.FiniteVolume(), order=2)
    assert repr(read.functional) == repr(F)
    ours, theirs = (jko.flow(G, start, scheme, tau=0.05, n_steps=2) for G in (F, read.functional))
    for name in ("a", "b"):
        assert np.array_equal(ours.final[name].values, theirs.final[name].values)


def test_totals_and_functionals_that_move_one_species():
    text = BOUND.replace('between = ["a", "b"]', 'between = ["a", "b"]\nmoves = "a"')
    text += '[[functional]]\nname = "power"\nm = 2.0\ntotal = true\n'
    text += '[[functional]]\nname = "cap"\ncap = 2.0\ntotal = true\n'
    F = parse(
        text + IN_TURN.replace("order = 2", "order = 1").replace("FiniteVolume", "PrimalDual")
    ).functional
    assert "TotalInternal(Power(2))" in repr(F).replace("2.0", "2")
    assert "TotalCap(2)" in repr(F)
    assert "each(a=" in repr(F)
    assert "b=" not in repr(F).split("each(")[1]


def test_a_scheme_for_each_species():
    each = IN_TURN.replace("order = 2", "order = 1").replace(
        '[runs.turn.step]\nscheme = "FiniteVolume"',
        '[runs.turn.step.a]\nscheme = "FiniteVolume"\n[runs.turn.step.b]\nscheme = "Quantile"',
    )
    scheme = parse(BOUND + each).runs["turn"].scheme
    assert {name: s.scheme_name() for name, s in scheme.scheme.items()} == {
        "a": "limits.FiniteVolume",
        "b": "steps.Quantile",
    }


def test_a_scheme_that_wraps_another():
    text = """
    [grid]
    lower = -6.0
    upper = 6.0
    cells = 100
    [initial]
    kind = "gaussian"
    mean = 1.0
    std = 0.8
    [[functional]]
    name = "entropy"
    [runs.second]
    scheme = "SecondOrder"
    step = {scheme = "Quantile", cells = 50}
    tau = 0.1
    n_steps = 2
    """
    field = next(iter(jko.steps.Quantile.__dataclass_fields__))
    text = text.replace("cells = 50", f"{field} = {getattr(jko.steps.Quantile(), field)!r}")
    read = parse(text)
    assert read.runs["second"].scheme == jko.steps.SecondOrder(jko.steps.Quantile())
    run = read.runs["second"].flow(read.functional, progress=False)
    mine = jko.flow(
        fn.Entropy(),
        read.runs["second"].measure,
        jko.steps.SecondOrder(jko.steps.Quantile()),
        tau=0.1,
        n_steps=2,
    )
    assert np.array_equal(run.final.values, mine.final.values)
    with pytest.raises(
        ExperimentError, match=r"runs\.second\.step: missing; steps\.SecondOrder wraps a scheme"
    ):
        parse(text.replace("step = {", "# step = {"))
    with pytest.raises(ExperimentError, match=r"runs\.second\.step\.scheme: unknown scheme 'Quantil'"):
        parse(text.replace('"Quantile"', '"Quantil"'))


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ('species = "a"', 'species = "c"', r"functional\[1\]\.species: unknown species 'c'"),
        ('species = "a"\n', "", r"functional\[1\]: expected exactly one of the keys species, between, total"),
        ('["a", "b"]', '["a"]', r"functional\[3\]\.between: expected two of the species a, b"),
        ('species = "b"', 'between = ["a", "b"]', r'functional\[2\]\.between: only an "interaction" acts'),
        ('species = "b"', "total = false", r"functional\[2\]\.total: expected true"),
        ("[species.a]", '[species."a b"]', "species.a b: a species is named by a word"),
        (
            "[species.a]",
            '[initial]\nkind = "uniform"\n[species.a]',
            "species: each species has its own start",
        ),
        ('"SpeciesInTurn"\norder = 2', '"FiniteVolume"', "species move by steps.PrimalDual"),
        ("mean = 1.5", "mean = [1.5, 0.0]", "species.b.mean: "),
    ],
)
def test_what_is_refused_begins_with_the_key(old, new, sentence):
    text = (BOUND + IN_TURN).replace(old, new, 1)
    if "FiniteVolume" in new:
        text = text.replace('[runs.turn.step]\nscheme = "FiniteVolume"\n', "")
    with pytest.raises(ExperimentError, match=sentence):
        parse(text)


def test_species_need_species():
    text = (BOUND + IN_TURN).replace("[species.a]", "[initial]").split("[species.b]")[0]
    alone = text + '[[functional]]\nname = "entropy"\nspecies = "a"\n' + IN_TURN
    with pytest.raises(ExperimentError, match=r"functional\[1\]\.species: there are no species"):
        parse(alone)
    with pytest.raises(ExperimentError, match=r"steps\.SpeciesInTurn moves species: write tables"):
        parse(alone.replace('species = "a"', ""))
