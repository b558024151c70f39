"""Grids with walls and doors: what they hold, refuse, keep in files and show."""

import jax.numpy as jnp
import numpy as np
import pytest

import functionals as fn
import jko
from jko.descent import Blob
from jko.errors import CheckpointMismatch
from jko.experiment import ExperimentError, parse
from jko.plotting import draw, plot_density
from jko.scheme import Scheme

L_SHAPE = lambda x: (x[0] < 0.5) | (x[1] < 0.5)  # noqa: E731


def room(cells=16, **more):
    return jko.Grid.uniform((0.0, 0.0), (1.0, 1.0), cells, inside=L_SHAPE, **more)


def test_a_mask_a_truth_and_a_number_name_the_same_cells():
    mask = np.ones((16, 16), bool)
    mask[8:, 8:] = False
    by_number = jko.Grid.uniform(0.0, (1.0, 1.0), 16, inside=lambda x: 0.5 - jnp.minimum(x[0], x[1]))
    assert room() == jko.Grid.uniform(0.0, (1.0, 1.0), 16, inside=mask) == by_number
    assert hash(room()) == hash(by_number)
    assert np.array_equal(room().inside, mask)
    assert room() != jko.Grid.uniform(0.0, (1.0, 1.0), 16)
    assert jko.Grid.uniform(0.0, (1.0, 1.0), 16, inside=lambda x: True) == jko.Grid.uniform(
        0.0, (1.0, 1.0), 16
    )
    assert "192 of 256 cells" in repr(room())


@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        ({"inside": np.ones((16, 15), bool)}, ValueError, r"inside: .*shape \(16, 16\).*got bool of shape"),
        ({"inside": np.ones((16, 16))}, TypeError, "inside: .*boolean array.*float64"),
        ({"inside": 3}, TypeError, "inside: .*got 3"),
        ({"inside": lambda x: x[0] > 7.0}, ValueError, "inside: .*got none"),
        ({"inside": lambda x: x[0] > 0.0 and x[1] > 0.0}, TypeError, "inside: .*write & for and"),
        ({"inside": lambda x: x}, TypeError, "inside: .*one number for a point"),
        ({"inside": lambda x: jnp.sqrt(0.5 - x[0])}, ValueError, "inside: is no number in 128 of 256"),
        ({"inside": L_SHAPE, "doors": lambda x: x[0] > 0.9}, ValueError, "doors: .*in its walls"),
        ({"doors": lambda x: x[0] > 0.0}, ValueError, "doors: .*doors everywhere"),
        ({"doors": lambda x: x[0] > 1.0}, ValueError, "doors: .*got none"),
    ],
)
def test_what_is_no_room_is_refused_in_a_sentence(options, kind, message):
    with pytest.raises(kind, match=message):
        jko.Grid.uniform((0.0, 0.0), (1.0, 1.0), 16, **options)


def test_a_room_that_cuts_the_mass_off_is_refused():
    values = np.ones((16, 16))
    with pytest.raises(ValueError, match=r"values: expected no mass in walls, got 0\.25 of it"):
        jko.Density(room(), values)
    with pytest.raises(ValueError, match=r"cuts 100% of the Gaussian of mean \[0.8, 0.8\] off"):
        jko.Density.gaussian(room(), (0.8, 0.8), 0.1)
    with pytest.raises(ValueError, match="cuts all of the mass off"):
        jko.Density.uniform(room(), (0.6, 0.6), (0.9, 0.9))
    with pytest.raises(ValueError, match="1 of 2 lie in the walls"):
        jko.Density.histogram(jko.Particles([[0.2, 0.2], [0.8, 0.8]]), room())


def test_a_density_lives_inside_alone():
    mu = jko.Density.gaussian(room(), (0.5, 0.4), 0.3)
    assert mu.mass == pytest.approx(1.0)
    assert np.all(mu.values[~room().inside] == 0.0)
    cloud = mu.sample(4000, seed=1)
    assert not np.any((cloud.positions[:, 0] > 0.5) & (cloud.positions[:, 1] > 0.5))
    estimate = jko.Density.kernel_estimate(cloud, room(), bandwidth=0.05)
    assert estimate.mass == pytest.approx(1.0, abs=1e-12)
    # V is infinite in the walls, and so is no part of ∫V dρ
    barrier = lambda x: jnp.where((x[0] < 0.5) | (x[1] < 0.5), x[0], jnp.inf)  # noqa: E731
    assert fn.Potential(barrier)(mu) == pytest.approx(mu.mean()[0], rel=1e-13)


def test_internal_energies_are_those_of_the_inside():
    flat = jko.Density.uniform(room())
    assert fn.Entropy()(flat) == pytest.approx(np.log(4 / 3), rel=1e-13)
    assert fn.Power(2.0)(flat) == pytest.approx(4 / 3, rel=1e-13)
    rough = jko.Density.from_function(room(), lambda x: 1.0 + x[0])
    slope = fn.Power(2.0).wasserstein_gradient(rough)
    inside = room().inside
    exact = 2.0 * (rough.values[1, 0] - rough.values[0, 0]) / room().spacing[0]
    assert np.abs(slope[inside] - [exact, 0.0]).max() < 1e-11
    assert np.all(slope[~inside] == 0.0)


def test_a_run_in_a_room_is_kept_by_files_and_checkpoints(tmp_path):
    grid = room(8, doors=lambda x: (x[0] < 0.2) & (x[1] > 0.8))
    closed = room(8)
    run = jko.flow(fn.Entropy(), jko.Density.uniform(closed), jko.limits.FiniteVolume(), tau=0.01, n_steps=2)
    run.save(tmp_path / "run.nc")
    assert jko.Trajectory.load(tmp_path / "run.nc").measures[-1].grid == closed
    fields, _, _ = jko.Density.fields_of([jko.Density.uniform(grid)])
    assert fields["doors"][1].sum() == grid.doors.sum()
    arguments = {"tau": 0.01, "n_steps": 4, "checkpoint": tmp_path / "run.jko"}
    jko.flow(fn.Entropy(), jko.Density.uniform(closed), jko.limits.FiniteVolume(), **arguments)
    mask = closed.inside.copy()
    mask[0, 0] = False
    other = jko.Density.uniform(jko.Grid.uniform((0.0, 0.0), (1.0, 1.0), 8, inside=mask))
    with pytest.raises(CheckpointMismatch):
        jko.flow(fn.Entropy(), other, jko.limits.FiniteVolume(), **arguments)


def test_every_scheme_takes_rooms_and_doors_or_refuses_them_in_a_sentence():
    class Own(Scheme):
        """A user's scheme whose check says nothing."""

        def check(self, F, mu):
            return None

    closed, open_ = jko.Density.uniform(room(8)), jko.Density.uniform(room(8, doors=lambda x: x[0] < 0.1))
    for scheme in [*Scheme.known.values(), Own]:
        if scheme.measures and jko.Density not in scheme.measures:
            continue
        made = object.__new__(scheme)  # its settings do not matter here
        for mu, able in ((closed, scheme.rooms), (open_, scheme.rooms and scheme.doors)):
            if able:
                made.check_grid(mu)
                continue
            with pytest.raises(ValueError, match=r"does not take (a room|doors), got.*: take"):
                made.check_grid(mu)
    with pytest.raises(ValueError, match="Own does not take a room"):
        jko.flow(fn.Entropy(), jko.Density.uniform(room(8)), Own(), tau=0.1, n_steps=1)
    with pytest.raises(TypeError, match="moves Particles"):
        jko.flow(fn.Entropy(), jko.Density.uniform(room(8)), Blob(0.1), tau=0.1, n_steps=1)


def test_transport_that_knows_no_walls_refuses_them():
    mu, nu = (jko.Density.gaussian(room(), (x, 0.25), 0.1) for x in (0.25, 0.7))
    found = jko.wasserstein(mu, nu)
    assert "straight" in found.reason
    for call in (
        lambda: jko.transport.brenier_map(mu, nu),
        lambda: jko.transport.interpolate(mu, nu, 0.5),
        lambda: jko.equilibrium(fn.Entropy(), mu),
    ):
        with pytest.raises(ValueError, match=r"mu|measure"):
            call()


def test_a_file_furnishes_a_room_by_expressions_and_a_picture_shows_its_walls(tmp_path):
    text = """
[grid]
lower = [0.0, 0.0]
upper = [1.0, 1.0]
cells = 16
inside = "0.5 - min(x1, x2)"
[initial]
kind = "uniform"
[[functional]]
name = "entropy"
[runs.volumes]
scheme = "limits.FiniteVolume"
tau = 0.01
n_steps = 2
"""
    experiment = parse(text)
    assert experiment.grid == room()
    with pytest.raises(ExperimentError, match=r"grid\.inside: .*got none"):
        parse(text.replace("0.5 - min(x1, x2)", "x1 - 2"))
    values, _ = draw.heat_values(jko.Density.uniform(room()), None, None)
    assert np.array_equal(values.mask, ~room().inside)
    line = jko.Grid.uniform(0.0, 1.0, 20, inside=lambda x: jnp.abs(x[0] - 0.5) > 0.1)
    run = jko.flow(fn.Entropy(), jko.Density.uniform(line), jko.limits.FiniteVolume(), tau=0.01, n_steps=2)
    figure = plot_density(run)
    assert figure.axes[0].patches  # grey walls


def test_the_way_round_a_corner_is_the_shortest_path_of_order_one():
    errors = []
    for n in (16, 64):
        grid = room(n)
        at, end = grid.centers[n // 8, -n // 8], grid.centers[-n // 8, n // 8]
        start = np.zeros((n, n), bool)
        start[n // 8, -n // 8] = True
        exact = np.hypot(*(at - 0.5)) + np.hypot(*(end - 0.5))
        errors.append(grid.distance(start)[-n // 8, n // 8] - exact)
    assert 0.0 < errors[1] < 0.03
    assert errors[0] / errors[1] > 2.7  # h log 1/h from a point
    around = jko.Grid.uniform(0.0, 1.0, 20, periodic=True)
    to_first = around.distance(lambda x: x[0] < 0.05)
    assert to_first.max() == pytest.approx(0.5)
    with pytest.raises(ValueError, match="to: expected some cells"):
        room().distance()
    with pytest.raises(ValueError, match="no way leads there from 9 of 18"):
        jko.Grid.uniform(0.0, 1.0, 20, inside=lambda x: jnp.abs(x[0] - 0.5) > 0.05).distance(
            lambda x: x[0] < 0.1
        )
