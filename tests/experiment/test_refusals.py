"""Every key is checked: a refusal begins with its path and is one sentence."""

from pathlib import Path

import pytest

from jko.experiment import ExperimentError, load, parse

GOOD = """
[grid]
lower = -6.0
upper = 6.0
cells = 64

[initial]
kind = "gaussian"
mean = 1.5
std = 0.5

[[functional]]
name = "entropy"

[[functional]]
name = "potential"
potential = "quadratic"

[exact]
name = "OrnsteinUhlenbeck"

[runs.PDE]
scheme = "FiniteVolume"
tau = 0.01
n_steps = 20

[runs.Langevin]
scheme = "descent.Langevin"
tau = 0.02
t_final = 0.2
particles = 50
"""
POTENTIAL = 'potential = "quadratic"'
ENTROPY = 'name = "entropy"'
PDE = 'scheme = "FiniteVolume"'
TAU = "tau = 0.01\n"

CASES = [
    (TAU, "tau = -1\n", "runs.PDE.tau: expected a positive number, got -1"),
    (TAU, "tau = inf\n", "runs.PDE.tau: expected a positive number, got inf"),
    (TAU, 'tau = "a"\n', "runs.PDE.tau: expected a positive number, got 'a'"),
    (TAU, "tau = true\n", "runs.PDE.tau: expected a positive number, got True"),
    (TAU, "tua = 0.1\n", "runs.PDE.tua: unknown key of a run of limits.FiniteVolume; did you mean 'tau'?"),
    (TAU, "", "runs.PDE.tau: missing"),
    ("n_steps = 20", "", "runs.PDE: expected exactly one of the keys n_steps, t_final, got none"),
    ("n_steps = 20", "n_steps = 2.5", "runs.PDE.n_steps: expected a whole number, got 2.5"),
    (
        "n_steps = 20",
        "n_steps = 20\nt_final = 1.0",
        "runs.PDE: expected exactly one of the keys n_steps, t_final",
    ),
    (
        "n_steps = 20",
        "n_steps = 20\nstore_every = 0",
        "runs.PDE.store_every: expected a whole number of at least 1",
    ),
    ("t_final = 0.2", "t_final = 0.205", "runs.Langevin.t_final: expected a multiple of tau = 0.02"),
    ("t_final = 0.2", "t_final = 1e300", "runs.Langevin.t_final: expected a multiple of tau"),
    (
        PDE,
        'scheme = "FiniteVolum"',
        "runs.PDE.scheme: unknown scheme 'FiniteVolum'; did you mean 'FiniteVolume'?",
    ),
    (PDE, 'scheme = "limits.Langevin"', "runs.PDE.scheme: unknown scheme 'limits.Langevin'"),
    (PDE, "scheme = 3", "runs.PDE.scheme: expected a text, got 3"),
    (
        PDE,
        'scheme = "ForwardEuler"\nparticles = 9',
        "runs.PDE.scheme: descent.ForwardEuler does not take Entropy()",
    ),
    (PDE, PDE + "\nparticles = 9", "runs.PDE.particles: limits.FiniteVolume moves a Density"),
    (PDE, PDE + "\nseed = 9", "runs.PDE.seed: limits.FiniteVolume draws nothing at random"),
    ("particles = 50", "", "runs.Langevin.particles: missing"),
    ("particles = 50", "particles = 0", "runs.Langevin.particles: expected a whole number of at least 1"),
    (
        "particles = 50",
        "particles = 50\nseed = -3",
        "runs.Langevin.seed: expected a whole number of at least 0",
    ),
    ("particles = 50", "particles = 50\nnoise = 'pink'", "runs.Langevin.noise: expected one of 'gaussian'"),
    (
        "particles = 50",
        "particles = 50\nneighbours = 'x'",
        "runs.Langevin.neighbours: expected a whole number",
    ),
    ("cells = 64", "cells = 1", "grid.cells: expected a whole number of at least 2, got 1"),
    ("cells = 64", "cells = 1e30", "grid.cells: expected at most"),
    ("cells = 64", 'cells = "x"', "grid.cells: expected a number or a list of numbers, got 'x'"),
    ("cells = 64", "cells = 64\nperiodic = 1", "grid.periodic: expected True, False or one of them an axis"),
    ("cells = 64", "cells = 64\nperiodic = [true, true]", "grid.periodic: expected one bool or 1"),
    ("cells = 64", "cell = 64", "grid.cell: unknown key; did you mean 'cells'?"),
    ("upper = 6.0", "upper = -7", "grid.upper: expected to exceed lower"),
    ("upper = 6.0", "upper = nan", "grid.upper: expected a number or a list of numbers, got nan"),
    (
        'kind = "gaussian"',
        'kind = "gausian"',
        "initial.kind: unknown kind 'gausian'; did you mean 'gaussian'?",
    ),
    ("std = 0.5", "std = -0.5", "initial.std: expected a positive number, got -0.5"),
    (
        "std = 0.5",
        "sdt = 0.5",
        "initial.sdt: unknown key of the initial measure 'gaussian'; did you mean 'std'?",
    ),
    ("std = 0.5", "", "initial: expected exactly one of the keys std, covariance, got none"),
    ("mean = 1.5", "mean = [1.5, 2]", "initial.mean: expected 1 number"),
    ("mean = 1.5", "mean = 1000", "initial.mean: the Gaussian of mean [1000.0] has no mass on the grid"),
    (ENTROPY, 'name = "entropi"', "functional[1].name: unknown name 'entropi'; did you mean 'entropy'?"),
    (ENTROPY, ENTROPY + "\nweight = -1", "functional[1].weight: expected a positive number, got -1"),
    (ENTROPY, ENTROPY + "\nm = 2", "functional[1].m: unknown key of 'entropy'"),
    (ENTROPY, 'name = "power"', "functional[1].m: missing"),
    (ENTROPY, 'name = "power"\nm = 1', "functional[1].m: must differ from 1"),
    (ENTROPY, 'name = "power"\nm = "x"', "functional[1].m: expected a number"),
    (
        ENTROPY,
        'name = "internal"\nU = "s^2+"',
        "functional[1].U: expected a number, a name or '(' at the end, column 5",
    ),
    (ENTROPY, 'name = "internal"\nU = "s^2 + 1"', "functional[1].U: must tend to 0 at 0, got 1"),
    (ENTROPY, 'name = "internal"\nU = "-s^2"', "functional[1].U: must be convex"),
    (ENTROPY, 'name = "cap"\ncap = -1', "functional[1].cap: expected a positive number, got -1"),
    (ENTROPY, 'name = "cap"\ncap = "x1"', "functional[1].cap: must be positive on the whole grid"),
    (ENTROPY, 'name = "interaction"\nkernel = "gausian"', "functional[1].kernel: unknown kernel 'gausian'"),
    (ENTROPY, 'name = "interaction"\nkernel = "z1^3"', "functional[1].kernel: must be even"),
    (
        ENTROPY,
        'name = "interaction"\nkernel = "x1*y1"',
        "functional[1].kernel: unknown name at 'x1', column 1",
    ),
    (
        ENTROPY,
        'name = "kl"',
        "functional[1]: expected exactly one of the keys mean, V, log_density, got none",
    ),
    (ENTROPY, 'name = "kl"\nmean = 0\nstd = -1', "functional[1].std: expected a positive number, got -1"),
    (ENTROPY, 'name = "kl"\nV = "x1 +"', "functional[1].V: expected a number, a name"),
    (
        POTENTIAL,
        'potential = "quadratik"',
        "functional[2].potential: unknown potential 'quadratik'; did you mean",
    ),
    (
        POTENTIAL,
        'potential = "x1^2 + y"',
        "functional[2].potential: unknown name at 'y', column 8 of 'x1^2 + y'",
    ),
    (
        POTENTIAL,
        'potential = "log(x1)"',
        "functional[2].potential: is no number in 32 of the grid's 64 cells",
    ),
    (POTENTIAL, "potential = 3", "functional[2].potential: expected a text, got 3"),
    (POTENTIAL, "", "functional[2]: expected exactly one of the keys potential, file, sample, got none"),
    (POTENTIAL, POTENTIAL + "\nstiffness = [1, 2]", "functional[2].stiffness: expected 1 number an axis"),
    (
        POTENTIAL,
        POTENTIAL + "\nstifness = 1",
        "functional[2].stifness: unknown key of the potential 'quadratic'",
    ),
    (POTENTIAL, POTENTIAL + '\nfile = "x"', "functional[2]: expected exactly one of the keys"),
    (
        POTENTIAL,
        'potential = "double_well"\nheight = -1',
        "functional[2].height: must be a positive number, got -1",
    ),
    (POTENTIAL, 'potential = "x1^2"\nmodulus = "k"', "functional[2].modulus: expected a number"),
    (POTENTIAL, 'file = "x.npy"', "functional[2].file: no file 'x.npy' in"),
    (POTENTIAL, 'sample = "x.npz"', "functional[2].sample: no sample 'x.npz' in matplotlib's sample data"),
    (POTENTIAL, 'sample = "jacksboro_fault_dem.npz"', "functional[2].key: missing"),
    (
        POTENTIAL,
        'sample = "jacksboro_fault_dem.npz"\nkey = "elevation"',
        "functional[2].sample: expected 1 dimensions, the experiment's, got shape (344, 403)",
    ),
    ('name = "OrnsteinUhlenbeck"', 'name = "Ornstein"', "exact.name: unknown name 'Ornstein'"),
    ('name = "OrnsteinUhlenbeck"', 'name = "Heat"\nstifness = 3', "exact.stifness: unknown key of Heat"),
    (
        'name = "OrnsteinUhlenbeck"',
        'name = "Heat"\ntemperature = -3',
        "exact.temperature: expected a number >= 0",
    ),
    (
        'name = "OrnsteinUhlenbeck"',
        'name = "AggregationSteadyState"\ndimension = 2',
        "exact: the solution has dim",
    ),
    ("[runs.PDE]", "[run.PDE]", "run: unknown key; did you mean 'runs'?"),
    ("[runs.PDE]", '[runs."../PDE"]', "runs: '../PDE' names a run's files, too"),
    ("[runs.PDE]", "[runs.exact]", "runs.exact: the name is that of the exact solution"),
    ("[runs.PDE]", "[runs.PDE", "experiment: not a TOML file"),
    (
        "[grid]",
        '[output]\nplots = ["energi"]\n[grid]',
        "output.plots: expected true, false or a list of 'energy'",
    ),
    (
        "[grid]",
        '[output]\nanimate = ["X"]\n[grid]',
        "output.animate: expected true, false or a list of 'PDE'",
    ),
    ("[grid]", "functional = 3\n[grid]", "experiment: not a TOML file"),
    ("[grid]", f"x = {'[' * 5000}\n[grid]", "experiment: not a TOML file"),
    ("[grid]", f"tau = {10**400}\n[grid]", "tau: unknown key"),
    (TAU, f"tau = {10**400}\n", "runs.PDE"),
]


def test_the_good_one_is_good():
    experiment = parse(GOOD)
    assert list(experiment.runs) == ["PDE", "Langevin"]
    assert experiment.runs["Langevin"].n_steps == 10
    assert experiment.runs["Langevin"].measure.n == 50
    assert repr(experiment.functional) == "Entropy() + Potential('quadratic')"


@pytest.mark.parametrize(("old", "new", "says"), CASES, ids=[case[2][:60] for case in CASES])
def test_refusal(old, new, says):
    assert old in GOOD
    with pytest.raises(ExperimentError) as refusal:
        parse(GOOD.replace(old, new, 1))
    message = str(refusal.value)
    assert message.startswith(says)
    assert "\n" not in message
    assert len(message) < 800


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "initial: missing"),
        ("runs = 3\n" + GOOD.split("[runs.PDE]")[0], "runs: expected a table of keys, got 3"),
        (GOOD.split("[runs.PDE]")[0], "runs: missing"),
        (GOOD.split("[runs.PDE]")[0] + "[runs]", "runs.NAME: missing; write a table [runs.NAME]"),
        (
            GOOD.replace("[grid]\nlower = -6.0\nupper = 6.0\ncells = 64\n", ""),
            "runs.PDE.scheme: limits.FiniteVolume",
        ),
    ],
)
def test_refusal_of_the_whole(text, says):
    with pytest.raises(ExperimentError) as refusal:
        parse(text)
    assert str(refusal.value).startswith(says)


def test_runs_that_can_not_be_compared_are_refused_before_they_run():
    experiment = parse(
        GOOD.replace("t_final = 0.2", "t_final = 0.2\nstore_every = 7").replace("n_steps = 20", "n_steps = 9")
    )
    with pytest.raises(ValueError, match="runs: they have no stored time in common but the start"):
        experiment.require_common_times()


def test_a_file_that_is_none(tmp_path: Path):
    with pytest.raises(ExperimentError, match=r"no file .*none.toml"):
        load(tmp_path / "none.toml")
    with pytest.raises(ExperimentError, match="is a folder"):
        load(tmp_path)
    (tmp_path / "binary.toml").write_bytes(bytes(range(256)))
    with pytest.raises(ExperimentError, match="cannot be read as a text file"):
        load(tmp_path / "binary.toml")
