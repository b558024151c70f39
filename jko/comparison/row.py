"""One run's line of a comparison."""

from __future__ import annotations

import math

import numpy as np

from jko.comparison.distances import l1_distance, w2_distance
from jko.comparison.tolerances import TOLERANCES
from jko.measures import Density, Grid, Particles
from jko.records import Status

_ENERGIES = (
    "energy_initial",
    "energy_initial_uncertainty",
    "energy_final",
    "energy_uncertainty",
    "decay_rate",
    "decay_rate_error",
    "minimum_energy",
)


def row_of(comparison, name: str, decay) -> dict:
    """What `Comparison.table` says of the run `name`."""
    run = comparison.runs[name]
    return {
        "run": name,
        "scheme": run.scheme,
        "measure": run.measures[0].size,
        "tau": run.tau,
        "steps": run.info.n_steps,
        "time": float(run.times[-1]),
        **_energies(run, decay, comparison.torus),
        **_distances(comparison, name, run),
        **_bounds(run, float(comparison.times[-1])),
        **_certificates(run),
        "seconds": float(run.attributes.get("seconds", math.nan)),
    }


def _energies(run, decay, torus: Grid) -> dict:
    modulus = run.displacement_modulus
    if torus is not None and run.energy_kind == "estimate":
        # neighbours were sought along the line, where a cloud spreads without end
        return {
            **dict.fromkeys(_ENERGIES, math.nan),
            "energy_kind": "of the line",
            "declared_rate": math.nan if modulus is None else 2.0 * modulus,
            "minimum_source": "",
        }
    return {
        "energy_initial": float(run.energy[0]),
        "energy_initial_uncertainty": float(run.energy_uncertainty[0]),
        "energy_final": float(run.energy[-1]),
        "energy_uncertainty": float(run.energy_uncertainty[-1]),
        "energy_kind": run.energy_kind,
        "decay_rate": decay.rate,
        "decay_rate_error": decay.error,
        "declared_rate": math.nan if modulus is None else 2.0 * modulus,
        "minimum_energy": decay.minimum,
        "minimum_source": decay.source,
    }


def _distances(comparison, name: str, run) -> dict:
    row = dict.fromkeys(
        ["w2_exact", "w2_exact_worst", "l1_exact", "l1_exact_worst", "w2_sample", "l1_sample"], math.nan
    )
    if comparison.exact is None:
        return row
    for kind in ("W2", "L1"):
        distances = comparison.distance(kind, name)
        row[f"{kind.lower()}_exact"] = float(distances[-1])
        row[f"{kind.lower()}_exact_worst"] = float(distances.max())
    t = float(comparison.times[-1])
    cloud = run.at(t)
    if isinstance(cloud, Particles):
        truth = comparison.reference.beside(cloud, t)
        sample = comparison.reference.sample(cloud, t, comparison.seed)
        row["w2_sample"] = w2_distance(sample, truth, comparison.seed, comparison.torus).value
        row["l1_sample"] = l1_distance(sample, truth, comparison.torus).value
    return row


def _bounds(run, t: float) -> dict:
    """Bounds at the last common time, and whether they reach an accuracy that was asked for."""
    at = run.nearest(t)
    return {
        "flow_error_bound": float(run.flow_error_bound[at]),
        "flow_error_bound_kind": str(run.flow_error_bound_kind),
        "error_bound": float(run.error_bound[at]),
        "error_bound_kind": str(run.error_bound_kind),
        "accuracy": float(run.attributes.get("accuracy", math.nan)),
        "accuracy_met": bool(run.attributes.get("accuracy_met", False)),
    }


def _certificates(run) -> dict:
    info, first, last = run.info, run.measures[0], run.final
    smallest = _extreme(np.nanmin, info.min_density)
    if math.isnan(smallest) and isinstance(last, Density):
        smallest = float(min(mu.values.min() for mu in run.measures))
    drift = abs(float(last.mass) - float(first.mass) - _made(info))
    return {
        "mass": float(last.mass),
        "mass_error": max(drift, np.nan_to_num(_extreme(np.nanmax, info.mass_error))),
        "gap": _extreme(np.nanmax, info.gap),
        "relative_gap": _extreme(np.nanmax, info.relative_gap),
        "min_density": smallest,
        "dissipation_violations": _violations(run),
        "dissipation_checked": int(np.isfinite(info.dissipation).sum()),
        "not_converged": int(np.sum(info.status != Status.CONVERGED)),
    }


def _made(info) -> float:
    """What all steps say of mass that was made, less what left."""
    made, left = (sum(info.detail(name, 0.0)) for name in ("made", "left"))
    return made - left


def _violations(run) -> int:
    """Steps whose dissipation is negative beyond their own gap and rounding: of energies, and of the distance
    in W₂²/2τ, whose unit is the spread of the measure over τ."""
    dissipation, spread = run.info.dissipation, float(np.trace(run.measures[0].covariance()))
    energy = float(np.nanmax(np.abs(run.energy), initial=0.0))
    rounding = max(TOLERANCES.rounding * energy, np.finfo(float).eps * spread / run.tau)
    return int(np.sum(dissipation < -np.maximum(np.nan_to_num(run.info.gap), rounding)))


def _extreme(reduce, column: np.ndarray) -> float:
    finite = column[np.isfinite(column)]
    return float(reduce(finite)) if finite.size else math.nan
