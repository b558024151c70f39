"""The second moment along the Keller-Segel flow in the plane."""

from __future__ import annotations

import math

from jko.errors import finite_array, positive_number


class KellerSegelMoment:
    """The law of ∫ |x|² ρ for ∂ₜ ρ = Δ ρ - ∇·(ρ ∇ c) in the plane, unit mass
    [BlanchetDolbeaultPerthame2006].

    d/dt ∫ |x|² ρ = 4 (1 - χ/χ_c) exactly, for the flow of ∫ρ log ρ + ½ ∬ W d ρ d ρ,
    W = (4 χ/χ_c) log|z|. With W = (χ/2 π) log|z|, the usual normalisation, χ_c = 8 π; for the registry's
    `Interaction("logarithmic", strength=-chi)`, W = χ log|z|, χ_c = 4.
    """

    dimension = 2

    def __init__(self, chi: float, second_moment: float, critical: float = 8.0 * math.pi):
        self.chi = float(finite_array("chi", chi))
        self.initial = positive_number("second_moment", second_moment)
        self.critical = positive_number("critical", critical)

    @property
    def rate(self) -> float:
        """4 (1 - χ/χ_c)."""
        return 4.0 * (1.0 - self.chi / self.critical)

    def second_moment(self, t: float) -> float:
        """∫ |x|² ρ at time t; raises ValueError past the time at which it would be negative."""
        if t > self.latest_time:
            raise ValueError(
                f"t: the solution blew up before {self.latest_time:g}, got {t:g}; ask for an earlier time"
            )
        return self.initial + self.rate * t

    @property
    def latest_time(self) -> float:
        """A time before which the solution has blown up, -M_2(0)/rate for χ > χ_c; infinity otherwise."""
        return math.inf if self.rate >= 0.0 else -self.initial / self.rate
