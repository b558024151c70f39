"""Colours of the page: those of the pictures, and lighter ones of the same hue on dark paper."""

from __future__ import annotations

from jko.page.budget import VIEW
from jko.plotting import style

# ColorBrewer's YlGnBu, of which `style.heat_colours` is made: white where there is nothing
HEAT = ("#ffffd9", "#edf8b1", "#c7e9b4", "#7fcdbb", "#41b6c4", "#1d91c0", "#225ea8", "#253494", "#081d58")
_DASHES = {"-": "", "--": "7 3.5", "-.": "8 3 1.8 3", ":": "1.8 2.6"}


def colours_of(runs: int) -> dict:
    """Places of the runs in the palette, their dashes, and the colours of maps."""
    return {
        "count": len(style.PALETTE),
        "dashes": [_dash(style.line(index)) for index in range(runs)],
        "heat": list(HEAT),
        "paper_share": VIEW.paper_share,
    }


def declarations() -> str:
    """Variables of CSS: --run-0 … for light and for dark paper."""
    light = "".join(f"--run-{i}:{colour};" for i, colour in enumerate(style.PALETTE))
    dark = "".join(f"--run-{i}:{_lighter(colour)};" for i, colour in enumerate(style.PALETTE))
    return f":root{{{light}}}\n:root[data-paper=dark]{{{dark}}}\n"


def _lighter(colour: str) -> str:
    parts = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
    return "#" + "".join(f"{round(part + (255 - part) * VIEW.lighter):02x}" for part in parts)


def _dash(line: str | tuple) -> str:
    return _DASHES[line] if isinstance(line, str) else " ".join(f"{1.8 * length:g}" for length in line[1])
