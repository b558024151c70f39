"""Ctrl-C pressed where Python drops the exception is heeded all the same."""

import signal

import numpy as np
import pytest

import functionals as fn
import jko
from jko.interrupts import interrupts
from tests import own_schemes, problems


class PressedWhileItIsThrownAway:
    def __del__(self):
        signal.raise_signal(signal.SIGINT)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_dropped_interrupt_is_raised_when_asked():
    before = signal.getsignal(signal.SIGINT)
    with interrupts() as heed:
        heed()
        thrown = PressedWhileItIsThrownAway()
        del thrown
        with pytest.raises(KeyboardInterrupt):
            heed()
    assert signal.getsignal(signal.SIGINT) is before


class PressedInItsStep(own_schemes.Noise):
    """Presses Ctrl-C where Python drops the exception, in its third step."""

    def step(self, problem, mu, t, tau, state):
        if state["step"] == 2 and own_schemes.INTERRUPTS.pop("armed", False):
            thrown = PressedWhileItIsThrownAway()
            del thrown
        return super().step(problem, mu, t, tau, state)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_run_heeds_what_python_dropped_and_goes_on_to_the_same_bits(tmp_path):
    jko.scheme.Scheme.known.pop(PressedInItsStep.scheme_name(), None)
    own_schemes.INTERRUPTS["armed"] = True

    def walk(path=None):
        mu, F = problems.particles(2), fn.Potential("quadratic")
        return jko.flow(F, mu, PressedInItsStep(), tau=0.1, n_steps=9, checkpoint=path)

    with pytest.raises(KeyboardInterrupt):
        walk(tmp_path / "run")
    again, whole = walk(tmp_path / "run"), walk()
    assert np.array_equal(again.final.positions, whole.final.positions)
    assert again.info.note.tolist() == whole.info.note.tolist()


def test_a_program_that_handles_the_signal_itself_keeps_its_way():
    heard = []
    before = signal.signal(signal.SIGINT, lambda signum, frame: heard.append(signum))
    try:
        with interrupts() as heed:
            signal.raise_signal(signal.SIGINT)
            heed()
    finally:
        signal.signal(signal.SIGINT, before)
    assert heard == [signal.SIGINT]
