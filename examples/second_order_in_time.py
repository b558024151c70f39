"""
Second order in time from the same solver
=========================================

A JKO step is implicit Euler in the Wasserstein space: halve :math:`\\tau` and its error halves. Take half a
step and reflect, :math:`X' = 2 J_{\\tau/2}(X) - X`: the same solver gives the implicit midpoint rule,
of order 2.
"""

import sys

import functionals as fn
import jko

folder = sys.argv[1] if len(sys.argv) > 1 else "results"
F = fn.Entropy() + fn.Potential("quadratic")
grid = jko.Grid.uniform(lower=-8.0, upper=8.0, cells=1000)
exact = jko.exact.OrnsteinUhlenbeck(mean=1.5, std=0.5)
start = exact.on(grid)

# %%
# `SecondOrder` takes the reflected half-step of an exact step, `VariationalBDF2` one from an extrapolation,
# one solve each. Where a reflection is no transport, or the energy would not fall as it must, a step is two
# plain half steps, and its record says so.

schemes = {
    "JKO": jko.steps.Quantile(),
    "reflected": jko.steps.SecondOrder(jko.steps.Quantile()),
    "two-step": jko.steps.VariationalBDF2(jko.steps.Quantile()),
}
runs = {name: jko.flow(F, start, scheme, tau=0.1, n_steps=8) for name, scheme in schemes.items()}
comparison = jko.compare(runs, exact=exact)
print(comparison)
for name, run in runs.items():
    print(f"{name}: F falls by at least {run.info.dissipation.min():.1e} more than W₂²/2τ in each step")

# %%
# The error at time 0.8 against the step. The slopes are the orders.


def order(scheme):
    return jko.convergence(
        lambda tau: jko.flow(F, start, scheme, tau=tau, n_steps=round(0.8 / tau)),
        values=[0.2, 0.1, 0.05, 0.025],
        parameter="tau",
        exact=exact,
    )


studies = {name: order(scheme) for name, scheme in schemes.items()}
for name, study in studies.items():
    print(name, study, sep="\n")
studies["JKO"].plot(f"{folder}/order_plain.png")
studies["reflected"].plot(f"{folder}/order_reflected.png")
