"""Direct preference optimisation: from which of two draws is preferred to the tilted law."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike

from jko.diffusion.arguments import instance
from jko.diffusion.coefficients import at_points
from jko.diffusion.finite_generator import probabilities
from jko.diffusion.given_function import checked_function
from jko.diffusion.matched_flow import MatchedFlow
from jko.diffusion.noised_mixture import NoisedMixture
from jko.diffusion.tolerances import TOLERANCES
from jko.errors import finite_array, positive_number, seed_number, whole_number


@dataclass(frozen=True)
class Preferences:
    """Pairs of draws: points `preferred` and `other` `[n, d]`, or states `[n]` of a finite set."""

    preferred: np.ndarray
    other: np.ndarray

    def __post_init__(self) -> None:
        shapes = np.shape(self.preferred), np.shape(self.other)
        if shapes[0] != shapes[1] or len(shapes[0]) not in (1, 2) or 0 in shapes[0]:
            raise ValueError(
                "preferred, other: expected two arrays [n, d] or [n] of one pair at least, got shapes "
                f"{shapes[0]} and {shapes[1]}"
            )


def drawn_preferences(
    law: NoisedMixture | MatchedFlow | ArrayLike, reward: Callable | ArrayLike, n: int, seed: int
) -> Preferences:
    """n pairs of draws of a law, x preferred to y with the probability 1/(1 + e^{r(y) − r(x)}).

    It is the model of Bradley and Terry [BradleyTerry1952]. `law` is a `NoisedMixture`, taken at t = 0, or a
    learnt flow, at its end, with a jax function r of a point, or probabilities `[N]` of a finite set with
    rewards `[N]`.
    """
    n, generator = whole_number("n", n), np.random.default_rng(seed_number("seed", seed))
    if isinstance(law, NoisedMixture | MatchedFlow):
        value = checked_function("reward", reward, (), of="(x)")
        draw = partial(law.sample, n, 0.0) if isinstance(law, NoisedMixture) else partial(law.sample, n)
        x, y = (draw(seed=int(k)).positions for k in generator.integers(2**62, size=2))
        worth = [at_points(lambda point, t: value(point), each, 0.0) for each in (x, y)]
    else:
        p, r = _finite(law, reward)
        x, y = generator.choice(p.size, size=(2, n), p=p)
        worth = [r[x], r[y]]
    first = generator.random(n) < 1.0 / (1.0 + np.exp(np.clip(worth[1] - worth[0], -700.0, 700.0)))
    keep = first if x.ndim == 1 else first[:, None]
    return Preferences(np.where(keep, x, y), np.where(keep, y, x))


def tilted_probabilities(law: ArrayLike, reward: ArrayLike, strength: float) -> np.ndarray:
    """p_ref e^{r/β}/Z `[N]` on a finite set: what preferences lead to."""
    p, r = _finite(law, reward)
    logs = r / positive_number("strength", strength)
    logs = np.where(p > 0.0, logs, -np.inf)  # what the law never draws outweighs nothing
    tilted = p * np.exp(logs - logs.max())
    return tilted / tilted.sum()


@dataclass(frozen=True)
class FinitePreferenceFit:
    """The law `[N]` that preferences lead to, the loss after every step, and the largest slope left."""

    law: np.ndarray
    losses: np.ndarray
    slope: float


def preference_table(
    law: ArrayLike,
    preferences: Preferences | ArrayLike,
    strength: float,
    *,
    steps: int | None = None,
    pseudocount: float = 0.0,
) -> FinitePreferenceFit:
    """argmin −E log s(β log p(x)/p_ref(x) − β log p(y)/p_ref(y)), s(z) = 1/(1 + e^{−z}), in a table.

    x is preferred to y [RafailovEtAl2023]; the loss is convex in h = β log p/p_ref. `preferences` are pairs
    of states, or the shares `[N, N]` of the pairs (x, y), with which the minimiser is that of the whole
    population: p_ref e^{r/β}/Z where they are Bradley and Terry's. Newton's method, until the slope is
    rounding; `steps` takes as many of gradient descent in their place, which tells an error of optimisation
    from one of sampling. A `pseudocount` is added to the counts of every pair of states, both ways, as a
    share of all: without one, states that never lose have no minimiser. Raises ValueError then.
    """
    p = probabilities("law", finite_array("law", law), np.size(law))
    shares, beta = _shares(preferences, p.size), positive_number("strength", strength)
    shares = shares + pseudocount / p.size**2
    shares = shares / shares.sum()
    both = shares + shares.T
    _require_connected(shares)
    h, losses = np.zeros(p.size), []
    rate = 2.0 / np.max(np.sum(both, axis=1))  # the Hessian is at most ¼ of twice that
    for _ in range(TOLERANCES.newton_steps if steps is None else whole_number("steps", steps)):
        value, slope, chance = _table_loss(h, shares)
        losses.append(value)
        if steps is not None:
            h = h - rate * slope
            continue
        if np.abs(slope).max() <= TOLERANCES.preference_slope:
            break
        curvature = both * chance * (1.0 - chance)
        hessian = np.diag(curvature.sum(axis=1)) - curvature
        move = np.linalg.lstsq(hessian, slope, rcond=None)[0]
        length = 1.0
        while _table_loss(h - length * move, shares)[0] > value and length > TOLERANCES.shortest_step:
            length *= 0.5
        h = h - length * move
    value, slope, _ = _table_loss(h, shares)
    logs = h / beta
    found = p * np.exp(logs - logs.max())
    return FinitePreferenceFit(found / found.sum(), np.append(losses, value), float(np.abs(slope).max()))


def bradley_terry_shares(law: ArrayLike, reward: ArrayLike) -> np.ndarray:
    """P(x and y are drawn, in either order, and x is preferred) `[N, N]`: the whole population."""
    p, r = _finite(law, reward)
    return 2.0 * p[:, None] * p / (1.0 + np.exp(np.clip(r - r[:, None], -700.0, 700.0)))


@dataclass(frozen=True)
class PreferenceFit:
    """The fitted `parameters`, the loss of every step, and the largest slope at the end."""

    parameters: Any
    losses: np.ndarray
    slope: float


def preference_fit(
    log_density: Callable,
    parameters: Any,
    log_reference: Callable,
    preferences: Preferences,
    strength: float,
    *,
    steps: int = 500,
) -> PreferenceFit:
    """argmin over θ of −mean log s(β(log p_θ(x) − log p_ref(x)) − β(log p_θ(y) − log p_ref(y))), by L-BFGS.

    `log_density(θ, x)` and `log_reference(x)` are jax functions of a point, θ any tree of arrays, starting
    from `parameters`, such as a mixture's weights and means. Raises ValueError for a loss that is
    not finite.
    """
    from jax.flatten_util import ravel_pytree
    from scipy.optimize import minimize

    instance("preferences", preferences, Preferences)
    beta = positive_number("strength", strength)
    points = [finite_array(name, getattr(preferences, name)) for name in ("preferred", "other")]
    with jax.enable_x64(True):
        flat, unflatten = ravel_pytree(jax.tree.map(lambda a: jnp.asarray(a, jnp.float64), parameters))
        x, y = (jnp.asarray(each) for each in points)
        reference = jax.vmap(checked_function("log_reference", log_reference, (), of="(x)"))
        offset = reference(x) - reference(y)

        @jax.jit
        @jax.value_and_grad
        def loss(theta):
            each = jax.vmap(lambda point: log_density(unflatten(theta), point))
            return -jnp.mean(jax.nn.log_sigmoid(beta * (each(x) - each(y) - offset)))

        losses: list[float] = []

        def evaluated(theta):
            value, slope = loss(jnp.asarray(theta))
            losses.append(float(value))
            return float(value), np.asarray(slope, float)

        found = minimize(
            evaluated,
            np.asarray(flat),
            jac=True,
            method="L-BFGS-B",
            options={
                "maxiter": whole_number("steps", steps),
                "ftol": 0.0,
                "gtol": TOLERANCES.preference_slope,
            },
        )
        if not np.isfinite(found.fun):
            raise ValueError("log_density: the loss is not finite: are both densities positive?")
        fitted = jax.tree.map(np.asarray, unflatten(jnp.asarray(found.x)))
    return PreferenceFit(fitted, np.array(losses), float(np.abs(found.jac).max()))


def _table_loss(h: np.ndarray, shares: np.ndarray):
    gap = h[:, None] - h
    chance = 1.0 / (1.0 + np.exp(np.clip(gap, -700.0, 700.0)))  # of being wrong
    flow = shares * chance
    return float(np.sum(shares * np.logaddexp(0.0, -gap))), flow.sum(axis=0) - flow.sum(axis=1), chance


def _shares(preferences: Preferences | ArrayLike, size: int) -> np.ndarray:
    if not isinstance(preferences, Preferences):
        shares = finite_array("preferences", preferences)
        if shares.shape != (size, size) or shares.min() < 0.0 or shares.sum() <= 0.0:
            raise ValueError(f"preferences: expected pairs or shares [{size}, {size}] of at least 0")
        return shares / shares.sum()
    x, y = np.asarray(preferences.preferred), np.asarray(preferences.other)
    if x.ndim != 1 or x.dtype.kind not in "iu" or min(x.min(), y.min()) < 0 or max(x.max(), y.max()) >= size:
        raise ValueError(f"preferences: expected pairs of states from 0 to {size - 1}")
    counts = np.zeros((size, size))
    np.add.at(counts, (x, y), 1.0)
    return counts / len(x)


def _require_connected(shares: np.ndarray) -> None:
    from scipy.sparse.csgraph import connected_components

    parts, label = connected_components(shares > 0.0, directed=True, connection="strong")
    if parts > 1:
        alone = np.flatnonzero(label == label[int(np.argmin(np.bincount(label)[label]))]).tolist()[:6]
        raise ValueError(
            f"preferences: states {alone} and the others are not both preferred to each other, so that the "
            "loss has no minimiser: take more pairs, or a pseudocount of 1e-3, say"
        )


def _finite(law: ArrayLike, reward: Callable | ArrayLike):
    p = probabilities("law", finite_array("law", law), np.size(law))
    r = finite_array("reward", reward)
    if r.shape != p.shape:
        raise ValueError(f"reward: expected one number for each of {p.size} states, got shape {r.shape}")
    return p, r
