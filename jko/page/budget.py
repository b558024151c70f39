"""How much of a run goes onto a page: what is more is thinned out, and the page says so."""

from __future__ import annotations

from dataclasses import dataclass

MOST_BYTES = 5_000_000  # of a page, whatever the runs: a mail takes it, a browser opens it within a second


@dataclass(frozen=True)
class Budget:
    """Limits of what a page shows; `halved` has half of each that costs bytes."""

    state_bytes: int = 2_400_000  # of densities and clouds, before base64: four thirds of it on the page
    times: int = 60  # of the slider: a film of four seconds at 15 a second
    cells: int = 96  # of a map along an axis: three points of a screen's panel each
    abscissae: int = 400  # of a curve: two points of a screen each
    bins: int = 60  # of a cloud's histogram on the line, as in the pictures
    dots: int = 1500  # of a cloud: more merge on a panel
    ticks: int = 200  # of a cloud's rug on the line
    points: int = 6000  # of all curves over time together in one figure
    steps: int = 1200  # rows of records of all runs together
    letters: int = 400  # of a note or of a step's details
    text: int = 100_000  # letters of an experiment
    tries: int = 8  # budgets, each half the last: a page of the last is as good as empty

    def halved(self) -> Budget:
        """Half as many bytes, at least a few of everything."""
        return Budget(
            state_bytes=self.state_bytes // 2,
            times=max(self.times * 2 // 3, 6),
            cells=max(self.cells * 2 // 3, 12),
            abscissae=max(self.abscissae // 2, 40),
            dots=max(self.dots // 2, 50),
            ticks=max(self.ticks // 2, 20),
            points=max(self.points // 2, 200),
            steps=max(self.steps // 2, 10),
            letters=max(self.letters // 2, 40),
            text=max(self.text // 2, 2000),
        )

    def of_each(self, tracks: int) -> tuple[int, int]:
        """(bytes, times) of one of so many tracks: fewer times where each would have few cells."""
        times = min(max(self.state_bytes // (max(tracks, 1) * self.cells**2), 8), self.times)
        return self.state_bytes // max(tracks, 1), times


@dataclass(frozen=True)
class View:
    """What is seen of a measure, and how."""

    looked_at: int = 9  # times of a run from which the window is taken: start, end, and some between
    exact_cells: tuple[int, ...] = (
        240,
        80,
        32,
    )  # along an axis, in 1, 2 and 3 dimensions, of an exact answer
    exact_most: int = 40_000  # cells of a run's grid up to which that is taken there: its program is made
    paper_share: float = 0.15  # of the scale, over which maps come out of the paper, as in the pictures
    lighter: float = 0.38  # of the way to white on dark paper: a contrast of 4.5 for each of the palette


VIEW = View()
