"""How the sums of an interaction over particles are to be taken."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Integral

from functionals.numbers import is_number, positive

METHODS = ("auto", "direct", "cells", "fourier", "split", "tree", "random batch")


@dataclass(frozen=True)
class Summation:
    """`method` and `tolerance` of the sums Σ_j w_j W(x_i − x_j) over particles; grids have their own.

    tolerance: the relative root mean square error of the forces that a fast method may make. cutoff: a radius
    beyond which W is 0. partners, seed: of the random batch.
    """

    method: str = "auto"
    tolerance: float = 1e-6
    cutoff: float | None = None
    partners: int = 2
    seed: int = 0

    def __post_init__(self):
        if self.method not in METHODS:
            raise ValueError(f"method: expected one of {', '.join(map(repr, METHODS))}, got {self.method!r}")
        positive("tolerance", self.tolerance)
        if not 1e-12 <= self.tolerance <= 1e-2:
            raise ValueError(f"tolerance: expected a number from 1e-12 to 0.01, got {self.tolerance:g}")
        if self.cutoff is not None:
            positive("cutoff", self.cutoff)
        if not _is_whole(self.partners) or self.partners < 2 or self.partners % 2:
            raise ValueError(f"partners: expected an even whole number of at least 2, got {self.partners!r}")
        if not _is_whole(self.seed) or not 0 <= self.seed < 2**64:
            raise ValueError(f"seed: expected a whole number from 0 to 2**64 - 1, got {self.seed!r}")
        if self.method == "cells" and self.cutoff is None:
            raise ValueError(
                "method: 'cells' needs a kernel that is 0 beyond some distance: declare it with cutoff=, or "
                "use method='auto'"
            )

    @property
    def exact(self) -> bool:
        """Whether all pairs were asked for."""
        return self.method == "direct"

    def __str__(self):
        default = Summation()
        names = ("method", "tolerance", "cutoff", "partners", "seed")
        return "".join(
            f", {name}={getattr(self, name)!r}"
            for name in names
            if getattr(self, name) != getattr(default, name)
        )


def _is_whole(value: int) -> bool:
    return isinstance(value, Integral) and is_number(value)
