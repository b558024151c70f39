"""Three hundred random problems, each answered by two engines; thousands by `python -m tests.fuzz`."""

import pytest

from tests.fuzz.campaign import examine
from tests.fuzz.checks import engines

N_PROBLEMS, N_BLOCKS = 300, 20
AT_ONCE = 2  # engines a problem, in turn, so that each answers seventy or so


def some_engines(seed: int) -> set[str]:
    names = sorted(engines())
    return {names[(seed * AT_ONCE + k) % len(names)] for k in range(AT_ONCE)}


@pytest.mark.parametrize("block", range(N_BLOCKS))
def test_no_engine_is_wrong_without_a_word(block):
    wrong = []
    for seed in range(block, N_PROBLEMS, N_BLOCKS):
        _, label, found, _, _ = examine(seed, only=some_engines(seed), in_units=False)
        wrong += [f"seed {seed}, {label}: {text}" for text in found]
    assert not wrong, "\n".join(wrong)
