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
    observed motion would give it: above 1 the data do not tell it from 0."""

    vector: np.ndarray = field(repr=False)
    information: float
    noise: float
    words: str

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
    def sentences(self) -> list[str]:
        """The null directions in words, the least known first."""
        return [str(direction) for direction in self.null_directions]

    def __str__(self) -> str:
        head = f"{self.size} parameters, {self.effective_parameters:.3g} of them set by the data"
        if not self.null_directions:
            return f"{head}; every direction is seen"
        shown = "\n".join(f"  {sentence}" for sentence in self.sentences[:6])
        more = len(self.null_directions) - 6
        return f"{head}; not seen:\n{shown}" + (f"\n  and {more} more" if more > 0 else "")


def identifiability(
    model: Model,
    normal: Normal,
    share: float,
    spread: np.ndarray,
    parameters: np.ndarray,
    means: np.ndarray,
) -> Identifiability:
    """From the normal equations and the covariance `spread` of their residual at the solution.

    `means` `[K + 1, d]` are those of the snapshots, for the gauge between V and W.
    """
    from scipy.linalg import eigh

    matrix = normal.matrix
    scale = 1.0 / np.sqrt(np.maximum(np.diag(matrix), np.finfo(float).tiny))
    scale[np.diag(matrix) <= TOLERANCES.null_rounding * np.diag(matrix).max()] = 0.0
    values, vectors = eigh(matrix * np.outer(scale, scale))
    values, vectors = np.maximum(values[::-1], 0.0), vectors[:, ::-1]
    motion = np.sqrt(max(float(parameters @ matrix @ parameters), np.finfo(float).tiny))
    unscaled = np.where(scale > 0.0, 1.0 / np.where(scale > 0.0, scale, 1.0), 0.0)
    whitened = spread * np.outer(scale, scale)
    shaken = np.sqrt(np.maximum(np.sum(vectors * (whitened @ vectors), axis=0), 0.0))
    noises = shaken / np.maximum(values, np.finfo(float).tiny) / motion
    null = (values <= TOLERANCES.null_rounding * values[0]) | (noises > 1.0)
    found = [
        Direction(
            scale * vectors[:, j],
            float(values[j] / values[0]),
            float(noises[j]),
            _words(model, scale * vectors[:, j], vectors[:, j], unscaled, means),
        )
        for j in np.flatnonzero(null)[::-1]
    ]
    free = _free(matrix * np.outer(scale, scale), share * normal.scale * model.penalised * scale**2)
    return Identifiability(values, ~null, found, free, model.size)


def free_of(model: Model, report: Identifiability) -> np.ndarray | None:
    """A basis `[size, r]` of the parameters without the null directions that nothing regularises; None where
    there is none of these."""
    own = model.penalised == 0.0
    scaled = []
    for direction in report.null_directions:
        vector = direction.vector / (np.linalg.norm(direction.vector) or 1.0)
        if np.sum(vector[own] ** 2) >= TOLERANCES.own:
            scaled.append(vector)
    if not scaled:
        return None
    orthogonal, _ = np.linalg.qr(np.array(scaled).T, mode="complete")
    return orthogonal[:, len(scaled) :]


def _free(matrix: np.ndarray, penalty: np.ndarray) -> float:
    """tr (N + R)⁻¹N for a matrix of unit diagonal: the parameters that a regularisation leaves to the
    data."""
    raised = matrix + np.diag(penalty) + TOLERANCES.null_rounding * np.eye(len(matrix))
    return float(np.trace(np.linalg.solve(raised, matrix)))


def _words(
    model: Model, direction: np.ndarray, whitened: np.ndarray, unscaled: np.ndarray, means: np.ndarray
) -> str:
    for gauge in model.gauges(means.mean(axis=0)):
        shape = gauge * unscaled
        length = np.linalg.norm(shape)
        if length > 0.0 and abs(shape @ whitened) / length > TOLERANCES.alike:
            return (
                "the gauge between V and W: W + ½c|z|² with V − ½c|x|² + c m·x moves nothing while the "
                "mean stays at m"
            )
    largest = np.argsort(-np.abs(whitened))
    if model.fits_temperature and abs(whitened[-1]) > TOLERANCES.much:
        return "V against the temperature: near equilibrium, V ∝ −θ log ρ, only V/θ shows"
    named = [model.describe(int(j)) for j in largest[:3] if abs(whitened[j]) > TOLERANCES.much / 2.0]
    return (
        " against ".join(named) if named else f"a mixture of many, led by {model.describe(int(largest[0]))}"
    )
