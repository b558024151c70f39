"""The heat flow of a Gaussian."""

from __future__ import annotations

from collections.abc import Sequence

from jko.exact.ornstein_uhlenbeck import OrnsteinUhlenbeck


class Heat(OrnsteinUhlenbeck):
    """∂ₜ ρ = θ Δ ρ from N(mean, std²), the flow of θ ∫ρ log ρ: S(t) = S_0 + 2 θ t, the mean stays.

    Arguments as for `OrnsteinUhlenbeck`, without a stiffness.
    """

    def __init__(
        self,
        mean: Sequence | float = 0.0,
        std: float | list = 1.0,
        temperature: float = 1.0,
        *,
        covariance=None,
    ):
        super().__init__(mean, std, stiffness=0.0, temperature=temperature, covariance=covariance)
