"""Potentials: gridded data, named ones, functions that are written wrong; quadratic forms found."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import functionals as fn
from functionals import pointwise
from functionals.quadratic_form import quadratic_form
from jko.measures import Grid
from tests import problems


def wave(x):
    return jnp.cos(jnp.pi * x[0])


@pytest.mark.slow
@pytest.mark.parametrize("dimension", [1, 3])
def test_gridded_data_are_interpolated(dimension):
    grid = Grid.uniform((-1.0,) * dimension, (2.0,) * dimension, (7, 6, 5)[:dimension])
    values = np.random.default_rng(0).normal(size=grid.cells)
    F = fn.Potential.gridded(values, grid.lower, grid.upper)
    np.testing.assert_allclose(F.values(grid.points).reshape(grid.cells), values, atol=1e-13)


def test_gridded_data_are_interpolated_whatever_xla_fuses():
    # where XLA made a product and a sum one operation for the cells and two for the weights, nodes took the
    # weights of the next cell
    values = np.random.default_rng(0).normal(size=(48, 6))
    grid = Grid.uniform((0.0, 0.0), (1.0, 0.5), values.shape)
    F = fn.Potential.gridded(values, grid.lower, grid.upper)
    with jax.enable_x64(True):
        found = jax.jit(jax.vmap(F.V))(jnp.asarray(grid.points))
    np.testing.assert_allclose(np.asarray(found).reshape(values.shape), values, atol=1e-12)


def test_gridded_data_are_smooth_across_cells():
    """Twice continuously differentiable: one-sided values, slopes and curvatures agree at every knot."""
    values = np.random.default_rng(1).normal(size=9)
    V = fn.Potential.gridded(values, 0.0, 9.0).V
    knots = np.arange(1, 8) + 0.5
    sides = [(knots + s * 1e-9)[:, None] for s in (-1, 1)]
    for derivative in (pointwise.values, pointwise.gradients, pointwise.hessians):
        left, right = (derivative(V, side).ravel() for side in sides)
        np.testing.assert_allclose(left, right, atol=1e-6)


def test_gridded_data_are_of_fourth_order():
    """The samples' mirror symmetry is h/2 off that of the wave, so the middle is measured."""
    points = np.random.default_rng(2).uniform(0.7, 1.3, size=(64, 1))
    errors, slopes = [], []
    for n in (20, 40):
        grid = Grid.uniform(0.0, 2.0, n)
        F = fn.Potential.gridded(pointwise.values(wave, grid.points), 0.0, 2.0)
        errors.append(np.abs(F.values(points) - pointwise.values(wave, points)).max())
        slopes.append(np.abs(pointwise.gradients(F.V, points) - pointwise.gradients(wave, points)).max())
    assert np.log2(errors[0] / errors[1]) == pytest.approx(4.0, abs=0.35)
    assert np.log2(slopes[0] / slopes[1]) == pytest.approx(3.0, abs=0.35)


def test_gridded_data_outside_stay_at_their_edge():
    F = fn.Potential.gridded(np.arange(5.0) ** 2, 0.0, 5.0)
    np.testing.assert_allclose(
        F.values(np.array([[-9.0], [0.5], [4.5], [70.0]])), [0.0, 0.0, 16.0, 16.0], atol=1e-12
    )
    assert pointwise.gradients(F.V, np.array([[-9.0], [70.0]])).tolist() == [[0.0], [0.0]]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((np.zeros(3), 0.0, 1.0), "4 samples or more along every axis, got shape"),
        ((np.full(5, np.nan), 0.0, 1.0), "must be finite, got 5 NaN or infinite samples"),
        ((np.zeros(5), 1.0, 1.0), "upper must exceed lower along every axis"),
        ((np.zeros((5, 5)), (0.0, 0.0, 0.0), 1.0), "lower: expected one number or 2, one an axis"),
    ],
)
def test_gridded_data_that_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        fn.Potential.gridded(*arguments)


def test_gridded_data_of_another_dimension_are_refused():
    F = fn.Potential.gridded(np.zeros((5, 5)), 0.0, 1.0)
    with pytest.raises(ValueError, match="gridded data in 2D were asked at a point of shape"):
        F(problems.density(1))


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (
            lambda: fn.Potential("quadrtic"),
            ValueError,
            "unknown potential 'quadrtic'; known are quadratic, double_well",
        ),
        (
            lambda: fn.Potential("quadratic", stifness=2),
            TypeError,
            "potential 'quadratic', stifness=2: .*unexpected keyword",
        ),
        (
            lambda: fn.Potential(problems.bump, stiffness=2),
            TypeError,
            "only a named potential takes parameters, got stiffness",
        ),
        (
            lambda: fn.Potential(3.0),
            TypeError,
            "V must be a jax function of a point or a potential's name, got float",
        ),
        (
            lambda: fn.Potential("double_well", height=-1.0),
            ValueError,
            "height must be a positive number, got -1.0",
        ),
        (
            lambda: fn.Potential("quadratic", stiffness="x"),
            TypeError,
            "stiffness must be a number or an array",
        ),
        (
            lambda: fn.Potential("quadratic", stiffness=[[1.0, 2.0], [0.0, 1.0]]),
            ValueError,
            "symmetric matrix",
        ),
        (
            lambda: fn.Interaction("gausian"),
            ValueError,
            "unknown kernel 'gausian'; known are quadratic, gaussian",
        ),
        (lambda: fn.Interaction("gaussian", width=0), ValueError, "width must be a positive number, got 0"),
        (
            lambda: fn.Interaction("power", exponent=0),
            ValueError,
            "exponent must be a finite number other than 0",
        ),
        (
            lambda: fn.Interaction(2.0),
            TypeError,
            "W must be a jax function of a difference or a kernel's name",
        ),
    ],
)
def test_refusals(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_parameters_of_another_dimension_are_refused():
    for F in (fn.Potential("quadratic", center=[0.0, 1.0]), fn.Potential("linear", slope=[0.0, 1.0])):
        with pytest.raises(ValueError, match="has 2 coordinates, the points have 1"):
            F(problems.density(1))


def test_functions_that_are_written_wrong_are_explained():
    rho = problems.density(1)
    with pytest.raises(
        TypeError, match=r"must return one number for a point of shape \(2,\), got .*jnp.sum\(x\*\*2\)"
    ):
        fn.Potential(lambda x: x**2)(problems.density(2))
    with pytest.raises(TypeError, match=r"cannot be traced by jax: write it with jax.numpy"):
        fn.Potential(lambda x: np.array(x).sum())(rho)
    with pytest.raises(TypeError, match=r"branches on a value: use jax.numpy.where"):
        fn.Potential(lambda x: x[0] if x[0] > 0 else 0.0)(rho)


@pytest.mark.parametrize(("nothing", "got"), [(lambda x: None, "None"), (lambda x: "a", "'a'")])
def test_functions_without_a_number_are_explained(nothing, got):
    with pytest.raises(TypeError, match=f"must return one number, got {got}: return a value of jax.numpy"):
        fn.Potential(nothing)(problems.density(1))


def test_functions_of_nothing_are_explained():
    with pytest.raises(TypeError, match=r"<lambda>\(\): expected a function of a point"):
        fn.Potential(lambda: 1.0)


def test_a_kernel_that_is_not_even_is_refused():
    F = fn.Interaction(lambda z: jnp.sum(z) + jnp.sum(z**2))
    for ask in (F, F.first_variation, F.wasserstein_gradient):
        with pytest.raises(ValueError, match=r"W must be even.*general=True"):
            ask(problems.density(1))


@pytest.mark.parametrize("dimension", [2])
def test_quadratic_forms_are_found_and_others_are_not(dimension):
    generator = np.random.default_rng(dimension)
    A = generator.normal(size=(dimension, dimension))
    A, b, c = A + A.T, generator.normal(size=dimension), 0.7
    form = quadratic_form(lambda x: 0.5 * x @ A @ x + b @ x + c, dimension)
    np.testing.assert_allclose(form.A, A, atol=1e-12)
    np.testing.assert_allclose(form.b, b, atol=1e-12)
    assert form.c == pytest.approx(c, abs=1e-11)
    zero = quadratic_form(lambda x: 3.0, dimension)
    assert (np.abs(zero.A).max(), zero.c) == (0.0, 3.0)
    for V in (
        problems.bump,
        lambda x: jnp.sum(x**4),
        lambda x: jnp.sum(jnp.abs(x)),
        lambda x: jnp.sum(x**2) + 1e-6 * x[0] ** 3,
    ):
        assert quadratic_form(V, dimension) is None


def test_a_narrow_bump_is_no_quadratic_form():
    bump = lambda x: 5.0 * jnp.maximum(0.0, 1.0 - 20.0 * jnp.abs(x[0] - 0.0137))  # noqa: E731
    assert quadratic_form(bump, 1) is None
    assert quadratic_form(lambda x: bump(x) + jnp.sum(x**2), 1) is None
    assert quadratic_form(lambda x: jnp.sum(x**2), 1) is not None
