"""The ascent of one step's dual: from coarse to fine, more pairs where they help, and other step sizes."""

from __future__ import annotations

from dataclasses import replace

from jko.steps.dual.nested_ascent import NestedAscent
from jko.steps.dual.nesting import Region
from jko.steps.dual.solution import DualSolution

_CAUTIONS = (0.65, 1.3, 2.6)  # multiples of the metric tried in turn; without the first where U* is stiff
_ROUND = 8
# pairs, finest grid first; on the line they cost little, and many short steps add up what two leave
_PAIRS = {1: (8, 8, 12, 24, 48), 2: (2, 6, 12, 24, 48), 3: (2, 6, 12, 24, 48)}
_HELPS = 0.97  # times the gap, at most, after a round of more pairs that is worth another
_AIM = 0.1  # of h²/8τ: a gap below the grid's own bias counts as closed, and a tenth of it is aimed at
_ENOUGH = 0.5  # of h²/8τ, above which other step sizes are tried


class DualSolver:
    """The step of `problem` from a density, with the settings of a BackAndForth."""

    def __init__(self, problem, settings, mu, tau, field):
        self.problem, self.settings, self.tau, self.grid = problem, settings, tau, mu.grid
        self.field, self.mu = field, mu
        potential = problem.potential if field is None else problem.potential + field
        self.whole = Region(mu.grid.spacing, (0,) * mu.dimension, mu.values, potential, problem.blocked)
        self.start = problem.energy(mu.values, field)

    def solve(self, start=None) -> DualSolution:
        """The best potential found, with the pairs of all attempts on the given grid; the first attempt goes
        on from the solution of another field, if there is one."""
        best, spent = None, 0
        if start is not None:
            best, spent = self._polish(self.at(start))
            if self._good(best, _ENOUGH) and not best.region.clips(best.density, self.grid.cells):
                return best.after(spent)
        for caution in _CAUTIONS[1:] if self.problem.stiff else _CAUTIONS:
            found, pairs = self._polish(self._weighed(*self._ladder(caution)))
            spent += pairs
            if best is None or found.excess < best.excess:
                best = found
            if self._good(best, _ENOUGH):
                break
        return best.after(spent)

    def at(self, solution, values=None) -> DualSolution:
        """What the φ of another field's solution proves in this one, of the density it gives or of these
        values."""
        region = replace(solution.region, potential=solution.region.cut(self.whole.potential))
        ascent = self._nested(solution.ascent.caution).ascent(region.coarse(region.cells))
        return self._weighed(ascent, solution.phi, region, values)

    def _weighed(self, ascent, phi, region, values=None):
        found = DualSolution.of(ascent, phi, region, self.grid)
        return found.weighed(self.problem, self.field, self.start, self.mu, values)

    def _good(self, solution, share):
        return solution.rise <= 0.0 and solution.certificate.closes(
            solution.gap, self.settings.tolerance, share
        )

    def _nested(self, caution):
        support, settings = self.problem.full_support, self.settings
        return NestedAscent(
            self.problem.internal,
            self.tau,
            support,
            settings.iterations or _PAIRS[self.grid.dimension],
            settings.margin,
            caution,
            settings.threads,
        )

    def _ladder(self, caution):
        nested = self._nested(caution)
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
