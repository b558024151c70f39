"""Generator matching on finite sets: exact averages of conditional rates, and words learnt by unmasking."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, cached_property

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike

from functionals.array import Array
from jko.diffusion.coupling import spread_times
from jko.diffusion.finite_generator import FiniteGenerator, probabilities, words
from jko.diffusion.network import Network, plain
from jko.diffusion.tolerances import TOLERANCES
from jko.diffusion.training import Training
from jko.errors import finite_array, positive_number, seed_number, whole_number


class FiniteConditionalPaths:
    """Chains given z = 0, …, K − 1: laws p(x | z, t) `[K, N]`, rates Q(x, y | z, t) `[K, N, N]`.

    `weights` `[K]` is P(z), `laws` and `rates` are functions of the time. The average process has the rates
    Q(x, y) = E[Q(x, y | z, t) | x], and the law Σ P(z)p(x | z, t) [HolderriethEtAl2025].
    """

    def __init__(self, weights: ArrayLike, laws: Callable, rates: Callable, known_times=(0.0, 1.0)):
        given = finite_array("weights", weights)
        self.weights = probabilities("weights", given, given.size)
        self._laws, self._rates, self.known_times = laws, rates, known_times

    @classmethod
    def masking(cls, joint: ArrayLike) -> FiniteConditionalPaths:
        """From all letters masked to the word z, each unmasked at the rate 1/(1 − t), t < 1.

        `joint` `[A, …, A]` is the probability of every word; states are numbered as by
        `FiniteGenerator.masking`.
        """
        p = _joint(joint)
        letters, places = p.shape[0], p.ndim
        z, x = words(letters, places), words(letters + 1, places)
        masked = x == letters
        fits = np.all(masked[None] | (x[None] == z[:, None]), axis=2)
        hidden = masked.sum(axis=1)
        highest = (letters + 1) ** np.arange(places)[::-1]

        def laws(t):
            return fits * (1.0 - t) ** hidden * t ** (places - hidden)

        unit = np.zeros((len(z), len(x), len(x)))
        for k, word in enumerate(z):
            for place in range(places):
                open_ = np.flatnonzero(masked[:, place])
                unit[k, open_, open_ + (word[place] - letters) * highest[place]] = 1.0
        return cls(p.ravel(), laws, lambda t: unit / (1.0 - t), (0.0, TOLERANCES.last_unmasking))

    def law(self, t: float) -> np.ndarray:
        """Σ P(z) p(x | z, t) `[N]`."""
        return self.weights @ self._laws(t)

    @property
    def generator(self) -> FiniteGenerator:
        """The average process, exactly; rates from states that no path visits are 0."""
        return FiniteGenerator(self.average_rates, known_times=self.known_times)

    def average_rates(self, t: float) -> np.ndarray:
        """E[Q(x, y | z, t) | x] `[N, N]`."""
        each = self.weights[:, None] * self._laws(t)
        total = each.sum(axis=0)
        share = np.divide(each, total, out=np.zeros_like(each), where=total > 0.0)
        return np.einsum("kx,kxy->xy", share, self._rates(t))

    def loss(self, log_rates: np.ndarray, t: float) -> tuple[float, np.ndarray]:
        """E Σ_y Q̂ − Q(·|z) log Q̂ over x ≠ y and its derivative by log Q̂ `[N, N]`: the Bregman loss.

        It is that of s log s up to a constant, and its minimiser is `average_rates`.
        """
        each = self.weights[:, None] * self._laws(t)
        flow = np.einsum("kx,kxy->xy", each, self._rates(t))
        visited = each.sum(axis=0)[:, None] * (1.0 - np.eye(len(flow)))
        rates = np.exp(log_rates)
        return float(np.sum(visited * rates - flow * log_rates)), visited * rates - flow


class MatchedWords:
    """P(letter at a masked place | the others), learnt: `probabilities` `[N, L, A]` for every state.

    `generator` unmasks at the rate 1/(1 − t) by them; `law` `[A, …, A]` is the joint law of the words that
    it makes, exactly, and `sample` draws some.
    """

    def __init__(self, probabilities: np.ndarray, losses: np.ndarray | None = None):
        self.probabilities, self.losses = probabilities, losses
        self.places, self.letters = probabilities.shape[1:]

    @cached_property
    def generator(self) -> FiniteGenerator:
        """The chain on masked words in the time s = −log(1 − t), in which its rates are constant."""
        x = words(self.letters + 1, self.places)
        rates = np.zeros((len(x),) * 2)
        for place, highest in enumerate((self.letters + 1) ** np.arange(self.places)[::-1]):
            open_ = np.flatnonzero(x[:, place] == self.letters)
            for letter in range(self.letters):
                rates[open_, open_ + (letter - self.letters) * highest] = self.probabilities[
                    open_, place, letter
                ]
        return FiniteGenerator(rates)

    @cached_property
    def law(self) -> np.ndarray:
        """The joint law `[A, …, A]` of whole words as s → ∞: each state's mass goes on in equal shares."""
        x, Q = words(self.letters + 1, self.places), self.generator.at()
        p = np.zeros(len(x))
        p[-1] = 1.0  # the last word is all masks
        for _ in range(self.places):
            exits = -np.diag(Q)
            moving = np.where(exits > 0.0, p, 0.0)
            share = np.divide(moving, exits, out=np.zeros_like(p), where=exits > 0.0)
            p = p - moving + share @ np.where(np.eye(len(x), dtype=bool), 0.0, Q)
        whole = np.all(x < self.letters, axis=1)
        return p[whole].reshape((self.letters,) * self.places)

    def sample(self, n: int, seed: int) -> np.ndarray:
        """n words `[n, L]`: paths of the chain, until no letter is masked but with a chance of 10⁻¹²."""
        start = np.full(whole_number("n", n), (self.letters + 1) ** self.places - 1)
        end = np.log(self.places) - np.log(TOLERANCES.still_masked)
        paths = self.generator.simulate(start, [0.0, end], seed=seed_number("seed", seed))
        return words(self.letters + 1, self.places)[paths.states[-1]]


def masked_matching(
    data: ArrayLike,
    alphabet: int,
    *,
    pseudocount: float | None = None,
    training: Training | None = None,
    progress: bool | None = None,
) -> MatchedWords:
    """A chain that unmasks letters until words have the law of the data `[n, L]` [CampbellEtAl2024].

    The loss is Σ over masked places of E[λ̂ − λ log λ̂] at the rates λ̂ = P̂(letter | others)/(1 − t), whose
    minimiser is the true conditional probability. With a `pseudocount` P̂ is a table, and the minimiser the
    shares of letters in the data, that many added to each; without, a network, fitted as `training` says.
    Raises ValueError for data that are not words of letters 0, …, alphabet − 1, L ≤ 6.
    """
    letters = whole_number("alphabet", alphabet, 2)
    z = np.asarray(data)
    if z.ndim != 2 or not z.size or z.dtype.kind not in "iu" or z.min() < 0 or z.max() >= letters:
        raise ValueError(f"data: expected words [n, L] of whole numbers from 0 to {letters - 1}")
    if (letters + 1) ** z.shape[1] > TOLERANCES.most_words:
        raise ValueError(
            f"data: {letters + 1}**{z.shape[1]} masked words are more than {TOLERANCES.most_words}: "
            "the chain is held as a whole; take fewer letters or places"
        )
    if pseudocount is not None:
        return MatchedWords(_table(z, letters, positive_number("pseudocount", pseudocount)))
    training = Training.given(training)
    network = training.fit(
        _masked_draws(z, letters),
        np.zeros(z.shape[1] * (letters + 1)),
        1.0,
        progress,
        "unmasking",
        loss=_cross_entropy(z.shape[1], letters),
        outputs=z.shape[1] * letters,
    )
    return MatchedWords(_predicted(network, z.shape[1], letters), network.losses)


def _table(z: np.ndarray, letters: int, pseudocount: float) -> np.ndarray:
    """Shares of letters at each place among the words that agree with a state where it is not masked."""
    x = words(letters + 1, z.shape[1])
    counts = np.zeros((letters,) * z.shape[1])
    np.add.at(counts, tuple(z.T), 1.0)
    every, count = words(letters, z.shape[1]), counts.ravel()
    agree = np.all((x[:, None] == letters) | (x[:, None] == every[None]), axis=2) * count
    table = np.stack(
        [agree @ (every[:, place, None] == np.arange(letters)) for place in range(z.shape[1])], axis=1
    )
    table = table + pseudocount
    return table / table.sum(axis=2, keepdims=True)


def _one_hot(x: np.ndarray, letters: int) -> np.ndarray:
    return (x[..., None] == np.arange(letters)).astype(float).reshape(*x.shape[:-1], -1)


def _masked_draws(z: np.ndarray, letters: int):
    """Draws of (state, t, target): words with letters masked, and the letters under the masks."""

    def draw(generator, shape):
        word, t = z[generator.integers(len(z), size=shape)], spread_times(generator, shape)
        hidden = generator.random(word.shape) > t[..., None]
        state = np.where(hidden, letters, word)
        # what is not masked has no letter to be found
        target = _one_hot(np.where(hidden, word, letters), letters)
        return _one_hot(state, letters + 1), np.zeros(shape), target

    return draw


@cache
def _cross_entropy(places: int, letters: int):
    """−Σ log P̂(letter) over masked places: λ̂ sums to the same as λ, and only its logarithm counts."""

    def loss(prediction: Array, target: Array):
        logits = jax.nn.log_softmax(prediction.reshape(places, letters), axis=1)
        return -jnp.sum(target.reshape(places, letters) * logits)

    return loss


def _predicted(network: Network, places: int, letters: int) -> np.ndarray:
    x = jnp.asarray(_one_hot(words(letters + 1, places), letters + 1), jnp.float32)
    logits = jax.vmap(plain, in_axes=(None, 0, None))(network.layers, x, jnp.zeros(()))
    return np.asarray(jax.nn.softmax(logits.reshape(-1, places, letters), axis=2), float)


def _joint(joint: ArrayLike) -> np.ndarray:
    p = finite_array("joint", joint)
    if p.ndim < 1 or len(set(p.shape)) != 1:
        raise ValueError(f"joint: expected an array [A, …, A] of probabilities, got shape {p.shape}")
    return probabilities("joint", p.ravel(), p.size).reshape(p.shape)
