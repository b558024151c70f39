"""F along an exact solution and at its equilibrium, where the closed form tells it."""

from __future__ import annotations

import math

import numpy as np

from jko.comparison.decay import DecayRate, fit_decay
from jko.comparison.tolerances import TOLERANCES


def gaussian_excess(exact, t) -> float | None:
    """F − F_min of θ∫ρ log ρ + ∫½xᵀAx ρ on exact.at(t); None where there is no such equilibrium.

    Whatever constant F carries drops out of the difference.
    """
    stiffness = getattr(exact, "stiffness", None)
    if stiffness is None or not hasattr(exact, "at") or np.linalg.eigvalsh(stiffness)[0] <= 0.0:
        return None
    if not exact.temperature > 0.0:
        return None
    gaussian, theta = exact.at(t), exact.temperature
    mean, covariance = gaussian.mean(), gaussian.covariance()
    relative = stiffness @ covariance / theta
    sign_and_log = np.linalg.slogdet(relative)
    spread = np.trace(relative) - exact.dimension - sign_and_log[1]
    return 0.5 * float(mean @ stiffness @ mean + theta * spread)


def known_minimum(runs: dict, exact) -> tuple[float, str] | None:
    """(F_min, where it comes from) by a run that starts where the exact solution does: F₀ − (F₀ − F_min)."""
    excess = None if exact is None else gaussian_excess(exact, 0.0)
    if excess is None:
        return None
    starting = [run for run in runs.values() if run.energy_kind == "exact" and _starts_at(run, exact)]
    if not starting or len({run.functional for run in starting}) > 1:
        return None
    return float(starting[0].energy[0]) - excess, "exact equilibrium"


def _starts_at(run, exact):
    mu, start = run.measures[0], exact.at(0.0)
    size = math.sqrt(np.trace(start.covariance()))
    return bool(
        run.times[0] == 0.0
        and np.linalg.norm(mu.mean() - start.mean()) <= TOLERANCES.same_start * size
        and np.linalg.norm(mu.covariance() - start.covariance()) <= TOLERANCES.same_start * size**2
    )


def decays(runs: dict, exact=None, minimum: float | None = None) -> dict[str, DecayRate]:
    """The decay rate of every run, by name.

    F_min is the one given, else that of the exact equilibrium, else fitted to each run; an estimated energy
    then takes the F_min fitted to a run of the same functional whose energy is exact. A regularised energy
    has its own F_min.
    """
    known = (float(minimum), "given") if minimum is not None else known_minimum(runs, exact)
    found = {}
    for name, run in sorted(runs.items(), key=lambda item: item[1].energy_kind == "estimate"):
        value, source = known or (None, "")
        if run.energy_kind == "regularised" and source != "given":
            value, source = None, ""
        if run.energy_kind == "estimate" and value is None:
            value, source = _fitted_elsewhere(run, runs, found)
        if run.attributes.get("depends_on_time"):
            found[name] = DecayRate()  # F moves, and with it its least value
            continue
        found[name] = fit_decay(run.times, run.energy, run.energy_uncertainty, value, source)
    return {name: found[name] for name in runs}


def _fitted_elsewhere(run, runs, found):
    same = [
        name
        for name in found
        if runs[name].functional == run.functional and runs[name].energy_kind == "exact"
    ]
    fitted = [found[name] for name in same if math.isfinite(found[name].rate)]
    if not fitted:
        return None, ""
    return min(fitted, key=lambda decay: decay.error / decay.rate).minimum, "fitted to another run"
