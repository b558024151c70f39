"""Compiled programs are forgotten: many functionals in one process stay in bounded memory."""

import subprocess
import sys
from collections import deque
from pathlib import Path

import jax.numpy as jnp
import pytest

from functionals import pointwise
from functionals.programs import Programs

ROOT = Path(__file__).parent.parent
SWEEP = """
import sys
sys.path.insert(0, "benchmarks")
import jax.numpy as jnp, numpy as np
from functionals import pointwise
from functionals.programs import PROGRAMS
from memory import resident

def one(k):
    V = lambda x: jnp.sum(jnp.exp(-k * x**2)) * jnp.sum(x**3) * jnp.cos(k * x[0])
    pointwise.hessians(V, np.ones((8, 3)))

PROGRAMS.capacity = 8
for k in range(5):
    one(k)
before = resident()
for k in range(5, 29):
    one(k)
print(resident() - before)
"""


@pytest.mark.long
def test_a_sweep_stays_flat():
    """24 functions of which each one takes 3 MB once compiled."""
    if not Path("/proc/self/status").exists():
        pytest.skip("resident memory is read from /proc, which is on Linux alone")
    out = subprocess.run([sys.executable, "-c", SWEEP], cwd=ROOT, capture_output=True, text=True, check=True)
    assert float(out.stdout.split()[-1]) < 30.0


class Key:
    pass


def test_the_least_recently_used_go_and_those_that_return_make_room():
    kept, keys, made = Programs(fewest=3), [Key() for _ in range(5)], []
    for key in keys:
        kept.get((key,), lambda key=key: made.append(key))
    assert (len(kept), kept.capacity) == (3, 3)
    for _ in range(4):
        for key in keys:
            kept.get((key,), lambda key=key: made.append(key))
    assert kept.capacity == 5
    assert len(made) <= 10
    for _ in range(1000):  # none of these comes back, though addresses do
        kept.get((Key(),), lambda: None)
    assert kept.capacity == 5


def test_a_program_is_compiled_once_while_it_is_used():
    traced = deque()  # as it changes, the entries of a list would make a new program

    def V(x):
        traced.append(x)
        return jnp.sum(x**2)

    for _ in range(3):
        pointwise.values(V, [[1.0, 2.0]])
    assert len(traced) == 1


def test_what_a_loop_comes_back_to_outlives_what_is_asked_for_once():
    kept, wanted, made = Programs(fewest=8), [Key() for _ in range(3)], []
    for _ in range(6):
        for key in wanted:
            kept.get((key,), lambda key=key: made.append(key))
        for _ in range(100):
            kept.get((Key(),), lambda: None)
    assert len(made) <= 6  # a second time at most, after the first hundred
    assert len(kept) == kept.capacity
