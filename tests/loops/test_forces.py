"""Every way to sum a radial kernel against direct sums: kernels × dimensions × clouds, unequal weights."""

from dataclasses import replace

import numpy as np
import pytest

from jko.loops.forces import evaluate, plan, tree
from jko.loops.forces.terms import named_terms, tabulated_terms

KERNELS = {
    "gaussian": (("gaussian", 0.7, 0.5),),
    "logarithm": (("logarithm", 1.5),),
    "riesz": (("power", 1.0, -0.5),),
    "exponential": (("exponential", 1.0, 0.6),),
    "root": (("power", 0.5, 1.5), ("quadratic", 0.3)),
}
AT_ZERO = {"gaussian": 0.7, "logarithm": None, "riesz": None, "exponential": 1.0, "root": 0.0}
N = 1500


def terms_of(name):
    return named_terms(KERNELS[name], AT_ZERO[name])


def profile(name, s):
    """f, 2f′ and 4f″ in closed form, by s = |z|², without the quadratic."""
    r = np.sqrt(s)
    if name == "gaussian":
        e = 0.7 * np.exp(-2.0 * s)
        return e, -4.0 * e, 16.0 * e
    if name == "logarithm":
        return -0.75 * np.log(s), -1.5 / s, 3.0 / s**2
    if name == "riesz":
        return r**-0.5, -0.5 * s**-1.25, 1.25 * s**-2.25
    if name == "exponential":
        e = np.exp(-r / 0.6)
        return e, -e / (0.6 * r), e * (1.0 / 0.36 + 1.0 / (0.6 * r)) / s
    return 0.5 * r**1.5, 0.75 * s**-0.25, -0.375 * s**-1.25


def cloud(dimension, kind, n=N, dtype=float):
    generator = np.random.default_rng(7)
    x = generator.normal(size=(dimension, n))
    if kind == "clusters":
        places = generator.normal(size=(dimension, 4)) * 3.0
        group = generator.integers(0, 4, n)
        x = places[:, group] + x * np.array([0.5, 0.1, 0.02, 0.004])[group]
    x[:, 11] = x[:, 3]
    w = generator.uniform(0.5, 1.5, n)
    return x.astype(dtype), (w / w.sum()).astype(dtype)


def dense(name, x, w, v):
    z = x[:, :, None] - x[:, None]
    s = np.sum(z**2, axis=0)
    with np.errstate(all="ignore"):
        f, g, h = (np.where(s > 0, part, 0.0) for part in profile(name, s))
    f[s == 0] = AT_ZERO[name] or 0.0
    quadratic = sum(c for kind, c, *_ in KERNELS[name] if kind == "quadratic")
    f, g = f + 0.5 * quadratic * s, g + quadratic
    dv = v[:, :, None] - v[:, None]
    along = np.einsum("cij,cij->ij", z, dv)
    return (
        f @ w,
        np.einsum("ij,cij,j->ci", g, z, w),
        np.einsum("cij,j->ci", g * dv + h * along * z, w),
    )


def relative(got, exact):
    return np.sqrt(np.sum((got - exact) ** 2) / np.sum(exact**2))


@pytest.mark.parametrize("dimension", [1, 2, 3])
@pytest.mark.parametrize("name", KERNELS)
def test_all_pairs_are_exact(name, dimension):
    x, w = cloud(dimension, "clusters")
    v = np.random.default_rng(0).normal(size=x.shape)
    exact = dense(name, x, w, v)
    terms, whole = terms_of(name), plan.Plan("direct")
    tolerances = (1e-13, 1e-13, 1e-12)
    for evaluated in (terms, *_tables(name, dimension)):
        got = (
            evaluate.values(evaluated, x, w, whole),
            evaluate.gradients(evaluated, x, w, whole),
            evaluate.products(evaluated, x, v, w, whole),
        )
        for a, b, tolerance in zip(got, exact, tolerances, strict=True):
            assert relative(a, b) < tolerance


def _tables(name, dimension):
    # a table of the same profile, with the quadratic on top
    if dimension != 2:
        return ()
    table = tabulated_terms(lambda s: np.array(profile(name, s)), AT_ZERO[name])
    assert table is not None
    return (replace(table, quadratic=terms_of(name).quadratic),)


@pytest.mark.long
@pytest.mark.parametrize("name", KERNELS)
def test_single_precision(name):
    x, w = cloud(2, "normal", dtype=np.float32)
    exact = dense(name, x.astype(float), w.astype(float), np.zeros(x.shape))
    whole = plan.Plan("direct")
    values, gradients = (f(terms_of(name), x, w, whole) for f in (evaluate.values, evaluate.gradients))
    assert values.dtype == gradients.dtype == np.float32
    assert relative(values, exact[0]) < 2e-6
    assert relative(gradients, exact[1]) < 2e-6


@pytest.mark.parametrize(("kind", "tolerance"), [("normal", 1e-6), ("clusters", 1e-4)])
@pytest.mark.parametrize("dimension", [1, 2, 3])
@pytest.mark.parametrize(
    "name", [k if k == "gaussian" else pytest.param(k, marks=pytest.mark.long) for k in KERNELS]
)
def test_meshes_and_trees_keep_their_tolerance(name, dimension, kind, tolerance):
    """The gradients three times the tolerance at most, the values one time."""
    x, w = cloud(dimension, kind)
    exact = dense(name, x, w, np.zeros(x.shape))
    terms = terms_of(name)
    for method in ("fourier",) if name == "gaussian" else ("split", "tree"):
        chosen = plan.plan(terms, x, tolerance, method)
        assert chosen.method == method
        if method == "tree":
            # boxes of few particles, that there be some far apart
            chosen = replace(chosen, detail=replace(chosen.detail, leaf=12))
        assert relative(evaluate.gradients(terms, x, w, chosen), exact[1]) < 3.0 * tolerance
        assert relative(evaluate.values(terms, x, w, chosen), exact[0]) < tolerance


@pytest.mark.parametrize("method", ["split", "tree"])
def test_the_gradient_of_fast_sums_is_the_derivative_of_their_energy(method):
    """Through the pieces of the window or of the boxes, hence far closer than the tolerance."""
    x, w = cloud(2, "normal", 400)
    terms = terms_of("logarithm")
    chosen = plan.plan(terms, x, 1e-4, method)
    if method == "tree":
        chosen = replace(chosen, detail=replace(chosen.detail, points=3, leaf=8))
    v = np.random.default_rng(1).normal(size=x.shape)
    h = 1e-6
    energies = [0.5 * w @ evaluate.values(terms, x + s * h * v, w, chosen) for s in (1.0, -1.0)]
    slope = np.sum(w * evaluate.gradients(terms, x, w, chosen) * v)
    assert (energies[0] - energies[1]) / (2.0 * h) == pytest.approx(slope, rel=1e-6)


@pytest.mark.parametrize(
    ("name", "method"), [("gaussian", "fourier"), ("logarithm", "split"), ("logarithm", "tree")]
)
def test_hessian_products_through_a_mesh_or_a_tree(name, method):
    x, w = cloud(2, "normal")
    v = np.random.default_rng(0).normal(size=x.shape)
    terms = terms_of(name)
    chosen = plan.plan(terms, x, 1e-6, method)
    assert relative(evaluate.products(terms, x, v, w, chosen), dense(name, x, w, v)[2]) < 2e-3


@pytest.mark.parametrize("dimension", [1, 2, 3])
def test_boxes_meet_each_pair_of_particles_once(dimension):
    """Whether far from each other or near, and however deep a cluster goes."""
    x, _ = cloud(dimension, "clusters", 600)
    t = tree.grow(x, 5)
    far, near = tree.encounters(t.start, t.stop, t.after, t.centre, t.half, 2.5, 30)
    met = np.zeros((600, 600), int)
    for a, b in far:
        met[t.start[a] : t.stop[a], t.start[b] : t.stop[b]] += 1
        met[t.start[b] : t.stop[b], t.start[a] : t.stop[a]] += 1
    for first, end, begin, stop in tree.runs(near, t.start, t.stop):
        for i in range(first, end):
            met[i, begin : min(stop, i)] += 1
            met[begin : min(stop, i), i] += 1
    assert np.array_equal(met, 1 - np.eye(600, dtype=int))
    for box in range(len(t.half)):
        inside = x[:, t.order[t.start[box] : t.stop[box]]] - t.centre[box, :dimension, None]
        assert np.abs(inside).max() <= t.half[box] * (1.0 + 1e-9)


@pytest.mark.parametrize("kind", ["normal", "clusters"])
@pytest.mark.parametrize("dimension", [1, 2, 3])
def test_cells_sum_a_compact_kernel(dimension, kind):
    """W = u² − u³, u = |z|²/R², up to R, by cells and by all pairs."""
    reach = 0.7
    x, w = cloud(dimension, kind)
    terms = replace(named_terms([("power", reach**-4, 4.0), ("power", -(reach**-6), 6.0)], 0.0), cutoff=reach)
    chosen = plan.plan(terms, x, 1e-6, "cells")
    z = x[:, :, None] - x[:, None]
    u = np.minimum(np.sum(z**2, axis=0) / reach**2, 1.0)
    slope = np.where(u < 1.0, 2.0 * (2.0 * u - 3.0 * u**2), 0.0) / reach**2
    assert relative(evaluate.values(terms, x, w, chosen), (u**2 - u**3) @ w) < 1e-12
    assert relative(evaluate.gradients(terms, x, w, chosen), np.einsum("ij,cij,j->ci", slope, z, w)) < 1e-12


def test_plans_depend_on_the_positions_alone_and_refuse_by_name():
    x, _ = cloud(2, "normal")
    terms = terms_of("logarithm")
    assert plan.plan(terms, x, 1e-6, "split") == plan.plan(terms, x.copy(), 1e-6, "split")
    with pytest.raises(ValueError, match="'fourier' needs a kernel smooth"):
        plan.plan(terms, x, 1e-6, "fourier")
    assert plan.plan(terms, x[:, :300], 1e-6).method == "direct"
