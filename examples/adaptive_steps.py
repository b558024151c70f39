"""
Steps that follow an error target
=================================

Gas that starts in a small place spreads fast at first and slowly later, its radius like :math:`t^{1/3}`.
Equal steps are too long at the start or too many at the end.
"""

import sys

import functionals as fn
import jko

folder = sys.argv[1] if len(sys.argv) > 1 else "results"
F = fn.Power(2.0)
exact = jko.exact.Barenblatt(exponent=2.0, dimension=1, start_time=0.002)
start = exact.on(jko.Grid.uniform(lower=-2.0, upper=2.0, cells=800))

# %%
# `Adaptive` fills each of the steps of `flow`, whose times stay as they were asked for, with as many as an
# error target needs. A length is taken whole and in halves; where the two differ too much it is made shorter.

schemes = {
    "JKO": jko.steps.Quantile(),
    "reflected": jko.steps.SecondOrder(jko.steps.Quantile()),
    "adaptive": jko.steps.Adaptive(jko.steps.SecondOrder(jko.steps.Quantile()), tolerance=0.05),
}
runs = {name: jko.flow(F, start, scheme, tau=0.05, n_steps=8) for name, scheme in schemes.items()}
comparison = jko.compare(runs, exact=exact)
print(comparison)
comparison.plot_density(f"{folder}/adaptive_density.png")

# %%
# The records tell how many steps there were, how long they were, and the error that was estimated: all but a
# few fall into the first interval.

for t, note in zip(runs["adaptive"].times[1:], runs["adaptive"].info.note, strict=True):
    print(f"up to t = {t:.2f}: {note}")
