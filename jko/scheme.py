"""What a scheme is: settings with `init` and `step`, and what it takes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

import jko.sharding as sharding
from jko.bounds import Space
from jko.errors import UnsupportedFunctional
from jko.records import CONVERGED, Records, StepInfo

__all__ = ["CONVERGED", "KINDS", "Records", "Scheme", "State", "StepInfo"]

KINDS = frozenset({"entropy", "internal", "potential", "interaction", "constraint", "rest"})


@dataclass
class State:
    """What a scheme carries from step to step.

    `data` holds everything beside the measure that the next step's numbers depend on, as arrays, numbers and
    strings: it goes into checkpoints and is never changed in place. `workspace` holds what `init` can
    rebuild, such as compiled problems: no number may depend on its history.
    """

    data: dict[str, Any] = field(default_factory=dict)
    workspace: Any = None

    def with_data(self, **data) -> State:
        """The same workspace with other data."""
        return State(data, self.workspace)


class Scheme:
    """The base of every scheme: a frozen dataclass of settings with `init` and `step`.

    A subclass declares the kinds of functional parts that it `takes`, the `measures` that it moves, its
    `order` in τ, and whether it takes densities on `periodic` grids. Where steps are cheap it may define
    `advance(F, mu, tau, n, state) -> (mu′, state, Records)`, a compiled block of n steps.
    """

    takes: ClassVar[frozenset[str]] = frozenset()
    measures: ClassVar[tuple[type, ...]] = ()
    order: ClassVar[int] = 1
    energy_kind: ClassVar[str] = "exact"
    on_many_devices: ClassVar[bool] = False
    periodic: ClassVar[bool] = False
    known: ClassVar[dict[str, type[Scheme]]] = {}

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        if cls.takes:
            Scheme.known[cls.scheme_name()] = cls

    @classmethod
    def scheme_name(cls) -> str:
        """The name under which a user finds it: `steps.Cvxpy`."""
        package = cls.__module__.split(".")
        room = package[1] if package[0] == "jko" and len(package) > 2 else package[0]
        return f"{room}.{cls.__name__}"

    def init(self, F, mu) -> State:
        """The state before the first step; refuses what the scheme cannot take."""
        self.check(F, mu)
        return State()

    def step(self, F, mu, tau: float, state: State):
        """One step: (mu′, state, StepInfo)."""
        raise NotImplementedError(f"{type(self).__name__} must define step")

    def energy(self, F, mu, state: State) -> tuple[float, float]:
        """(F(mu), its uncertainty): what the trajectory records at stored times."""
        return F(mu), 0.0

    def energy_kind_of(self, F) -> str:
        """What `energy` gives for F: "exact", "estimate" or "regularised"."""
        return self.energy_kind

    def space_of_steps(self, F, mu, state: State) -> Space:
        """Where its steps are proximal maps of F up to the gap on record: what bounds of a run rest on."""
        return Space.NONE

    def displacement_modulus(self, F, mu) -> float | None:
        """λ of F where this scheme moves mu.

        None round an obstacle, through which the straight lines of displacement convexity lead, and on a
        torus but for internal energies, which alone keep their λ there.
        """
        grid = getattr(mu, "grid", None)
        around = grid is not None and grid.is_periodic and F.parts.kinds - {"entropy", "internal"}
        if around or getattr(self, "obstacle", None) is not None:
            return None
        return F.displacement_modulus(mu.dimension)

    def check(self, F, mu) -> None:
        """Refuse, by name and before any work, a measure or a part of F that the scheme does not take."""
        if self.measures and not isinstance(mu, self.measures):
            wanted = " or ".join(cls.__name__ for cls in self.measures)
            raise TypeError(
                f"{self.scheme_name()} moves {wanted}, got {type(mu).__name__}: {_conversion(wanted)}"
            )
        self._check_walls(mu)
        self._check_devices(mu)
        for kind in sorted(F.parts.kinds - self.takes):
            _, atom = F.parts.of_kind(kind)[0]
            others = [name for name, scheme in sorted(Scheme.known.items()) if F.parts.kinds <= scheme.takes]
            remedy = (
                f"{', '.join(others)} would take the whole functional"
                if others
                else "no scheme takes all of it"
            )
            raise UnsupportedFunctional(f"{self.scheme_name()} does not take {atom!r}; {remedy}")

    def _check_walls(self, mu) -> None:
        grid = getattr(mu, "grid", None)
        if grid is None or not grid.is_periodic or self.periodic:
            return
        able = ", ".join(name for name, scheme in sorted(Scheme.known.items()) if scheme.periodic)
        grid.require_walls("measure", f"{self.scheme_name()} takes no periodic grid, {able} do")

    def _check_devices(self, mu) -> None:
        if sharding.active() is None:
            return
        if not self.on_many_devices:
            able = ", ".join(name for name, scheme in sorted(Scheme.known.items()) if scheme.on_many_devices)
            raise ValueError(
                f"scheme: {self.scheme_name()} runs on one device, {able} on many: leave jko.sharding.over"
            )
        sharding.require_enough(mu.n)


def _conversion(wanted: str) -> str:
    return {
        "Density": "convert with Density.histogram, Density.kernel_estimate or gaussian.on(grid)",
        "Particles": "draw them with mu.sample(n, seed)",
        "Gaussian": "give Gaussian(mean, covariance)",
    }.get(wanted, "convert it first")
