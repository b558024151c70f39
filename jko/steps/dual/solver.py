"""The ascent of one step's dual: from coarse to fine, more pairs where they help, and other step sizes."""

from __future__ import annotations

from dataclasses import replace

from jko.steps.dual.nested_ascent import NestedAscent
from jko.steps.dual.nesting import Region
from jko.steps.dual.solution import DualSolution

_CAUTIONS = (0.65, 1.3, 2.6)  # multiples of the metric tried in turn; without the first where U* is stiff
_ROUND = 8
_HELPS = 0.97  # times the gap, at most, after a round of more pairs that is worth another
_AIM = 0.1  # of h²/8τ: a gap below the grid's own bias counts as closed, and a tenth of it is aimed at
_ENOUGH = 0.5  # of h²/8τ, above which other step sizes are tried


class DualSolver:
    """The step of `problem` from a density, with the settings of a BackAndForth."""

    def __init__(self, problem, settings, mu, tau, field):
        self.problem, self.settings, self.tau, self.grid = problem, settings, tau, mu.grid
        self.field = field
        potential = problem.potential if field is None else problem.potential + field
        self.whole = Region(mu.grid.spacing, (0,) * mu.dimension, mu.values, potential, problem.blocked)
        self.start = problem.energy(mu.values, field)

    def solve(self) -> DualSolution:
        """The best potential found, with the pairs of all attempts on the given grid."""
        best, spent = None, 0
        for caution in _CAUTIONS[1:] if self.problem.stiff else _CAUTIONS:
            found, pairs = self._polish(self._weighed(*self._ladder(caution)))
            spent += pairs
            if best is None or found.excess < best.excess:
                best = found
            if self._good(best, _ENOUGH):
                break
        return replace(best, iterations=spent)

    def _weighed(self, ascent, phi, region):
        found = DualSolution.of(ascent, phi, region, self.grid)
        return replace(found, rise=self.problem.energy(found.values(self.grid), self.field) - self.start)

    def _good(self, solution, share):
        certificate = solution.certificate
        return solution.rise <= 0.0 and certificate.closes(certificate.gap, self.settings.tolerance, share)

    def _ladder(self, caution):
        support, settings = self.problem.full_support, self.settings
        nested = NestedAscent(
            self.problem.internal,
            self.tau,
            support,
            settings.iterations,
            settings.margin,
            caution,
            settings.threads,
        )
        ascent, phi, region = nested.run(self.whole)
        if region.clips(ascent.normalise(phi)[1], self.grid.cells):
            ascent, phi, region = nested.run(self.whole, boxed=False)
        return ascent, phi, region

    def _polish(self, best):
        """More pairs on the given grid while they are needed and help; and how many there were in all."""
        ascent, phi = best.ascent, best.phi
        spent = ascent.iterations
        for _ in range(self.settings.max_extra // _ROUND):
            if self._good(best, _AIM):
                break
            phi = ascent.ascend(phi, _ROUND)
            spent += _ROUND
            found = self._weighed(ascent, phi, best.region)
            if not found.excess < _HELPS * best.excess:
                break
            best = found
        return best, spent
