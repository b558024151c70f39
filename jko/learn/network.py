"""A small network as a basis: hidden layers trained on pairs, a last layer by least squares."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from types import ModuleType
from typing import NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np

from functionals.array import Array
from jko.learn.closed_form import Data, coupled_clouds, solve
from jko.learn.features import Features, Together, family
from jko.learn.model import Model
from jko.learn.moments import velocity
from jko.learn.tolerances import TOLERANCES

ENDS = {"flow": (0.5, 0.5), "explicit": (1.0, 0.0), "implicit": (0.0, 1.0)}  # of ∇V at x and at y


@family("layers", "middle", "scale")
class Units(Features):
    """The last hidden layer of a network, u(x) = tanh(…tanh(zA₁ + b₁)…A_D + b_D), z = (x − middle)/scale."""

    layers: tuple[tuple[np.ndarray, np.ndarray], ...]
    middle: np.ndarray
    scale: np.ndarray

    @classmethod
    def drawn(cls, points: np.ndarray, width: int, depth: int, seed: int) -> Units:
        """Random layers `[in, out]` of variance 1/in, with biases over the spread of the points."""
        generator = np.random.default_rng(seed)
        sizes, scale = [points.shape[1], *[width] * depth], points.std(axis=0)
        layers = tuple(
            (generator.normal(size=(n, m)) / np.sqrt(n), generator.uniform(-1.0, 1.0, m))
            for n, m in pairwise(sizes)
        )
        return cls(layers, points.mean(axis=0), np.where(scale > 0.0, scale, 1.0))

    @property
    def dimension(self):
        return len(self.middle)

    @property
    def size(self):
        return len(self.layers[-1][1])

    def _through(self, x: np.ndarray):
        return through(np, self.layers, (np.asarray(x, dtype=float) - self.middle) / self.scale, self.scale)

    def values(self, x: np.ndarray):
        return self._through(x)[0]

    def fill_gradients(self, x: np.ndarray, out: np.ndarray):
        out[:] = self._through(x)[1].transpose(1, 0, 2)

    def laplacians(self, x: np.ndarray):
        return self._through(x)[2]

    def at(self, x: Array, coefficients: np.ndarray):
        z = (x - jnp.asarray(self.middle, x.dtype)) / jnp.asarray(self.scale, x.dtype)
        for matrix, bias in self.layers:
            z = jnp.tanh(z @ jnp.asarray(matrix, x.dtype) + jnp.asarray(bias, x.dtype))
        return jnp.asarray(coefficients, x.dtype) @ z

    def describe(self, j: int):
        return f"unit {j + 1} of the network"


def through(numbers: ModuleType, layers: tuple, z: Array, scale: np.ndarray):
    """(u `[n, m]`, ∂u `[d, n, m]`, Δu `[n, m]`) of the last hidden layer at z `[n, d]`, the derivatives by
    x = scale·z; `numbers` is numpy or jax.numpy."""
    slopes = [numbers.zeros(z.shape) + row for row in numbers.diag(1.0 / scale)]
    bend = numbers.zeros(z.shape)
    for matrix, bias in layers:
        z = numbers.tanh(z @ matrix + bias)
        steep, slopes = 1.0 - z**2, [slope @ matrix for slope in slopes]
        bend = steep * (bend @ matrix - 2.0 * z * sum(slope**2 for slope in slopes))
        slopes = [steep * slope for slope in slopes]
    return z, numbers.stack(slopes), bend


class Pairs(NamedTuple):
    """Pairs of an interval: both ends together `[2n, d]` as z, weights `[n]`, the velocity `[n, d]` that −∇V
    has to explain, the slopes `[n, d, r]` of the functions beside the network, the gap, and
    `spread` `[m + r, size]`, by which the parameters of V give those of the interval."""

    ends: np.ndarray
    weights: np.ndarray
    velocity: np.ndarray
    slopes: np.ndarray
    gap: float
    spread: np.ndarray


class Objective(NamedTuple):
    """What training is about, beside the layers: `shares` of ∇V at both ends of a pair, and `unit`, the mean
    square of the velocities."""

    intervals: list[Pairs]
    scale: np.ndarray
    penalised: np.ndarray
    shares: np.ndarray
    unit: float


def trained(model: Model, data: Data, chosen: list[int], iterations: int, seed: int) -> Model:
    """The model with hidden layers w of its network that make the least squares of V small.

    For each w the last layer is that of the closed form (variable projection [GolubPereyra1973]): minimised
    is −hᵀ(N + R)⁻¹h of the normal equations, by L-BFGS from random layers; kept are those that do best on a
    third of the pairs, which is held out. W is meanwhile what random layers made of it, and noise is not
    taken off: the score of finitely many points has no bound among units that bend as they please, and
    what moves them bends as V does.
    """
    from scipy.optimize import minimize

    units, others = _families(model)
    objective = _objective(model, data, chosen, seed)
    leaves, tree = jax.tree.flatten(units.layers)
    ends = np.cumsum([leaf.size for leaf in leaves])[:-1]
    best, least, since = units.layers, np.inf, 0

    def told(w: np.ndarray):
        nonlocal best, least, since
        parts = zip(np.split(w, ends), leaves, strict=True)
        layers = jax.tree.unflatten(tree, [part.reshape(leaf.shape) for part, leaf in parts])
        (value, held), slope = _told(layers, objective)
        since += 1
        if held < least:
            best, least, since = layers, float(held), 0
        return float(value), np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(slope)])

    def ended(_: np.ndarray):
        if since > TOLERANCES.patience:
            raise StopIteration

    with jax.enable_x64(True):
        start = np.concatenate([leaf.ravel() for leaf in leaves])
        minimize(told, start, jac=True, method="L-BFGS-B", callback=ended, options={"maxiter": iterations})
    return replace(model, potential=Together((replace(units, layers=best), others)))


def _families(model: Model) -> tuple[Units, Features]:
    """The units of the network, and the functions beside them, as `bases.Network` puts them together."""
    return cast(tuple[Units, Features], cast(Together, model.potential).families)


def _objective(model: Model, data: Data, chosen: list[int], seed: int) -> Objective:
    units, others = _families(model)
    kernel = np.zeros(model.interactions)
    if model.kernels is not None:
        kernel = model.kernel_part(solve(model, data, chosen, None, seed).parameters)
    alone, (first, last) = replace(model, potential=None), ENDS[data.step]
    made, unit = [], 0.0
    for number, k in enumerate(chosen):
        here, there, plan = coupled_clouds(data, k, seed)
        count = min(TOLERANCES.trained_pairs, len(plan.rows))
        some = np.random.default_rng([seed, k]).permutation(len(plan.rows))[:count]
        rows, columns, gap = plan.rows[some], plan.columns[some], float(data.gaps[k])
        x, y, w = here.x[rows], there.x[columns], plan.weights[some] / plan.weights[some].sum()
        pulled = [velocity(alone, kernel, c.x, c.w) for c in (here, there)]
        moved = (y - x) / gap - first * pulled[0][rows] - last * pulled[1][columns]
        slopes = first * others.gradients(x) + last * others.gradients(y)
        both = (np.concatenate([x, y]) - units.middle) / units.scale
        spread = model.spread(number)[: model.potentials, : model.first_kernel]
        made.append(Pairs(both, w, moved, slopes, gap, spread))
        unit += gap * float(w @ np.sum(moved**2, axis=1))
    penalised = model.penalised[: model.first_kernel]
    return Objective(made, units.scale, penalised, np.array([first, last]), unit or 1.0)


@jax.jit
def _told(layers: tuple, objective: Objective):
    """((the loss of the pairs that train, that of those held out), the slope of the first by the layers)."""

    def losses(layers: tuple):
        fitted, held = (_normal(layers, objective, part) for part in (0, 1))
        matrix, right = fitted
        size = jnp.trace(matrix) / len(right)
        p = jnp.linalg.solve(matrix + jnp.diag(TOLERANCES.trained_ridge * size * objective.penalised), right)
        return -(p @ right) / objective.unit, (p @ held[0] @ p - 2.0 * p @ held[1]) / objective.unit

    return jax.value_and_grad(losses, has_aux=True)(layers)


def _normal(layers: tuple, objective: Objective, part: int):
    """(N, h) of two thirds of the pairs of each interval, or of the rest."""
    matrix, right = jnp.zeros(()), jnp.zeros(())
    for each in objective.intervals:
        n = len(each.weights)
        some = slice(None, 2 * n // 3) if part == 0 else slice(2 * n // 3, None)
        slopes = through(jnp, layers, each.ends, objective.scale)[1]
        first, last = objective.shares
        own = jnp.moveaxis(first * slopes[:, :n] + last * slopes[:, n:], 0, 1)
        slopes = jnp.concatenate([own, each.slopes], axis=2)[some]
        w = each.weights[some] / each.weights[some].sum()
        weighted = slopes * w[:, None, None]
        change = jnp.tensordot(weighted, each.velocity[some], axes=((0, 1), (0, 1)))
        gram = jnp.tensordot(weighted, slopes, axes=((0, 1), (0, 1)))
        matrix = matrix + each.gap * each.spread.T @ gram @ each.spread
        right = right - each.gap * each.spread.T @ change
    return matrix, right
