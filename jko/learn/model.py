"""What is asked of the data: which terms the functional has, and how its coefficients lie in one vector."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from jko.learn.features import EvenPowers, Features, Monomials, Together


@dataclass(frozen=True, eq=False)
class Model:
    """F = ∫V dρ + ½∬W dρdρ + θ∫ρ log ρ with V = Σ_p b_p(t) Σ_j c_pj φ_j and W = Σ_l w_l ψ_l.

    `factors` `[K, P]` are the b_p of each interval. A vector of parameters is (c `[P·m]`, w `[q]`, θ), θ
    where it is fitted alone; `temperature` is the known one, 0 where there is none.
    """

    potential: Features | None
    kernels: Features | None
    temperature: float
    fits_temperature: bool
    factors: np.ndarray = field(repr=False)

    @property
    def potentials(self) -> int:
        """m, the number of functions of V."""
        return 0 if self.potential is None else self.potential.size

    @property
    def interactions(self) -> int:
        """q, the number of functions of W."""
        return 0 if self.kernels is None else self.kernels.size

    @property
    def tests(self) -> int:
        """m + q, the number of energies whose fall is asked for."""
        return self.potentials + self.interactions

    @property
    def size(self) -> int:
        """The number of parameters."""
        return self.potentials * self.factors.shape[1] + self.interactions + self.fits_temperature

    @property
    def first_kernel(self) -> int:
        """Where the coefficients of W begin."""
        return self.potentials * self.factors.shape[1]

    def theta(self, parameters: np.ndarray) -> float:
        """θ, fitted or known."""
        return float(parameters[-1]) if self.fits_temperature else self.temperature

    def kernel_part(self, parameters: np.ndarray) -> np.ndarray:
        """w `[q]`."""
        return parameters[self.first_kernel : self.first_kernel + self.interactions]

    def table(self, parameters: np.ndarray) -> np.ndarray:
        """c `[P, m]`."""
        return parameters[: self.first_kernel].reshape(self.factors.shape[1], self.potentials)

    def of_interval(self, k: int, parameters: np.ndarray) -> np.ndarray:
        """(c of the interval k, w), `[m + q]`."""
        return np.concatenate([self.factors[k] @ self.table(parameters), self.kernel_part(parameters)])

    def spread(self, k: int) -> np.ndarray:
        """E_k `[m + q, size without θ]`, by which the parameters give those of the interval k."""
        m, q, count = self.potentials, self.interactions, self.factors.shape[1]
        out = np.zeros((m + q, m * count + q))
        for p, b in enumerate(self.factors[k]):
            out[np.arange(m), p * m + np.arange(m)] = b
        out[m + np.arange(q), m * count + np.arange(q)] = 1.0
        return out

    @property
    def penalised(self) -> np.ndarray:
        """The share of the regularisation that each parameter carries, `[size]`."""
        shares = [] if self.potential is None else [np.tile(self.potential.penalised, self.factors.shape[1])]
        shares += [] if self.kernels is None else [self.kernels.penalised]
        return np.concatenate([*shares, np.zeros(int(self.fits_temperature))])

    def describe(self, j: int) -> str:
        """The parameter j in words."""
        if self.fits_temperature and j == self.size - 1:
            return "the temperature"
        if j >= self.first_kernel:
            return f"W: {self.kernels.describe(j - self.first_kernel)}"
        p, i = divmod(j, self.potentials)
        when = f", time function {p}" if self.factors.shape[1] > 1 else ""
        return f"V: {self.potential.describe(i)}{when}"

    def gauges(self, mean: np.ndarray) -> list[np.ndarray]:
        """W + ½|z|², V − ½|x|² + m·x as directions of the parameters: what no path of fixed mean m shows."""
        where, scale = _square_of_kernels(self.kernels)
        monomials, first = _monomials(self.potential)
        if where is None or monomials is None:
            return []
        direction = np.zeros(self.size)
        direction[self.first_kernel + where] = 0.5 * scale**2
        one = np.zeros(self.potentials)
        for j, e in enumerate(monomials.exponents):
            axis = int(np.argmax(e))
            s, middle = monomials.scale[axis], monomials.middle[axis]
            if e.sum() == 2 and e[axis] == 2:
                one[first + j] = -0.5 * s**2
            elif e.sum() == 1:
                one[first + j] = (mean[axis] - middle) * s
        # constant in time: only where some sum of the time functions is
        constant = np.linalg.lstsq(self.factors, np.ones(len(self.factors)), rcond=None)[0]
        direction[: self.first_kernel] = np.outer(constant, one).ravel()
        return [direction]


def _square_of_kernels(kernels):
    if isinstance(kernels, EvenPowers):
        return 0, kernels.scale
    if isinstance(kernels, Together):
        first = 0
        for family in kernels.families:
            if isinstance(family, EvenPowers):
                return first, family.scale
            first += family.size
    return None, None


def _monomials(potential: Together):
    if isinstance(potential, Monomials):
        return (potential, 0) if potential.exponents.sum(axis=1).max() >= 2 else (None, 0)
    if isinstance(potential, Together):
        first = 0
        for family in potential.families:
            if isinstance(family, Monomials):
                return family, first
            first += family.size
    return None, 0
