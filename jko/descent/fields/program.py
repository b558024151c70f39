"""The energy and the Wasserstein gradient of a functional on particles, as jax functions compiled once."""

from __future__ import annotations

import functools
from collections.abc import Callable
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from functionals import Functional, Interaction, Potential, pointwise
from functionals.array import Array
from functionals.programs import PROGRAMS, kept
from functionals.reading import what_it_reads
from functionals.summation import Summation
from functionals.time_dependence import AtTime, NumbersInTime, TimeDependent
from jko.descent.fields import native_terms
from jko.measures import Particles
from jko.scheme import Problem, State


def program(make: Callable):
    """`make(flow, *settings)` compiled and kept: a function of arrays. The time of a flow that has one, and
    the numbers of its potentials and kernels, are operands, so that one program serves all of them."""

    @kept
    def compiled(form: Flow, *settings):
        def of_operands(operands: tuple, *arrays: Array):
            return make(form.given(operands), *settings)(*arrays)

        of_operands.__name__ = make.__name__
        return jax.jit(of_operands)

    @functools.wraps(make)
    def found(flow: Flow, *settings):
        return functools.partial(compiled(flow.form, *settings), flow.operands)

    return found


class Flow:
    """A field of `terms` (coefficient, functional), which may depend on time: what `program` reads.

    `at(t)` is the flow frozen at t, itself where nothing of it depends on time; `whole` is what it was frozen
    from, and `time` when, None for what is not frozen.
    """

    terms: tuple
    time = None
    whole = None

    @property
    def settings(self) -> tuple:
        """What there is beside the terms."""
        return ()

    def with_terms(self, terms: tuple) -> Flow:
        """A new flow of other terms and the same settings."""
        return type(self)(terms, *self.settings)

    @cached_property
    def depends_on_time(self) -> bool:
        """Whether a term does."""
        return any(atom.depends_on_time for _, atom in self.terms)

    def at(self, t: float):
        """The flow at the time t."""
        if not self.depends_on_time:
            return self
        frozen = self.with_terms(at_time(self.terms, t))
        # set beside the fields of a frozen dataclass
        frozen.__dict__.update(time=t, whole=self, depends_on_time=False)
        return frozen

    @cached_property
    def form(self) -> Flow:
        """The flow without its `operands`, which is the same object for all of them."""
        if self.whole is not None:
            return self.whole.form
        forms = tuple((c, _form_of(atom)) for c, atom in self.terms)
        if forms == self.terms:
            return self
        key = _form_of, type(self), self.settings, forms, readings(forms)
        return PROGRAMS.get(key, lambda: self.with_terms(forms))

    @property
    def operands(self) -> tuple:
        """(what the function of each potential or kernel takes beside the point and the time, the time)."""
        whole = self if self.whole is None else self.whole
        return tuple(_numbers(atom) for _, atom in whole.terms), self.time

    def given(self, operands: tuple) -> Flow:
        """The flow of this form and of these operands, which jax may trace."""
        numbers, time = operands
        pairs = zip(self.terms, numbers, strict=True)
        terms = tuple((c, atom if at is None else _with_numbers(atom, at)) for (c, atom), at in pairs)
        flow = self if all(at is None for at in numbers) else self.with_terms(terms)
        return flow if time is None else flow.at(time)


class Field(Flow):
    """x ↦ F(α) and x ↦ ∇_W F(α)(x_i), α = Σ w_i δ_{x_i}, for a sum of terms (coefficient, functional).

    `energy` and `gradient` take positions `[n, d]` and weights `[n]`, and can be traced: all pairs, in jax.
    On n equal particles the gradient is n ∂F/∂x_i. `compiled_energy`, `compiled_gradient` and
    `compiled_product` take numpy arrays and sum as each `Interaction` says; where `native` says so they do it
    outside jax, and a scheme steps on the host. Ask `field` for one, which keeps them.
    """

    mesh = None  # of devices; where there is one, see jko.descent.fields.sharded

    def __init__(self, terms: tuple):
        self.terms = terms

    def energy(self, x: Array, w: Array):
        """F(α), a scalar."""
        mu = Particles(x, w)
        return sum(
            (c * jnp.asarray(atom.energy(mu)) for c, atom in self.terms), jnp.zeros((), x.dtype)
        ).astype(x.dtype)

    @cached_property
    def of_potentials(self) -> bool:
        """Whether no particle feels another."""
        return all(atom.kind == "potential" for _, atom in self.terms)

    @property
    def solves(self) -> bool:
        """Whether a term's energy and gradient come from one computation, as those of a distance to data."""
        return self.mesh is None and any(atom.kind == "rest" for _, atom in self.terms)

    @property
    def iterated(self) -> tuple:
        """The functionals of the terms whose iterations go on from those of the step before."""
        return tuple(atom for _, atom in self.terms if atom.goes_on)

    def energy_and_gradient(self, x: Array, w: Array, starts: tuple):
        """(F(α), ∇_W F(α), what iterations ended at), each term that is differentiated computed once and the
        `iterated` ones from their starts."""
        rest = tuple(term for term in self.terms if term[1].kind == "rest")
        others = Field(tuple(term for term in self.terms if term[1].kind != "rest"))

        def solved(y: Array):
            mu, known, ends, total = Particles(y, w), iter(starts), [], jnp.zeros((), y.dtype)
            for c, atom in rest:
                if atom.goes_on:
                    value, end = atom.energy_from(mu, next(known))
                    ends.append(end)
                else:
                    value = jnp.asarray(atom.energy(mu))
                total = total + (c * value).astype(y.dtype)
            return total, tuple(ends)

        (value, ends), slope = jax.value_and_grad(solved, has_aux=True)(x)
        return value + others.energy(x, w), slope / w[:, None] + others.gradient(x, w), ends

    def gradient(self, x: Array, w: Array):
        """∇_W F(α) at the particles, `[n, d]`."""
        return self.columns_gradient(x.T, w).T

    def columns_gradient(self, columns: Array, w: Array):
        """The gradient with coordinates first, `[d, n]` to `[d, n]`, for long inner loops."""
        total = jnp.zeros_like(columns)
        for c, atom in self.terms:
            total = total + c * _term_gradient(atom, columns, w).astype(columns.dtype)
        return total

    def columns_pairing(self, columns: Array, w: Array, c: Array):
        """Σ c_i·∇_W F(α)(x_i), of columns: a potential's without its gradient."""
        total = jnp.zeros((), columns.dtype)
        for a, atom in self.terms:
            if atom.kind == "potential":
                V = pointwise.scalar(atom.V)
                along = jax.vmap(lambda x, u, V=V: jax.jvp(V, (x,), (u,))[1], in_axes=1)(columns, c)
            else:
                along = c * _term_gradient(atom, columns, w)
            total = total + a * jnp.sum(along)
        return total.astype(columns.dtype)

    def native(self, x: np.ndarray) -> bool:
        """Whether a term sums over these particles outside jax."""
        return self.mesh is None and any(native_terms.is_native(atom, *x.shape) for _, atom in self.terms)

    def leaves_jax(self, x: np.ndarray) -> bool:
        """Whether a step should not run within a compiled block: where jax there would sum more pairs."""
        if self.mesh is not None:
            return False
        native = [atom for _, atom in self.terms if native_terms.is_native(atom, *x.shape)]
        return any(native_terms.outruns_jax(atom, len(x)) for atom in native)

    def compiled_energy(self, x: np.ndarray, w: np.ndarray):
        """F(α) of numpy arrays, a scalar."""
        if not self.native(x):
            return self._energy(x, w)
        inside, outside = self._split(*x.shape)
        mu = Particles.moved(x, w)
        native = sum(c * native_terms.energy(atom, mu) for c, atom in inside)
        return native + (float(outside._energy(x, w)) if outside.terms else 0.0)

    def compiled_gradient(self, x: np.ndarray, w: np.ndarray):
        """∇_W F(α) of numpy arrays, `[n, d]`."""
        if not self.native(x):
            return self._gradient(x, w)
        inside, outside = self._split(*x.shape)
        mu = Particles.moved(x, w)
        native = sum(c * native_terms.gradient(atom, mu) for c, atom in inside)
        return native + (np.asarray(outside._gradient(x, w)) if outside.terms else 0.0)

    def compiled_product(self, x: np.ndarray, w: np.ndarray, v: np.ndarray):
        """The derivative of the gradient along v `[n, d]`, of numpy arrays."""
        if not self.native(x):
            return self._product(x, w, v)
        inside, outside = self._split(*x.shape)
        mu = Particles.moved(x, w)
        native = sum(c * native_terms.product(atom, mu, v) for c, atom in inside)
        return native + (np.asarray(outside._product(x, w, v)) if outside.terms else 0.0)

    def note(self, mu: Particles) -> str:
        """How sums over particles are taken where that is not the default, a sentence for a record."""
        chosen = (atom for _, atom in self.terms if atom.kind == "interaction" and not atom.general)
        choices = [atom.choice(mu) for atom in chosen]
        return "; ".join(str(choice) for choice in choices if choice.worth_a_note)

    @cached_property
    def _energy(self):
        return _energy(self)

    @cached_property
    def _gradient(self):
        return _gradient(self)

    @cached_property
    def _product(self):
        return _product(self)

    @kept
    def _split(self, n, d):
        inside = tuple(term for term in self.terms if native_terms.is_native(term[1], n, d))
        return inside, field(tuple(term for term in self.terms if term not in inside))


@program
def _energy(flow: Field):
    return flow.energy


@program
def _gradient(flow: Field):
    return flow.gradient


@program
def _product(flow: Field):
    return lambda x, w, v: jax.jvp(lambda y: flow.gradient(y, w), (x,), (v,))[1]


def _function(atom: Functional) -> Callable | None:
    """The function of a potential or of an even kernel; of other terms programs know no numbers."""
    if type(atom) is Potential:
        return atom.V
    return atom.W if type(atom) is Interaction and not atom.general else None


def _numbers(atom: Functional):
    """What a term's function takes beside the point and the time, None where it takes nothing."""
    f = _function(atom)
    return f.t if isinstance(f, AtTime) else f.numbers if isinstance(f, NumbersInTime) else None


def _form_of(atom: Functional) -> Functional:
    f = _function(atom)
    if _numbers(atom) is None:
        return atom
    return _without_numbers(f.function, isinstance(f, NumbersInTime), getattr(atom, "summation", None))


@kept
def _without_numbers(function: Callable, timed: bool, summation: Summation | None) -> Functional:
    empty = NumbersInTime(function, None) if timed else TimeDependent(function)
    if summation is None:
        return Potential(empty)
    form = Interaction(empty)
    form.summation = summation
    return form


def _with_numbers(atom: Functional, numbers: Any) -> Functional:
    f = _function(atom)
    timed = isinstance(f, NumbersInTime)
    given = NumbersInTime(f.function, numbers) if timed else AtTime(f.function, numbers)
    if type(atom) is Potential:
        return Potential(given)
    whole = Interaction(given)
    whole.summation = atom.summation
    return whole


def at_time(terms: tuple, t: float | Array):
    """Terms (coefficient, functional) frozen at the time t."""
    return tuple((c, atom.at(t)) for c, atom in terms)


def _term_gradient(atom: Functional, columns: Array, w: Array):
    if atom.kind == "potential":
        return jax.vmap(jax.grad(pointwise.scalar(atom.V)), in_axes=1, out_axes=1)(columns)
    if atom.kind == "interaction":
        return jnp.asarray(atom.wasserstein_gradient(Particles(columns.T, w))).T
    return jax.grad(lambda y: jnp.asarray(atom.energy(Particles(y.T, w))))(columns) / w


def field(terms: tuple) -> Field:
    """The `Field` of a tuple of (coefficient, functional); the same object for the same tuple, as long as
    what its functions read does not change."""
    return _field(terms, readings(terms))


@kept
def _field(terms: tuple, readings: tuple):
    return Field(terms)


def readings(terms: tuple) -> tuple:
    """What the functions of terms (coefficient, functional) read from outside."""
    return tuple(what_it_reads(atom) for _, atom in terms)


class ParticleProblem(Problem):
    """A functional made ready for particles: the `flow` that they follow, with one program for all times."""

    def __init__(self, F: Functional, flow: Field, start: dict, dimension: int):
        self.F, self.flow, self.start, self._dimension = F, flow, State(start), dimension

    def at(self, t: float):
        """The flow at the time t; refuses a kernel that is not even then, which no program can see."""
        if self.depends_on_time:
            for _, atom in self.F.at(t).parts.interaction:
                atom.require_even(self._dimension)
        return self.flow.at(t)


def outside_terms(parts):
    """All terms of a functional that particles can carry as they are: everything but internal energies."""
    return tuple((float(c), atom) for c, atom in parts.potential + parts.interaction + parts.rest)


def noted(flow: Field, mu: Particles) -> dict[str, str]:
    """What a scheme's state carries of how sums are taken: nothing where they are the default."""
    note = flow.note(mu) if isinstance(flow, Field) and flow.mesh is None else ""
    return {"note": note} if note else {}
