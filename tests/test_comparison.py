"""Numbers of a comparison against closed forms."""

import csv
import math

import numpy as np
import pytest

import functionals as fn
import jko
from jko.comparison import Comparison, compare, fit_decay, l1_distance
from jko.comparison.distances import carried, w2_distance
from jko.comparison.least_energy import decays, gaussian_excess
from jko.scheme import Records

OU = jko.exact.OrnsteinUhlenbeck(mean=1.5, std=0.5)
F = fn.Entropy() + fn.Potential("quadratic")


def trajectory(measures, times, energy=None, modulus=1.0, **options):
    """A run made by hand, with a converged record a step."""
    energy = [F(mu) for mu in measures] if energy is None else energy
    return jko.Trajectory(
        times=times,
        energy=energy,
        measures=measures,
        info=Records.constant(len(times) - 1, iterations=1),
        tau=float(times[1] - times[0]) if len(times) > 1 else 0.1,
        functional=options.pop("functional", repr(F)),
        displacement_modulus=modulus,
        **options,
    )


def gaussian_run(solution, times, shift=0.0):
    gaussians = [solution.at(t) for t in times]
    moved = [jko.Gaussian(g.mean() + shift, g.covariance()) for g in gaussians]
    return trajectory(moved, times)


TIMES = np.linspace(0.0, 2.0, 21)


def test_distance_to_the_exact_answer_is_the_shift_of_a_gaussian():
    comparison = compare({"shifted": gaussian_run(OU, TIMES, shift=0.3)}, exact=OU)
    np.testing.assert_allclose(comparison.distance("W2", "shifted"), 0.3, rtol=1e-12)
    row = comparison.table[0]
    assert row["w2_exact"] == pytest.approx(0.3, rel=1e-12)
    assert row["w2_exact_worst"] == pytest.approx(0.3, rel=1e-12)


def test_l1_of_shifted_gaussians_is_the_error_function():
    """∫|φ(x) − φ(x − s)| dx = 2 erf(s / (2√2 σ))."""
    for shift, std in ((0.3, 0.5), (1.0, 0.5), (0.05, 2.0)):
        exact = 2.0 * math.erf(shift / (2.0 * math.sqrt(2.0) * std))
        first, second = jko.Gaussian.of(0.2, std), jko.Gaussian.of(0.2 + shift, std)
        assert l1_distance(first, second).value == pytest.approx(exact, rel=2e-3)
        grid = jko.Grid.uniform(-12.0, 12.0, 1200)
        assert l1_distance(first.on(grid), second.on(grid)).value == pytest.approx(exact, rel=1e-3)


def test_carrying_a_density_to_another_grid_keeps_its_mass_and_is_of_second_order():
    fine = jko.Grid.uniform((-5.0, -5.0), (5.0, 5.0), (220, 180))
    errors = []
    for n in (30, 60, 120):
        grid = jko.Grid.uniform((-5.0, -5.0), (5.0, 5.0), (n, n))
        coarse = jko.Density.gaussian(grid, mean=(0.3, -0.2), std=0.8)
        values = carried(coarse, fine)
        assert values.min() >= 0.0
        assert values.sum() * fine.cell_volume == pytest.approx(1.0, abs=1e-12)
        errors.append(l1_distance(coarse, jko.Density.gaussian(fine, mean=(0.3, -0.2), std=0.8)).value)
    orders = np.log2(np.array(errors[:-1]) / errors[1:])
    assert np.all(orders > 1.8), (errors, orders)


def test_mass_outside_the_finer_grid_counts_in_full():
    narrow = jko.Density.uniform(jko.Grid.uniform(0.0, 1.0, 100))
    wide = jko.Density.uniform(jko.Grid.uniform(0.0, 2.0, 20))
    assert l1_distance(narrow, wide).value == pytest.approx(1.0, abs=1e-9)
    apart = jko.Density.uniform(jko.Grid.uniform(5.0, 6.0, 20))
    assert l1_distance(narrow, apart).value == pytest.approx(2.0, abs=1e-9)


def test_a_cloud_against_its_own_law_is_noise_and_against_another_is_not():
    grid = jko.Grid.uniform(-6.0, 6.0, 300)
    law = jko.Gaussian.of(0.0, 1.0)
    cloud = law.sample(20_000, seed=3)
    own = l1_distance(cloud, law.on(grid))
    assert own.method == "kernel estimate"
    assert own.value < 0.03
    shifted = l1_distance(cloud, jko.Gaussian.of(0.5, 1.0).on(grid)).value
    assert shifted == pytest.approx(2.0 * math.erf(0.5 / (2.0 * math.sqrt(2.0))), abs=0.03)


def test_l1_of_a_cloud_counts_particles_outside_the_grid():
    cloud = jko.Particles(np.concatenate([np.linspace(0.0, 1.0, 50), np.linspace(7.0, 8.0, 50)]))
    density = jko.Density.uniform(jko.Grid.uniform(-1.0, 2.0, 60), 0.0, 1.0)
    assert l1_distance(cloud, density).value >= 1.0 - 1e-9


def test_l1_is_not_a_number_where_there_is_none():
    first, second = jko.Gaussian(np.zeros(4), np.eye(4)), jko.Gaussian(np.ones(4), np.eye(4))
    assert math.isnan(l1_distance(first, second).value)
    assert math.isnan(l1_distance(jko.Particles(np.zeros((5, 1))), jko.Gaussian.of(0.0, 1.0)).value)


def test_large_clouds_are_thinned_by_their_seed_and_say_so():
    cloud = jko.Gaussian.of((0.0, 0.0), 1.0).sample(3000, seed=0)
    moved = cloud.with_positions(cloud.positions + np.array([2.0, 0.0]))
    measured = w2_distance(cloud, moved, seed=5)
    assert measured.method == "subsampled"
    assert measured == w2_distance(cloud, moved, seed=5)
    assert measured.value == pytest.approx(2.0, abs=0.1)
    assert w2_distance(cloud.subsample(200, 0), moved.subsample(200, 0)).value == pytest.approx(2.0, rel=1e-9)


def test_the_energy_excess_of_a_gaussian_is_its_closed_form():
    equilibrium = F(jko.Gaussian.of(0.0, 1.0))
    for t in (0.0, 0.3, 2.0):
        assert gaussian_excess(OU, t) == pytest.approx(F(OU.at(t)) - equilibrium, abs=1e-12)
    warm = jko.exact.OrnsteinUhlenbeck(mean=(1.0, -0.5), std=0.3, stiffness=(2.0, 0.5), temperature=0.7)
    G = 0.7 * fn.Entropy() + fn.Potential("quadratic", stiffness=(2.0, 0.5))
    least = G(jko.Gaussian(np.zeros(2), 0.7 * np.diag([0.5, 2.0])))
    assert gaussian_excess(warm, 0.4) == pytest.approx(G(warm.at(0.4)) - least, abs=1e-12)
    assert gaussian_excess(jko.exact.Heat(), 0.0) is None
    assert gaussian_excess(jko.exact.Barenblatt(), 0.0) is None


@pytest.mark.parametrize("stiffness", [0.5, 1.0, 3.0])
def test_the_mean_alone_decays_at_exactly_two_lambda(stiffness):
    """From std = (θ/λ)^½ only the mean moves, and F − F_min = ½λm₀²e^{−2λt}."""
    solution = jko.exact.OrnsteinUhlenbeck(mean=2.0, std=stiffness**-0.5, stiffness=stiffness)
    G = fn.Entropy() + fn.Potential("quadratic", stiffness=stiffness)
    times = TIMES / stiffness
    measures = [solution.at(t) for t in times]
    run = trajectory(measures, times, [G(mu) for mu in measures], stiffness, functional=repr(G))
    by_equilibrium = compare({"run": run}, exact=solution).table[0]
    assert by_equilibrium["minimum_source"] == "exact equilibrium"
    assert by_equilibrium["decay_rate"] == pytest.approx(2.0 * stiffness, rel=1e-9)
    assert by_equilibrium["declared_rate"] == 2.0 * stiffness
    jointly = compare({"run": run}).table[0]
    assert jointly["minimum_source"] == "fitted jointly"
    assert jointly["decay_rate"] == pytest.approx(2.0 * stiffness, rel=1e-6)
    assert jointly["minimum_energy"] == pytest.approx(G(solution.at(60.0)), abs=1e-6)
    given = compare({"run": run}, minimum=G(solution.at(60.0))).table[0]
    assert given["decay_rate"] == pytest.approx(2.0 * stiffness, rel=1e-9)


def test_implicit_steps_decay_as_their_closed_form():
    """JKO moves the mean by 1/(1 + λτ) a step: the rate is 2 log(1 + λτ)/τ."""
    tau = 0.1
    run = jko.flow(F, jko.Gaussian.of(2.0, 1.0), jko.steps.Gaussian(), tau=tau, n_steps=20)
    row = compare({"JKO": run}, exact=jko.exact.GaussianJKO(mean=2.0, std=1.0, tau=tau)).table[0]
    assert row["decay_rate"] == pytest.approx(2.0 * math.log1p(tau) / tau, rel=1e-9)
    assert row["w2_exact_worst"] < 1e-10
    assert row["dissipation_violations"] == 0


def test_no_rate_where_the_least_energy_is_out_of_sight():
    times = np.linspace(0.0, 1.0, 20)
    assert math.isnan(fit_decay(times, -0.5 * np.log(0.25 + 2.0 * times)).rate)  # heat: no least energy
    assert math.isnan(fit_decay(times, np.exp(-0.5 * times)).rate)  # most of the excess is still there
    assert math.isnan(fit_decay(times, np.ones(20)).rate)
    assert math.isnan(fit_decay(times[:3], np.exp(-times[:3])).rate)
    assert math.isnan(fit_decay(times, np.exp(times)).rate)


def test_noisy_energies_give_the_rate_within_their_error():
    generator = np.random.default_rng(0)
    times = np.linspace(0.0, 1.5, 40)
    misses = []
    for _ in range(40):
        sigma = np.full(40, 0.02)
        energy = 0.7 + 1.3 * np.exp(-2.0 * times) + sigma * generator.standard_normal(40)
        decay = fit_decay(times, energy, sigma, minimum=0.7)
        misses.append((decay.rate - 2.0) / decay.error)
    assert 0.6 < np.std(misses) < 1.5
    assert abs(np.mean(misses)) < 0.6


def test_an_estimate_takes_its_least_energy_from_the_exact_run_of_the_same_functional():
    energy = 0.4 + np.exp(-2.0 * TIMES)
    measures = [OU.at(t) for t in TIMES]
    exact = trajectory(measures, TIMES, energy)
    cloud = trajectory(
        measures, TIMES, energy + 0.01, energy_kind="estimate", energy_uncertainty=np.full(len(TIMES), 0.01)
    )
    found = decays({"cloud": cloud, "grid": exact})
    assert list(found) == ["cloud", "grid"]
    assert found["cloud"].source == "fitted to another run"
    assert found["cloud"].minimum == pytest.approx(0.4, abs=1e-6)
    other = trajectory(measures, TIMES, energy, energy_kind="regularised", functional="another")
    assert decays({"blob": other, "grid": exact}, exact=OU)["blob"].source == "fitted jointly"


def test_runs_meet_at_the_times_that_all_of_them_stored():
    runs = {"a": gaussian_run(OU, np.arange(21) * 0.1), "b": gaussian_run(OU, np.arange(9) * 0.25, shift=0.2)}
    comparison = compare(runs)
    np.testing.assert_allclose(comparison.times, [0.0, 0.5, 1.0, 1.5, 2.0])
    np.testing.assert_allclose(comparison.distance("W2", "a", "b"), 0.2, rtol=1e-12)
    np.testing.assert_allclose(compare(runs, times=[0.5]).times, [0.5])
    with pytest.raises(ValueError, match=r"times: not all runs stored 0\.25"):
        compare(runs, times=[0.25, 0.5])
    with pytest.raises(ValueError, match="no stored time in common but the start"):
        compare({"a": gaussian_run(OU, [0.0, 0.3]), "b": gaussian_run(OU, [0.0, 0.2])})


@pytest.mark.parametrize(
    ("runs", "exact", "error", "match"),
    [
        ([], None, TypeError, "runs: expected a dict"),
        ({}, None, ValueError, "runs: expected one trajectory or more"),
        ({"a": 1}, None, TypeError, r"runs\['a'\]: expected a Trajectory"),
        ({"exact": gaussian_run(OU, TIMES)}, OU, ValueError, "the name 'exact'"),
        ({"a": gaussian_run(OU, TIMES)}, 3, TypeError, "exact: expected a solution"),
        ({"a": gaussian_run(OU, TIMES)}, jko.exact.Heat(mean=(0.0, 0.0)), ValueError, "one dimension"),
    ],
)
def test_refusals(runs, exact, error, match):
    with pytest.raises(error, match=match):
        compare(runs, exact)


def test_a_distance_that_is_not_there_is_refused():
    comparison = compare({"a": gaussian_run(OU, TIMES)}, exact=OU)
    with pytest.raises(ValueError, match="'W2' or 'L1'"):
        comparison.distance("L2", "a")
    with pytest.raises(ValueError, match="no run 'b'"):
        comparison.distance("W2", "b")


@pytest.fixture(scope="module")
def three_ways():
    """JKO, Langevin and the PDE on the Gaussian problem."""
    grid = jko.Grid.uniform(-6.0, 6.0, 200)
    rho0 = jko.Density.gaussian(grid, mean=1.5, std=0.5)
    return {
        "JKO": jko.flow(F, rho0, jko.steps.Quantile(), tau=0.05, n_steps=20),
        "Langevin": jko.flow(
            F, rho0.sample(4000, seed=0), jko.descent.Langevin(seed=1), tau=0.01, n_steps=100, store_every=5
        ),
        "Fokker-Planck": jko.flow(F, rho0, jko.limits.FiniteVolume(), tau=0.01, n_steps=100, store_every=5),
    }


@pytest.mark.slow
def test_three_engines_side_by_side(three_ways, tmp_path):
    comparison = jko.compare(three_ways, exact=OU)
    assert isinstance(comparison, Comparison)
    rows = {row["run"]: row for row in comparison.table}
    assert rows["Fokker-Planck"]["l1_exact_worst"] < 1e-3
    assert rows["JKO"]["w2_exact_worst"] < 0.03
    # a cloud is no farther from the law than three times what a sample of it is
    assert rows["Langevin"]["w2_exact"] < 3.0 * rows["Langevin"]["w2_sample"]
    assert rows["Langevin"]["energy_uncertainty"] > 0.0
    allowed = 4.0 * rows["Langevin"]["decay_rate_error"] + 0.1
    assert rows["Langevin"]["decay_rate"] == pytest.approx(2.0, abs=allowed)
    assert rows["Fokker-Planck"]["decay_rate"] == pytest.approx(2.0, abs=0.1)
    assert rows["JKO"]["mass"] == pytest.approx(1.0, abs=1e-12)
    for kind in ("W2", "L1"):
        matrix = comparison.pairs[kind]
        assert matrix.shape == (len(comparison.times), 4, 4)
        np.testing.assert_array_equal(matrix, np.swapaxes(matrix, 1, 2))
        assert np.all(np.diagonal(matrix, axis1=1, axis2=2) == 0.0)
    path = comparison.to_csv(tmp_path / "table.csv")
    with open(path, encoding="utf-8") as file:
        read = list(csv.DictReader(file))
    assert [row["run"] for row in read] == list(three_ways)
    assert float(read[0]["w2_exact"]) == rows["JKO"]["w2_exact"]
    lines = comparison.distances_to_csv(tmp_path / "deep" / "distances.csv").read_text().splitlines()
    assert len(lines) == 1 + 6 * len(comparison.times)
    assert not list(tmp_path.rglob("*.partial"))


def test_the_text_names_every_run_and_marks_estimates(three_ways):
    text = str(jko.compare(three_ways, exact=OU))
    for word in (*three_ways, "W2 to exact", "L1 to exact", "decay rate", "[e] energy", "[k] L1", "[s]"):
        assert word in text
    header, rule = text.splitlines()[3:5]
    assert set(rule) == {"-"}
    columns = [header.index(name) for name in three_ways]
    for line in text.splitlines()[5:8]:
        assert all(line[column] != " " and line[column - 1] == " " for column in columns), line


@pytest.mark.slow
def test_the_report_writes_everything(three_ways, tmp_path):
    comparison = jko.compare({name: three_ways[name] for name in ("JKO", "Langevin")}, exact=OU)
    folder = comparison.save(tmp_path / "report")
    found = {path.name for path in folder.iterdir()}
    pictures = {"energy.png", "errors.png", "density.png", "particles.png"}
    texts = {"comparison.txt", "comparison.csv", "distances.csv", "report.html"}
    assert found == pictures | texts | {"JKO.nc", "Langevin.nc"}
    assert (folder / "comparison.txt").read_text(encoding="utf-8") == str(comparison) + "\n"
    again = jko.Trajectory.load(folder / "JKO.nc")
    np.testing.assert_array_equal(again.energy, comparison.runs["JKO"].energy)


def test_a_failed_run_is_compared_up_to_where_it_came():
    short = gaussian_run(OU, TIMES[:6])
    row = compare({"short": short, "long": gaussian_run(OU, TIMES)}, exact=OU).table[0]
    assert row["time"] == pytest.approx(0.5)


@pytest.mark.slow
def test_runs_of_like_names_do_not_share_a_file(tmp_path):
    runs = {
        "a b": gaussian_run(OU, TIMES),
        "a_b": gaussian_run(OU, TIMES, 0.1),
        "../c": gaussian_run(OU, TIMES),
    }
    folder = jko.compare(runs).save(tmp_path)
    assert {path.name for path in folder.glob("*.nc")} == {"a_b.nc", "a_b~2.nc", "_c.nc"}
    assert jko.Trajectory.load(folder / "a_b~2.nc").measures[0].mean()[0] == pytest.approx(1.6)


def test_a_cloud_beside_a_torus_is_wrapped_in_both_distances_and_its_energy_left_out():
    grid = jko.Grid.uniform(0.0, 1.0, 50, periodic=True)
    density = jko.Density(grid, 1.0 + 0.8 * np.cos(2.0 * np.pi * grid.axes[0]))
    cloud = density.sample(400, seed=0)
    turns = np.random.default_rng(1).integers(-5, 6, size=(400, 1))
    wandered = jko.Particles(cloud.positions + turns)
    for one, other in ((w2_distance, 1e-12), (l1_distance, 1e-9)):
        assert one(wandered, density).value == pytest.approx(one(cloud, density).value, rel=other)
        assert one(wandered, cloud, torus=grid).value < 1e-7
    assert w2_distance(cloud, density).value < 0.05
    assert w2_distance(jko.Gaussian.of(0.5, 0.1), density).method == "no W2 of a Gaussian on a torus"

    def run(mu, kind):
        return trajectory([mu, mu], [0.0, 0.1], energy=[1.0, 1.0], energy_kind=kind)

    comparison = compare({"torus": run(density, "exact"), "line": run(wandered, "estimate")})
    assert comparison.distance("W2", "torus", "line")[-1] < 0.05
    assert [math.isnan(row["energy_final"]) for row in comparison.table] == [False, True]
    assert "[t] the entropy of a cloud is estimated on the line" in str(comparison)


def test_violations_are_counted_in_the_problems_own_units():
    """Dissipations of −1e-3 of the energy are violations in any unit of energy, of −1e-17 not."""
    for unit in (1e-15, 1.0, 1e15):
        for share, count in ((-1e-3, 2), (-1e-17, 0)):
            gaussians = [jko.Gaussian.of(0.0, 1.0)] * 3
            run = trajectory(gaussians, [0.0, 1.0 / unit, 2.0 / unit], energy=[unit] * 3)
            run.info.dissipation[:] = share * unit
            assert compare({"run": run}).table[0]["dissipation_violations"] == count
