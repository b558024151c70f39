"""Birth and death in rooms: the box in disguise, and nothing that is made in walls."""

import jax.numpy as jnp
import numpy as np
import pytest

import functionals as fn
import jko
from jko.steps import FisherRao

BOX = jko.Grid.uniform(0.0, 1.0, 16)
ROOM = jko.Grid.uniform(-0.25, 1.25, 24, inside=lambda x: (x[0] > 0.0) & (x[0] < 1.0))
KERNEL = fn.Interaction(lambda z: jnp.exp(-jnp.sum(z**2)), linearly_convex=True)
WALLED = fn.Potential(lambda x: jnp.where(jnp.abs(x[0] - 0.5) < 0.5, -3.0 * x[0], jnp.inf))


@pytest.mark.parametrize("conserving", [False, True])
@pytest.mark.parametrize("F", [fn.Entropy(), 0.3 * fn.Power(2.0) + KERNEL, fn.Cap(1.7)], ids=repr)
def test_a_room_that_is_a_box_is_the_box(F, conserving):
    mu = jko.Density.from_function(BOX, lambda x: 1.0 + 0.5 * jnp.cos(3.0 * x[0]))
    values = np.zeros(ROOM.cells)
    values[ROOM.inside] = mu.values
    plain = fn.Potential(lambda x: -3.0 * x[0])
    for order in (1, 2):
        scheme = FisherRao(length=0.8, conserving=conserving, order=order)
        one = jko.flow(F + plain, mu, scheme, tau=0.1, n_steps=2)
        two = jko.flow(F + WALLED, jko.Density(ROOM, values), scheme, tau=0.1, n_steps=2)
        assert np.abs(one.final.values - two.final.values[ROOM.inside]).max() < 1e-12
        assert np.all(two.final.values[~ROOM.inside] == 0.0)
        assert two.info.mass_error.max() < 1e-13
