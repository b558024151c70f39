"""Masses laid down between the images of the faces of their cells."""

import numpy as np
import pytest

from jko.loops.transport.deposit import deposit


def centres(cells, spacing):
    return np.meshgrid(
        *(h * (np.arange(n) + 0.5) for n, h in zip(cells, spacing, strict=True)), indexing="ij"
    )


@pytest.mark.parametrize(
    ("cells", "spacing"), [((40,), (0.1,)), ((20, 16), (0.1, 0.2)), ((10, 8, 12), (1.0, 0.5, 2.0))]
)
def test_mass_is_exact_and_whole_cells_move_exactly(cells, spacing):
    generator = np.random.default_rng(0)
    mass = np.zeros(cells)
    inner = tuple(slice(2, n - 3) for n in cells)
    mass[inner] = generator.random(mass[inner].shape)
    x = centres(cells, spacing)
    steps = [1, -2, 1][: len(cells)]
    psi = -sum(s * h * c for s, h, c in zip(steps, spacing, x, strict=True))
    assert deposit(mass, psi, spacing) == pytest.approx(np.roll(mass, steps, range(len(cells))), abs=1e-12)
    rough = 0.3 * generator.standard_normal(cells)
    moved = deposit(mass, rough, spacing)
    assert moved.sum() == pytest.approx(mass.sum(), rel=1e-12)
    assert moved.min() >= 0.0


def test_a_dilation_tiles():
    n, h = 60, 1.0 / 60
    (x,) = centres((n,), (h,))
    mass = np.where(np.abs(x - 0.5) < 0.2, 1.0, 0.0)
    psi = 0.5 * (x - 0.5) ** 2 * (1.0 - 1.75)
    assert deposit(mass, psi, (h,)) == pytest.approx(
        np.where(np.abs(x - 0.5) < 0.35, 1.0 / 1.75, 0.0), abs=1e-12
    )


def test_walls_keep_what_fills_the_box():
    errors = []
    for n in (32, 64):
        h = 1.0 / n
        (x,) = centres((n,), (h,))
        moved = deposit(np.ones(n), 0.03 * np.cos(np.pi * x), (h,))
        fine = np.linspace(0.0, 1.0, 20_001)
        images = fine + 0.03 * np.pi * np.sin(np.pi * fine)
        exact = np.diff(np.interp(np.linspace(0.0, 1.0, n + 1), images, fine)) / h
        errors.append(np.abs(np.cumsum(moved - exact)).max() * h)
    assert errors[1] < 1e-4
    assert np.log2(errors[0] / errors[1]) > 1.5


def test_shear_does_not_leave_a_pattern():
    n, h = 96, 1.0 / 96
    x, y = centres((n, n), (h, h))
    u, v = x - 0.5, y - 0.5
    for shear, bound in ((0.04, 3e-3), (0.4, 3e-2)):
        mass = np.exp(-40.0 * (u**2 + v**2))
        psi = -shear * u * v
        matrix = np.linalg.inv(np.array([[1.0, shear], [shear, 1.0]]))
        s, t = matrix[0, 0] * u + matrix[0, 1] * v, matrix[1, 0] * u + matrix[1, 1] * v
        exact = np.exp(-40.0 * (s**2 + t**2)) * np.linalg.det(matrix)
        assert np.abs(deposit(mass, psi, (h, h)) - exact).sum() < bound * mass.sum()
