"""How wide a blob is, where the user does not say, and what that costs."""

from __future__ import annotations

import math

import numpy as np

from jko.descent.tolerances import TOLERANCES
from jko.measures import Measure, Particles
from jko.measures.entropy_estimate import entropy_estimate


def chosen_bandwidth(given: float | None, mu: Particles, kinds: frozenset) -> float:
    """The bandwidth given, or by `default_bandwidth`; raises ValueError where the blobs do not overlap.

    Where more than half of φ_ε∗α at a particle is its own blob, on average, the regularised energy hardly
    knows of neighbours: the particles cannot carry a density in so many dimensions at that bandwidth, and
    what should hold them apart is missing.
    """
    bandwidth = float(given or default_bandwidth(mu, kinds))
    if not bandwidth > 0.0:
        raise ValueError("bandwidth: the particles coincide, so no rule gives one: give bandwidth=")
    own = own_share(mu, bandwidth)
    if own > TOLERANCES.most_own and mu.n > 1:
        raise ValueError(
            f"bandwidth: with ε = {bandwidth:.3g}{'' if given else ', the default,'} {100 * own:.0f} % of "
            f"the regularised density at a particle is its own blob: {mu!r} do not carry a density; take "
            "more of them or a larger bandwidth, or descent.Langevin for an entropy, which needs none"
        )
    return bandwidth


def default_bandwidth(mu: Particles, kinds: frozenset) -> float:
    """`silverman` for an entropy alone, whose bias is O(ε⁴); else `root_of_spacing`, for a bias of O(ε²)."""
    return root_of_spacing(mu) if "internal" in kinds else silverman(mu)


def silverman(mu: Particles) -> float:
    """σ (4/((d + 2) n))^{1/(d+4)} [Silverman1986, eq. 4.14], σ the `local_scale`, 1/n = Σ w_i²."""
    return local_scale(mu) * _of_silverman(mu.dimension, _count(mu))


def local_scale(mu: Particles) -> float:
    """The standard deviation of the Gaussian whose mean squared score the particles have.

    Of one Gaussian it is its own, of several apart that of each, where the standard deviation of all would
    smooth them over. The score is that of a kernel estimate by Silverman's rule for the scale itself, found
    by repetition from the scale of the Gaussian of the same entropy; of variance s along each axis and
    smoothed by ε it has the mean square s/(s + ε²)² per axis, which is solved for s.
    """
    most = _deviation(mu)
    deviation = min(most, _scale_of_volume(mu))
    if not deviation > 0.0:
        return most
    y, w = _some(mu, TOLERANCES.bandwidth_columns)
    rule = _of_silverman(mu.dimension, 1.0 / float(np.sum(w**2)))
    for _ in range(20):
        width = rule * deviation
        squared = (
            _mean_squared_score(y[:: -(-len(y) // TOLERANCES.bandwidth_rows)], y, w, width) / mu.dimension
        )
        under = 1.0 - 4.0 * squared * width**2
        variance = (1.0 - 2.0 * squared * width**2 + math.sqrt(max(under, 0.0))) / max(2.0 * squared, 1e-300)
        before, deviation = deviation, min(most, math.sqrt(variance))
        if abs(deviation - before) <= 0.01 * before:
            break
    return deviation


def own_share(mu: Particles, bandwidth: float) -> float:
    """The mean share of φ_ε∗α at a particle that is its own blob."""
    stride = -(-mu.n // max(1, min(TOLERANCES.bandwidth_rows, TOLERANCES.bandwidth_pairs // mu.n)))
    x, w = np.asarray(mu.positions, float), np.asarray(mu.weights, float)
    density = _kernel(x[::stride], x, bandwidth) @ w
    return float(np.mean(w[::stride] / density))


def variance_bias(mu: Measure, bandwidth: float) -> float:
    """By how much of itself a variance at rest under the entropy is off, about: of smoothing and own blobs.

    The own blob of a particle pushes nobody: by measurement in two to four dimensions half of its share is
    missing from the variance.
    """
    scale = min(local_scale(mu), _scale_of_volume(mu))
    return _smoothing_bias(bandwidth, scale) - 0.5 * own_share(mu, bandwidth)


def _scale_of_volume(mu: Particles) -> float:
    """The standard deviation of the Gaussian of the same entropy: that of clusters within a blob, too."""
    y, w = _some(mu, TOLERANCES.bandwidth_columns)
    few = min(3, len(y) - 1)
    if few < 1:
        return math.inf
    value = entropy_estimate(Particles.moved(y, w), few).value
    return math.exp(-value / mu.dimension) / math.sqrt(2.0 * math.pi * math.e)


def note_of(mu: Measure, bandwidth: float) -> str:
    """What the bandwidth biases, where that is worth a word."""
    bias = variance_bias(mu, bandwidth)
    if not abs(bias) > TOLERANCES.worth_a_note:
        return ""
    return (
        f"blobs of bandwidth {bandwidth:.3g}, {100 * own_share(mu, bandwidth):.0f} % of the density at a "
        f"particle its own: a variance at rest is off by about {100 * bias:.0f} %"
    )


def _smoothing_bias(bandwidth, scale) -> float:
    """The same of a Gaussian of variance s = `scale`² that is a density.

    At its centre the first variation of F_ε has the curvature −1/(s + ε²) − A/(r + ε²) in place of −1/s,
    r = s(s + ε²)/ε², A² = (s + ε²)r/(s(r + ε²)): the variance is what the potential asks for times their
    ratio.
    """
    if not scale > 0.0:
        return -1.0
    e = (bandwidth / scale) ** 2
    r = (1.0 + e) / e if e > 0.0 else math.inf
    if not math.isfinite(r):
        return 0.0
    return 1.0 / (1.0 + e) + math.sqrt((1.0 + e) * r / (r + e)) / (r + e) - 1.0


def _of_silverman(d: int, n: float):
    return (4.0 / ((d + 2.0) * n)) ** (1.0 / (d + 4.0))


def _some(mu: Particles, most: int):
    stride = -(-mu.n // most)
    w = np.asarray(mu.weights, float)[::stride]
    return np.asarray(mu.positions, float)[::stride], w / w.sum()


def _kernel(x: np.ndarray, y: np.ndarray, width: float):
    from scipy.spatial.distance import cdist

    return np.exp(-0.5 * cdist(x / width, y / width, "sqeuclidean"))


def _mean_squared_score(x: np.ndarray, y: np.ndarray, w: np.ndarray, width: float):
    centre = w @ y
    x, y = x - centre, y - centre
    kernel = _kernel(x, y, width) * w
    density = kernel.sum(axis=1, keepdims=True)
    return float(np.mean(np.sum((kernel @ y / density - x) ** 2, axis=1))) / width**4


def root_of_spacing(mu: Measure) -> float:
    """σ n^{−1/2d}: ε² is σ times the spacing σ n^{−1/d}, the W₂ error of any n particles.

    Of the vortex blob family ε ∝ h^q, 0 < q < 1, h the spacing [CarrilloCraigPatacchini2019, section 6], with
    q = ½: wide enough for particles at random, of which √n lie within a blob.
    """
    return local_scale(mu) * _count(mu) ** (-0.5 / mu.dimension)


def _deviation(mu: Particles):
    return float(np.sqrt(np.trace(np.atleast_2d(mu.covariance())) / mu.dimension))


def _count(mu: Particles):
    return float(mu.mass) ** 2 / float(np.sum(np.asarray(mu.weights, dtype=float) ** 2))
