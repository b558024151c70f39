"""The interaction of a step with its own density: Newton's method in fields mixed from those of the last."""

from __future__ import annotations

from dataclasses import replace
from math import sqrt

import numpy as np

from jko.loops.anderson import Anderson
from jko.steps.pressure.newton import OWN

_DEPTH = 4  # fields mixed; more only remember what is no longer true


def settle(ladder, mu, tau, settings, caution):
    """(the step with W∗ρ′ of its own density, a note): ρ ↦ ρ′ ↦ W∗ρ′ mixed to a fixed point [WalkerNi2011].

    A field that is off by Δ leaves a gap of at most (τ/2)∫|∇Δ|²ρ′, the squared slope over twice the
    convexity of a step, and of ½∫(ρ′/κ)Δ², κ = ρU″, the Fenchel–Young defect of p. The lesser of both, as a
    distance, is added to Newton's own, and passes go on until it is below Newton's goal.
    """
    problem = ladder.problem
    first = field = problem.interaction(mu.values)
    before = problem.energy(mu.values, first)
    mixer, p, spent = Anderson(mu.values, _DEPTH), None, 0
    best = None
    for number in range(1, settings.interaction_passes + 1):
        found = ladder.climb(
            mu, tau, field, p, settings.tolerance, settings.max_iterations, caution, first=first
        )
        spent += found.iterations
        if not np.isfinite(found.gap):
            break
        image = problem.interaction(found.values)
        lag = problem.lag(found.values, image - field, tau)
        goal = min(settings.tolerance * found.transport, OWN**2 * found.own)
        gap = (sqrt(found.gap) + sqrt(lag)) ** 2
        if best is None or gap < best.gap:
            after = problem.energy(found.values, image)
            size = found.size + abs(after - found.after) + abs(before - found.before)
            best = replace(found, gap=gap, before=before, after=after, size=size)
            note = f"{number} passes of the interaction, the last {lag:.1e} of the gap"
        if lag <= goal:
            break
        field, p = mixer(field, image), found.p
    if best is None:
        return found, ""
    return replace(best, iterations=spent), note + problem.caution
