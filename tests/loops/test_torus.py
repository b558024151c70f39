"""Loops on periodic axes: each is the middle period of the same loop in a box of many."""

import numpy as np
import pytest

from jko.loops.elliptic.poisson import PoissonSolver
from jko.loops.elliptic.weighted_multigrid import WeightedMultigrid
from jko.loops.grids.torus import continued, within
from jko.loops.transport.c_transform import c_transform
from jko.loops.transport.fourth_order import transported as transported_to_fourth_order
from jko.loops.transport.monge_ampere import End, transported
from jko.loops.transport.push import pull_back
from jko.loops.transport.push_smooth import push_smooth

AXES = [
    ((2,), (True,)),
    ((30,), (True,)),
    ((21, 16), (True, False)),
    ((16, 18), (True, True)),
    ((10, 11, 12), (True, False, True)),
]
SPACING = (0.05, 0.06, 0.07)


def waves(cells, seed, size=1.0):
    """A smooth field, periodic along each axis."""
    generator, total = np.random.default_rng(seed), np.zeros(cells)
    for _ in range(3):
        turns, phase = generator.integers(-1, 2, len(cells)), generator.uniform(0.0, 6.0)
        angles = [2.0 * np.pi * k * np.arange(n) / n for k, n in zip(turns, cells, strict=True)]
        total += size * np.cos(phase + sum(np.meshgrid(*angles, indexing="ij")))
    return total


def three_periods(periodic, cells):
    return tuple(n if turns else 0 for n, turns in zip(cells, periodic, strict=True))


@pytest.mark.parametrize(("cells", "periodic"), AXES)
@pytest.mark.parametrize("tau", [1e-3, 0.05, 10.0])
@pytest.mark.parametrize("left_out", [0.0, 0.5])
def test_the_c_transform_is_the_minimum_over_nearest_images(cells, periodic, tau, left_out):
    spacing = SPACING[: len(cells)]
    generator = np.random.default_rng(1)
    phi = generator.normal(size=cells)
    phi[generator.random(cells) < left_out] = -np.inf
    index = np.stack(np.meshgrid(*map(np.arange, cells), indexing="ij"), axis=-1).reshape(-1, len(cells))
    apart = np.abs(index[:, None] - index)
    apart = np.where(periodic, np.minimum(apart, np.array(cells) - apart), apart)
    cost = ((apart * spacing) ** 2).sum(axis=-1) / (2.0 * tau)
    expected = (cost - phi.ravel()).min(axis=1).reshape(cells)
    for threads in (1, 2):
        found = c_transform(phi, spacing, tau, threads, refine=False, periodic=periodic)
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)


def loops(name, periodic, tau, spacing):
    """A loop of two fields, on a torus and in a box."""
    joined = tuple((End.JOINED,) * 2 if turns else (End.MIRRORED,) * 2 for turns in periodic)
    walls = ((End.MIRRORED,) * 2,) * len(periodic)
    return {
        "c-transform": lambda rho, phi, turns: [
            c_transform(phi, spacing, tau, periodic=periodic if turns else ())
        ],
        "pull-back": lambda rho, phi, turns: pull_back(
            np.exp(rho), phi, tau, spacing, periodic=periodic if turns else ()
        ),
        "Monge-Ampere": lambda rho, phi, turns: transported(
            rho, phi, tau, spacing, joined if turns else walls
        ),
        "fourth order": lambda rho, phi, turns: transported_to_fourth_order(
            rho, phi, tau, spacing, periodic if turns else ()
        ),
        "push-forward": lambda rho, phi, turns: push_smooth(
            rho, phi, tau, spacing, periodic if turns else ()
        ),
    }[name]


@pytest.mark.parametrize(("cells", "periodic"), AXES[1:])
@pytest.mark.parametrize("name", ["c-transform", "pull-back", "Monge-Ampere", "fourth order", "push-forward"])
def test_a_torus_is_the_middle_of_three_periods(name, cells, periodic):
    spacing, tau = SPACING[: len(cells)], 0.1
    rho, phi = waves(cells, 2), waves(cells, 3, size=0.03)
    loop, around = loops(name, periodic, tau, spacing), three_periods(periodic, cells)
    found = loop(rho, phi, True)
    wide = loop(continued(rho, around), continued(phi, around), False)
    for on_torus, in_box in zip(found, wide, strict=True):
        np.testing.assert_allclose(on_torus, within(in_box, around), rtol=1e-6, atol=1e-9)
    moved = np.abs(np.diff(phi, axis=0)).max() * tau / spacing[0] ** 2
    assert moved > 0.2  # of a cell: S is no identity


@pytest.mark.parametrize(("cells", "periodic"), AXES)
def test_the_poisson_solver_inverts_on_a_torus(cells, periodic):
    spacing = SPACING[: len(cells)]
    r = np.random.default_rng(0).normal(size=cells)
    u = PoissonSolver(cells, spacing, np.float64, periodic)(r, 0.5, 0.3)
    out = 0.5 * u
    for axis, (h, turns) in enumerate(zip(spacing, periodic, strict=True)):
        wide = np.pad(
            u, [(1, 1) if a == axis else (0, 0) for a in range(u.ndim)], "wrap" if turns else "edge"
        )
        out -= 0.3 * np.diff(wide, n=2, axis=axis) / h**2
    np.testing.assert_allclose(out, r, atol=1e-11)


@pytest.mark.parametrize("cells", [(64, 48), (37, 51)])
def test_the_weighted_multigrid_sees_the_seam(cells):
    """As many iterations whether a steep density lies across the ends or in the middle."""
    spent = []
    for seam in (False, True):
        log, right = 8.0 * waves(cells, 1), waves(cells, 4)
        jumps = 1.0 + 50.0 * (waves(cells, 5) > 0.0)
        shift = tuple(n // 2 for n in cells) if seam else (0, 0)
        log, right, jumps = (np.roll(f, shift, (0, 1)) for f in (log, right, jumps))
        grid = WeightedMultigrid(log, jumps, [0.05 * n * n * np.ones(cells) for n in cells], (True, True))
        spent.append(grid.solve(right, 1e-5, most=80)[1])
    assert max(spent) <= min(spent) + 4 < 40
