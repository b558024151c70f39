"""What the data cannot tell: directions of the parameters that no snapshot shows, in words."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from jko.learn.equations import Normal
from jko.learn.model import Model
from jko.learn.tolerances import TOLERANCES


@dataclass(frozen=True, eq=False)
class Direction:
    """One direction `vector` `[size]` of the parameters: `information`, the mean square velocity that a
    unit of it makes, over the largest; `noise`, the standard error of its coefficient over the size that the
    observed motion would give it: above 1 the data do not tell it from 0. `shares` `[size]` are the same
    vector, each parameter in units of which one makes a unit velocity. Where no regularisation decides
    either, the parameters p are those with `held`·p = 0."""

    vector: np.ndarray = field(repr=False)
    shares: np.ndarray = field(repr=False)
    information: float
    noise: float
    words: str
    held: np.ndarray | None = field(repr=False, default=None)

    def __str__(self) -> str:
        return f"{self.words} (information {self.information:.1e}, noise {self.noise:.2g})"


@dataclass(frozen=True, eq=False)
class Identifiability:
    """The whitened Gram matrix, parameters scaled so that each alone makes a unit velocity: `eigenvalues`
    `[size]` from the largest and which of their eigenvectors the data have `seen` `[size]`, the
    `null_directions` among the others, least known first, and `effective_parameters`, how many the
    regularisation leaves free."""

    eigenvalues: np.ndarray
    seen: np.ndarray
    null_directions: list[Direction]
    effective_parameters: float
    size: int

    @property
    def counted(self) -> str:
        """How many directions the data have seen, and how many the regularisation leaves free."""
        return (
            f"{self.size} parameters: the data see {int(self.seen.sum())} directions, the "
            f"regularisation leaves {self.effective_parameters:.3g} free"
        )

    @property
    def sentences(self) -> list[str]:
        """The null directions in words, the least known first."""
        return [str(direction) for direction in self.null_directions]

    def __str__(self) -> str:
        if not self.null_directions:
            return f"{self.counted}; every direction is seen"
        shown = "\n".join(f"  {sentence}" for sentence in self.sentences[:6])
        more = len(self.null_directions) - 6
        return f"{self.counted}; not seen:\n{shown}" + (f"\n  and {more} more" if more > 0 else "")


def identifiability(
    model: Model,
    normal: Normal,
    share: float,
    spread: np.ndarray,
    parameters: np.ndarray,
    means: np.ndarray,
) -> Identifiability:
    """From the normal equations and the covariance `spread` of their residual at the solution.

    What W and θ do that a potential imitates comes first, whatever the functions that it is made of: a null
    direction of many of these alike is none of the eigenvectors, which lie anyhow among each other. The
    eigenvectors are those of what is left, and those of them that move nothing are turned among each other to
    those of the regularisation, which sets what it penalises. `means` `[K + 1, d]` are those of the
    snapshots, for the gauge between V and W.
    """
    from scipy.linalg import eigh, null_space

    matrix = normal.matrix
    scale = 1.0 / np.sqrt(np.maximum(np.diag(matrix), np.finfo(float).tiny))
    scale[np.diag(matrix) <= TOLERANCES.null_rounding * np.diag(matrix).max()] = 0.0
    motion = np.sqrt(max(float(parameters @ matrix @ parameters), np.finfo(float).tiny))
    white = _White(matrix * np.outer(scale, scale), spread * np.outer(scale, scale), motion)
    penalty = share * normal.scale * model.penalised * scale**2
    imitated, terms = _imitated(white, penalty, model.first_kernel)
    left = null_space(imitated.T) if imitated.shape[1] else np.eye(model.size)
    values, vectors = eigh(left.T @ white.matrix @ left)
    values, vectors = np.maximum(values[::-1], 0.0), left @ vectors[:, ::-1]
    still = values <= TOLERANCES.null_rounding * values[0]
    resting = vectors[:, still]
    vectors[:, still] = resting @ np.linalg.eigh(-resting.T @ (penalty[:, None] * resting))[1]
    null = still | (white.noise(vectors) > 1.0)
    own = model.penalised == 0.0
    unscaled = np.where(scale > 0.0, 1.0 / np.where(scale > 0.0, scale, 1.0), 0.0)

    def direction(vector: np.ndarray, term: np.ndarray):
        information = white.information(vector[:, None])[0]
        decided = information + term @ (penalty * term)
        shaken = white.shaken(vector[:, None])[0]
        unset = np.sum(term[own] ** 2) >= TOLERANCES.own * np.sum(term**2)
        unset &= shaken > decided or decided <= TOLERANCES.null_rounding * values[0]
        return Direction(
            scale * vector,
            vector,
            float(information / (vector @ vector) / values[0]),
            float(white.noise(vector[:, None])[0]),
            _words(model, scale * vector, term, unscaled, means),
            np.where(scale > 0.0, unscaled, 1.0) * term if unset else None,
        )

    found = [direction(v, term) for v, term in zip(imitated.T, terms.T, strict=True)]
    found += [direction(vectors[:, j], vectors[:, j]) for j in np.flatnonzero(null)[::-1]]
    strengths = np.concatenate([values, [each.information * values[0] for each in found[: len(terms.T)]]])
    seen = np.concatenate([~null, np.zeros(len(terms.T), dtype=bool)])
    order = np.argsort(-strengths, kind="stable")
    return Identifiability(strengths[order], seen[order], found, _free(white.matrix, penalty), model.size)


@dataclass(frozen=True, eq=False)
class _White:
    """The Gram matrix and the covariance of the residual, parameters scaled so that each alone makes a unit
    velocity; `motion` is the root mean square of the velocity that was seen."""

    matrix: np.ndarray
    spread: np.ndarray
    motion: float

    def information(self, vectors: np.ndarray) -> np.ndarray:
        """The mean square velocity that each column makes."""
        return np.maximum(np.sum(vectors * (self.matrix @ vectors), axis=0), 0.0)

    def shaken(self, vectors: np.ndarray) -> np.ndarray:
        """The standard deviation of the residual along each column, over the motion."""
        return np.sqrt(np.maximum(np.sum(vectors * (self.spread @ vectors), axis=0), 0.0)) / self.motion

    def noise(self, vectors: np.ndarray) -> np.ndarray:
        """The standard errors of the coefficients of the columns, each alone, over the motion."""
        # below the rounding of a matrix of unit diagonal there is no information
        return self.shaken(vectors) / np.maximum(self.information(vectors), np.finfo(float).eps)


def _imitated(white: _White, penalty: np.ndarray, first: int) -> tuple[np.ndarray, np.ndarray]:
    """Directions `[size, r]` that would be told if V were known and are not beside it, and what they are of
    W and θ, the parameters from `first`, alone `[size, r]`.

    The V that imitates W and θ best has the parameters −(N_VV + R)⁻¹N_VW; what is left of the velocity are
    the sines of the angles between both (canonical correlations).
    """
    from scipy.linalg import eigh

    size = len(white.matrix)
    empty = np.empty((size, 0))
    if first in (0, size):
        return empty, empty
    terms = np.zeros((size, size - first))
    values, terms[first:] = eigh(white.matrix[first:, first:])
    known = values > TOLERANCES.null_rounding * values[-1]
    terms = terms[:, known] / np.sqrt(values[known])  # of unit velocity
    terms = terms[:, white.noise(terms) <= 1.0]
    raised = white.matrix[:first, :first] + np.diag(penalty[:first] + TOLERANCES.null_rounding)
    beside = np.array(terms)
    beside[:first] = -np.linalg.solve(raised, (white.matrix @ terms)[:first])
    turned = eigh(beside.T @ white.matrix @ beside)[1]
    beside, terms = beside @ turned, terms @ turned
    unseen = white.noise(beside) > 1.0
    return beside[:, unseen], terms[:, unseen]


def free_of(report: Identifiability) -> np.ndarray | None:
    """A basis `[size, r]` of the parameters without the null directions that nothing regularises; None where
    there is none of these."""
    held = [each.held / np.linalg.norm(each.held) for each in report.null_directions if each.held is not None]
    if not held:
        return None
    orthogonal, _ = np.linalg.qr(np.array(held).T, mode="complete")
    return orthogonal[:, len(held) :]


def _free(matrix: np.ndarray, penalty: np.ndarray) -> float:
    """tr (N + R)⁻¹N for a matrix of unit diagonal: the parameters that a regularisation leaves to the
    data."""
    raised = matrix + np.diag(penalty) + TOLERANCES.null_rounding * np.eye(len(matrix))
    return float(np.trace(np.linalg.solve(raised, matrix)))


def _words(
    model: Model, direction: np.ndarray, term: np.ndarray, unscaled: np.ndarray, means: np.ndarray
) -> str:
    """Of a direction of the parameters, or of its part `term` (scaled) in W and θ that a V imitates."""
    whitened, first = direction * unscaled, model.first_kernel
    alone = not term[:first].any()
    for gauge in model.gauges(means.mean(axis=0)):
        shape = gauge * unscaled * ((np.arange(len(gauge)) >= first) | (not alone))
        length = np.linalg.norm(shape) * np.linalg.norm(term)
        if length > 0.0 and abs(shape @ term) / length > TOLERANCES.alike:
            return (
                "the gauge between V and W: W + ½c|z|² with V − ½c|x|² + c m·x moves nothing while the "
                "mean stays at m"
            )
    told = term if alone else whitened
    told = told / (np.linalg.norm(told) or 1.0)
    largest = np.argsort(-np.abs(told))
    if model.fits_temperature and abs(told[-1]) > TOLERANCES.much:
        return "V against the temperature: near equilibrium, V ∝ −θ log ρ, only V/θ shows"
    named = [model.describe(int(j)) for j in largest[:3] if abs(told[j]) > TOLERANCES.much / 2.0]
    words = (
        " against ".join(named) if named else f"a mixture of many, led by {model.describe(int(largest[0]))}"
    )
    return f"{words} against a V that does the same" if alone else words
