"""A measure in the three forms that schemes move."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from jko.experiment.table import Table, prefixed
from jko.measures import Density, Gaussian, Grid, Particles, Species


@dataclass(frozen=True)
class Initial:
    """One measure: `density()` on the grid, `draw(n, seed)` particles, and `gaussian` if it is one. Species
    are a `Species` of these; n counts the particles of each."""

    kind: str
    dimension: int
    density: Callable[[], Density | Species]
    draw: Callable[[int | None, int], Particles | Species]
    gaussian: Gaussian | None = None
    note: str = ""


def blaming(table: Table, key: str, make: Callable[[], Density]) -> Callable[[], Density]:
    """`make`, whose refusals are those of the table: of the key that they name, or else of `key`."""

    def density():
        with prefixed(table.path, table.entries, key):
            return make()

    return density


def of_density(
    table: Table, key: str, make: Callable[[], Density], grid: Grid | None, note: str = ""
) -> Initial:
    """A measure that is known by its values on the grid, which the table gives by `key`."""
    kind = table.text("kind")
    if grid is None:
        raise ValueError(f"kind: {kind!r} needs a table [grid]")
    made: list[Density] = []
    told = blaming(table, key, make)

    def density():
        if not made:
            made.append(told())
        return made[0]

    draw = drawing(lambda n, seed: density().sample(n, seed))
    return Initial(kind, grid.dimension, density, draw, note=note)


def drawing(draw: Callable):
    """A way of drawing particles that must be told how many."""

    def checked(n: int, seed: int):
        if n is None:
            raise ValueError("particles: missing, how many to draw from the initial measure")
        return draw(n, seed)

    return checked
