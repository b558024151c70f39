"""One step as a function that jax differentiates, for loops of one's own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jko.errors import UnsupportedFunctional, positive_number
from jko.measures import Measure
from jko.run import step_failed
from jko.scheme import Scheme
from jko.sensitivity.engines import derivative_of
from jko.sensitivity.parametrised import MakeFunctional, checked_parameters


def differentiable_step(
    make_functional: MakeFunctional, mu0: Measure, scheme: Scheme, *, tau: float, t: float = 0.0
) -> Callable[[Any, dict], dict]:
    """step(parameters, arrays) -> arrays: a step of τ from the time t as a `jax.custom_vjp`.

    `arrays` are those of a measure like mu0 by name, as `mu.packed()` gives them: {"values": …} of a density,
    {"positions": …}, {"mean": …, "covariance": …}. Within `with jax.enable_x64(True):` it may stand in any
    function that `jax.grad` or `jax.vjp` differentiates; the engines are no jax, so that it is not for jit,
    vmap or scan. Raises TypeError there, and for steps.Quantile, whose cells are more than a density:
    `value_and_gradient` takes it.
    """
    tau = positive_number("tau", tau)

    def taken(parameters: Any, arrays: dict):
        given = jax.tree.leaves((parameters, arrays))
        if any(isinstance(leaf, jax.core.Tracer) for leaf in given):
            raise TypeError(
                "differentiable_step: the engines are no jax programs: call it outside jit, vmap and scan"
            )
        if not jax.config.jax_enable_x64:
            raise TypeError("differentiable_step: call it within `with jax.enable_x64(True):`")
        mu = mu0.unpacked({name: np.asarray(array) for name, array in arrays.items()})
        engine = derivative_of(make_functional, checked_parameters(parameters), mu, scheme)
        if engine.carried:
            raise UnsupportedFunctional(
                f"differentiable_step: {scheme.scheme_name()} carries more than a measure from step to step; "
                "use value_and_gradient, or steps.MongeAmpere"
            )
        result = engine.step(mu, engine.problem.start, t, tau)
        if not result.info.converged:
            raise step_failed(scheme, 1, result.info)
        return engine, result

    @jax.custom_vjp
    def step(parameters: Any, arrays: dict):
        return _arrays(taken(parameters, arrays)[1].measure.packed())

    def forwards(parameters: Any, arrays: dict):
        engine, result = taken(parameters, arrays)
        return _arrays(result.measure.packed()), _Tape(engine, result.tape)

    def backwards(tape: _Tape, cotangent: dict):
        pulled = tape.engine.pull(tape.tape, {name: np.asarray(c) for name, c in cotangent.items()})
        return jax.tree.map(jnp.asarray, pulled.parameters), _arrays(pulled.before)

    step.defvjp(forwards, backwards)
    return step


def _arrays(packed: dict):
    return {name: jnp.asarray(array) for name, array in packed.items()}


@jax.tree_util.register_static
class _Tape:
    """What the way back needs, which jax carries and does not look at."""

    def __init__(self, engine, tape: tuple):
        self.engine, self.tape = engine, tape
