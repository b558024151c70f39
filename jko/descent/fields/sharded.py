"""The field of a functional where the particles are spread over a mesh of devices."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import Mesh, PartitionSpec

from functionals import pointwise
from functionals.pointwise import program_size
from functionals.programs import kept
from jko.descent.fields.program import Field, field, program, readings
from jko.loops.sums.pair_sums import precision
from jko.measures import Measure, Particles
from jko.sharding import AXIS, active, spread


class Shard(Particles):
    """The particles of one device in the presence of all: fields are given at its own, integrals are of all.

    It lives within `shard_map`, where the weights and positions of all particles are gathered.
    """

    def __init__(self, positions, weights):
        self.positions, self.weights = positions, weights
        self.all_positions = lax.all_gather(positions, AXIS, tiled=True)
        self.all_weights = lax.all_gather(weights, AXIS, tiled=True)

    sums_pairs = False  # in no other way than all pairs

    @property
    def sources(self):
        """The positions and weights that sums over pairs are taken over."""
        return self.all_positions, self.all_weights

    def _pairs(self, total, kernel, **options):
        return total(kernel, self.positions, self.all_positions, self.all_weights, **options)

    def integrate_values(self, field):
        return lax.psum(jnp.sum(self.weights * field), AXIS)

    def pair_integrate(self, k):
        return self.integrate_values(self.pair_average(k))


class ShardedField(Field):
    """A `Field` of arrays `[n, d]` that are spread over a mesh; sums over pairs are taken device by device.

    Potentials and functionals of the particles are left to the compiler, which puts in the sums over all
    devices that they need. Particles of weight 0 are padding: they follow the force of the others.
    """

    def __init__(self, terms, mesh: Mesh):
        super().__init__(terms)
        self.mesh = mesh
        if any(_method(atom) == "random batch" for _, atom in self.terms):
            raise ValueError(
                "method: 'random batch' needs all particles on one device: use method='auto', which sums all "
                "pairs on many, or leave jko.sharding.over"
            )

    @property
    def settings(self):
        return (self.mesh,)

    def native(self, x) -> bool:
        """Never: sums that one host takes are not spread."""
        return False

    def note(self, mu: Measure) -> str:
        """That sums are over all pairs, where another method was asked for."""
        asked = sorted({_method(atom) for _, atom in self.terms} - {"auto", "direct"})
        return f"pair sums: all pairs on {self.mesh.size} devices, not {', '.join(asked)}" if asked else ""

    def energy(self, x, w):
        pairs, others = _by_kind(self.terms)
        total = Field(others).energy(x, w)
        for c, atom in pairs:
            total = total + c * self._on_devices(lambda mu, F=atom: F.energy(mu), (), x, w)
        return total.astype(x.dtype)

    def columns_gradient(self, columns, w):
        pairs, others = _by_kind(self.terms)
        total = jnp.zeros_like(columns)
        for c, atom in others:
            total = total + c * _gradient(atom, columns, w).astype(columns.dtype)
        for c, atom in pairs:
            rows = self._on_devices(lambda mu, F=atom: F.wasserstein_gradient(mu), (AXIS,), columns.T, w)
            total = total + c * rows.T.astype(columns.dtype)
        return total

    def _on_devices(self, of_shard, axes, x, w):
        parts = PartitionSpec(AXIS)
        return jax.shard_map(
            lambda x, w: of_shard(Shard(x, w)),
            mesh=self.mesh,
            in_specs=(parts, parts),
            out_specs=PartitionSpec(*axes),
            check_vma=False,
        )(x, w)


def _method(atom):
    return atom.summation.method if atom.kind == "interaction" else "auto"


def _by_kind(terms):
    pairs = tuple(term for term in terms if term[1].kind == "interaction")
    return pairs, tuple(term for term in terms if term[1].kind != "interaction")


def _gradient(atom, columns, w):
    if atom.kind == "potential":
        return Field(((1.0, atom),)).columns_gradient(columns, w)
    slopes = jax.grad(lambda y: jnp.asarray(atom.energy(Particles(y.T, w))))(columns)
    return slopes / jnp.where(w > 0, w, 1)


@kept
def _sharded(terms, readings, mesh):
    return ShardedField(terms, mesh)


def spread_field(terms: tuple):
    """The `Field` of the terms on the devices of the active mesh, or the plain one where there is none."""
    mesh = active()
    return field(terms) if mesh is None else _sharded(terms, readings(terms), mesh)


def mesh_of(flow: Field) -> Mesh | None:
    """The devices that a field computes on, None for one that knows of no mesh."""
    mesh = getattr(flow, "mesh", None)
    return mesh if isinstance(mesh, Mesh) else None


def laid_out(flow: Field, x: np.ndarray, w: np.ndarray):
    """Positions and weights as programs of the flow take them: in parts on the devices of its mesh; else, if
    no particle feels another, padded by the last one, without weight, up to a size that few others have."""
    mesh = mesh_of(flow)
    if mesh is not None or not (isinstance(flow, Field) and flow.of_potentials):
        return spread(mesh, x, w)
    missing = program_size(len(x)) - len(x)
    return np.concatenate([x, np.repeat(x[-1:], missing, axis=0)]), np.append(w, np.zeros(missing, w.dtype))


@program
def compiled_energy(flow: Field):
    """The energy of a field, compiled once."""
    return flow.energy


def energy_at(flow: Field, mu: Particles) -> float:
    """The energy of a field at particles, on the devices of its mesh where it has one."""
    if isinstance(flow, Field) and mesh_of(flow) is None and flow.of_potentials:
        w, x = mu.weights, mu.positions
        return float(sum(c * (w @ pointwise.values(atom.V, x)) for c, atom in flow.terms))
    with precision(mu.positions):
        if isinstance(flow, Field) and flow.native(mu.positions):
            return float(flow.compiled_energy(mu.positions, mu.weights))
        return float(compiled_energy(flow)(*laid_out(flow, mu.positions, mu.weights)))
