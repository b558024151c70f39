"""Compiled programs and what is made for them, kept while they are of use, in bounded memory."""

from __future__ import annotations

import functools
import weakref
from collections import OrderedDict
from collections.abc import Callable
from threading import RLock

import jax

_FEWEST = 48  # kept at first: at 1 to 2 MB each, some 70 MB
_MOST = 4096  # kept at most, where that many are asked for in turn


class Programs:
    """The results of functions that compile, by their arguments and jax's precision; the least recently
    used ones go first, those that were asked for once before those that came back.

    A program traced under one precision is wrong under the other, hence the precision in the key. What
    is forgotten is freed, with its machine code. A trace of a loss over a hundred measures makes a hundred
    programs that nobody asks for again: they push out each other, and not what a loop comes back to. How many
    are kept is measured: a result that is asked for again after it was forgotten makes room for one more,
    so that a sum of a thousand potentials is compiled twice at most, and a sweep over a thousand functionals,
    none of which comes back, stays small. Those that came back fill a share of `proven` at most: the others
    are newcomers, and one that is asked for every now and then has the time to come back.
    """

    def __init__(self, fewest: int = _FEWEST, most: int = _MOST, proven: float = 0.75):
        self.capacity, self._most, self._share = fewest, most, proven
        self._newcomers: OrderedDict = OrderedDict()
        self._proven: OrderedDict = OrderedDict()
        self._forgotten: OrderedDict[int, list] = OrderedDict()  # weak references: nothing is held
        self._lock = RLock()

    def get(self, key: tuple, make: Callable):
        """The result kept under the key, or else made and kept."""
        with self._lock:
            if key in self:
                return self._again(key)
        made = make()  # outside the lock: it may take long, and ask for others
        with self._lock:
            if key in self:  # made meanwhile by another thread
                return self._again(key)
            self._newcomers[key] = made
            if self._was_forgotten(key):
                self.capacity = min(self.capacity + 1, self._most)
                self._again(key)
            self._forget()
        return made

    def _again(self, key: tuple):
        """The result of a key that is asked for once more."""
        held = self._proven if key in self._proven else self._newcomers
        result = self._proven[key] = held.pop(key)
        while len(self._proven) > max(1.0, self._share * self.capacity):
            self._newcomers.update([self._proven.popitem(last=False)])
        return result

    def _forget(self):
        while len(self) > self.capacity:
            old, _ = (self._newcomers or self._proven).popitem(last=False)
            self._forgotten[hash(old)] = _weakly(old)
        while len(self._forgotten) > self._most:
            self._forgotten.popitem(last=False)

    def _was_forgotten(self, key: tuple) -> bool:
        # a new function may stand where a dead one did, with its hash
        references = self._forgotten.pop(hash(key), None)
        return references is not None and all(reference() is not None for reference in references)

    def __contains__(self, key: tuple) -> bool:
        return key in self._newcomers or key in self._proven

    def __len__(self) -> int:
        return len(self._newcomers) + len(self._proven)


def _weakly(key) -> list:
    """Weak references to what can be referred to weakly in nested tuples."""
    if isinstance(key, tuple):
        return [reference for entry in key for reference in _weakly(entry)]
    try:
        return [weakref.ref(key)]
    except TypeError:  # numbers and strings
        return []


PROGRAMS = Programs()


def kept(make: Callable) -> Callable:
    """The function with its results kept in `PROGRAMS`: the same object for equal arguments and precision."""

    @functools.wraps(make)
    def found(*args):
        return PROGRAMS.get((make, jax.config.jax_enable_x64, args), lambda: make(*args))

    return found


def kept_for_both(make: Callable) -> Callable:
    """As `kept`, for results that are the same at either precision."""

    @functools.wraps(make)
    def found(*args):
        return PROGRAMS.get((make, args), lambda: make(*args))

    return found


def kept_with_first(make: Callable) -> Callable:
    """The function with its results kept as long as its first argument, to which they must not refer."""
    owned: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()

    @functools.wraps(make)
    def found(owner, *args):
        results = owned.setdefault(owner, {})
        if args not in results:
            results[args] = make(owner, *args)
        return results[args]

    return found
