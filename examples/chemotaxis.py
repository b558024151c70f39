"""
Chemotaxis: spreading or collapse
=================================

Cells in the plane diffuse and attract each other by :math:`W = \\chi\\log|z|`, the model of Keller and
Segel. With :math:`\\chi_c = 4` here, :math:`\\frac{d}{dt}\\int |x|^2 d\\rho = 4(1 - \\chi/\\chi_c)`. Below,
diffusion wins; above, the second moment would soon be negative, so that the density must blow up first.
"""

import sys

import jax.numpy as jnp
import numpy as np

import functionals as fn
import jko
from jko.plotting import style

folder = sys.argv[1] if len(sys.argv) > 1 else "results"
start = jko.Gaussian.of([0.0, 0.0], 1.0).sample(1000, seed=0)
start = start.with_positions(start.positions.astype(np.float32))

# %%
# Noise for the entropy, pairs for the attraction. The moment is taken at every step, without storing clouds.

scheme = jko.descent.Langevin(seed=1, observables={"moment": lambda x: jnp.sum(x**2)})
figure = style.new_figure(12.0, 3.6)
panels = figure.subplots(1, 3)
tau, n_steps = 0.005, 160
for k, chi in enumerate((2.0, 8.0)):
    F = fn.Entropy() + fn.Interaction("logarithmic", strength=-chi)
    run = jko.flow(F, start, scheme, tau=tau, n_steps=n_steps, store_every=40)
    first = float(np.mean(np.sum(start.positions**2, axis=1)))
    exact = jko.exact.KellerSegelMoment(chi, first, critical=4.0)
    times, moments = tau * np.arange(n_steps + 1), np.concatenate([[first], run.info.moment])
    known = times <= min(exact.latest_time, times[-1])
    panels[0].plot(
        times, moments, color=style.colour(k), linestyle=style.line(k), label=f"χ = {chi / 4:g} χ_c"
    )
    panels[0].plot(times[known], [exact.second_moment(t) for t in times[known]], **style.EXACT)
    slope = np.polyfit(times[:60], moments[:60], 1)[0]
    print(f"chi = {chi / 4:g} chi_c: slope {slope:.2f} for t < 0.3, exact {exact.rate:.2f}")
    for mu, shade, t in zip(run.measures[::2], ("#cccccc", "#56B4E9", "#0072B2"), run.times[::2]):
        panels[k + 1].scatter(*mu.positions.T, s=3, color=shade, label=f"t = {t:g}")
    style.tidy(panels[k + 1], "x₁", "x₂", f"χ = {chi / 4:g} χ_c").set(
        xlim=(-4, 4), ylim=(-4, 4), aspect="equal"
    )
    style.legend(panels[k + 1], markerscale=3, loc="upper left")

# %%
# What is left after the blow-up is a Dirac mass as wide as the step allows, a few :math:`\sqrt\tau`: the
# particles jump across each other. Halve :math:`\tau` to see whether a picture is the model's or the step's.

style.legend(style.tidy(panels[0], style.TIME, "∫|x|²dρ", "second moment, dotted: exact"))
style.save(figure, f"{folder}/chemotaxis.png")
