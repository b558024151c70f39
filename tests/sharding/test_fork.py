"""A process forked after jax was used is told so, where it used to hang."""

import os
import subprocess
import sys

import pytest

PROGRAM = """
import os
import functionals as fn, jko, numpy as np
F, mu = fn.Potential("quadratic"), jko.Particles(np.ones((3, 1)))
jko.flow(F, mu, jko.descent.ForwardEuler(), tau=0.1, n_steps=1)
child = os.fork()
if child == 0:
    try:
        jko.flow(F, mu, jko.descent.ForwardEuler(), tau=0.1, n_steps=1)
    except RuntimeError as error:
        print(error, flush=True)
    os._exit(0)
os.waitpid(child, 0)
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_fork_after_jax_is_refused():
    found = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", PROGRAM], capture_output=True, text=True, timeout=120
    )
    assert "after that had computed with jax" in found.stdout
    assert "get_context('spawn')" in found.stdout
