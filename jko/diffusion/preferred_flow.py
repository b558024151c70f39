"""Direct preference optimisation of a learnt flow, through the density that it carries."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from functionals.array import Array
from functionals.programs import kept
from jko.diffusion.arguments import instance
from jko.diffusion.matched_flow import MatchedFlow
from jko.diffusion.preferences import Preferences
from jko.diffusion.runge_kutta import classical_step
from jko.diffusion.tolerances import TOLERANCES
from jko.diffusion.training import Training
from jko.errors import finite_array, positive_number, whole_number


def preferred_flow(
    flow: MatchedFlow,
    preferences: Preferences,
    strength: float,
    *,
    steps: int = TOLERANCES.preferred_flow_steps,
    training: Training | None = None,
    progress: bool | None = None,
) -> MatchedFlow:
    """The flow, trained on until the law it ends in is that of the preferences [RafailovEtAl2023].

    argmin over the network of −E log s(β log p(x)/p_ref(x) − β log p(y)/p_ref(y)), x preferred to y, s(z) =
    1/(1 + e^{−z}), β the `strength`, p_ref the law of `flow` at t = 1. Its minimiser over all laws is
    p_ref e^{r/β}/Z where the pairs are draws of p_ref and follow Bradley and Terry with a reward r. log p is
    that of the flow itself, log p(x) = log p₀(x₀) − ∫∇·v dt [ChenEtAl2018], by `steps` of the classical
    Runge–Kutta method backwards in time and the exact trace, in place of the bound that large models take.

    `training` is that of the flow with more pairs at once and a small rate, unless given: at that of the
    flow the weights end in the noise of their steps. The shape is the network's own.
    Draw the pairs of the flow itself, `drawn_preferences(flow, …)`. Raises TypeError or ValueError for pairs
    of another dimension, a source of the flow without a density, such as a cloud, or a training that
    diverges.
    """
    pairs, log_source = _pairs_and_source(flow, preferences)
    training = Training.given(_gentle(flow.training) if training is None else training)
    network = flow.network
    unit = np.broadcast_to(network.scale, network.centre.shape)
    log_density = _log_density(
        network.field,
        log_source,
        tuple(network.centre.tolist()),
        tuple(unit.tolist()),
        whole_number("steps", steps),
    )
    beta = positive_number("strength", strength)
    x, y = (np.asarray((each - network.centre) / network.scale, np.float32) for each in pairs)
    offset = _margin_of_reference(partial(log_density, network.layers), x, y, beta)

    def draw(generator: np.random.Generator, shape: tuple, share: np.ndarray):
        chosen = generator.integers(len(x), size=shape)
        return x[chosen], y[chosen], offset[chosen]

    layers, losses = training.minimise(
        _loss(log_density, beta), draw, network.layers, progress, "preference optimisation"
    )
    end = float(np.median(losses[-TOLERANCES.block :]))
    if end > np.log(2.0):
        raise ValueError(
            f"rate: the training at {training.rate:g} ends with a loss of {end:.3g}, above log 2, that of "
            "the flow itself: take a smaller one"
        )
    tuned = network._replace(layers=layers, losses=losses)
    return MatchedFlow(flow.source, flow.data, tuned, training, flow.rectified)


def _gentle(own: Training) -> Training:
    """That of a flow with more pairs at once and a small rate."""
    return replace(
        own,
        steps=TOLERANCES.preference_steps,
        batch=TOLERANCES.preference_batch,
        rate=TOLERANCES.preference_rate,
        seed=own.seed + 1,
    )


def _margin_of_reference(log_density: Callable, x: np.ndarray, y: np.ndarray, beta: float) -> np.ndarray:
    """β(log p_ref(x) − log p_ref(y)) of every pair."""
    margin = beta * (np.asarray(log_density(x)) - np.asarray(log_density(y)))
    if not np.isfinite(margin).all():
        raise ValueError(
            f"preferences: {np.sum(~np.isfinite(margin))} of {len(margin)} pairs lie where the flow brings "
            "no mass: take draws of the flow"
        )
    return margin


def _pairs_and_source(flow: MatchedFlow, preferences: Preferences) -> tuple[list[np.ndarray], Callable]:
    """The preferred points and the others, each `[n, d]`, and log p₀ of the flow's source."""
    instance("flow", flow, MatchedFlow)
    instance("preferences", preferences, Preferences)
    pairs = [finite_array(name, getattr(preferences, name)) for name in ("preferred", "other")]
    if pairs[0].ndim != 2 or pairs[0].shape[1] != flow.dimension:
        raise ValueError(
            f"preferences: expected pairs of points [n, {flow.dimension}], got shape {pairs[0].shape}"
        )
    log_source = getattr(flow.source, "log_density_function", None)
    if log_source is None:
        raise ValueError(
            f"flow: expected a source that has a density, got {type(flow.source).__name__}: match a flow "
            "from a Gaussian"
        )
    return pairs, log_source


@kept
def _log_density(field: Callable, log_source: Callable, centre: tuple, unit: tuple, steps: int):
    """(layers, z `[n, d]`) ↦ log p at t = 1 `[n]`, up to a constant, x = centre + unit z."""

    def velocity(layers: tuple, state: Array, t: Array):
        z = state[:-1]
        slope = jax.jacfwd(lambda point: field(layers, point, t))(z)
        return jnp.append(field(layers, z, t), jnp.trace(slope))

    def back(layers: tuple, z: Array):
        def one(state: Array, k: Array):
            t, dt = 1.0 - k / steps, -1.0 / steps
            return classical_step(partial(velocity, layers), state, t, dt, unroll=True)[0], None

        state, _ = lax.scan(one, jnp.append(z, 0.0), jnp.arange(steps, dtype=z.dtype))
        x = jnp.asarray(centre, z.dtype) + jnp.asarray(unit, z.dtype) * state[:-1]
        return log_source(x) + state[-1]

    return jax.jit(jax.vmap(back, in_axes=(None, 0)))


@kept
def _loss(log_density: Callable, beta: float):
    def loss(layers: tuple, x: Array, y: Array, offset: Array):
        both = log_density(layers, jnp.concatenate([x, y]))
        margin = beta * (both[: len(x)] - both[len(x) :]) - offset
        return -jnp.mean(jax.nn.log_sigmoid(margin))

    return loss
