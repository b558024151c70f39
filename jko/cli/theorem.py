"""What `jko film` does."""

from __future__ import annotations

import re

from jko.errors import shown
from jko.films.theorem import Theorem, theorem_film
from jko.films.theorem.film import checked_settings


def film(options) -> int:
    """jko film [--output PATH] [--scenes N,N] [--seconds S] [--size WxH] [--fps N] [--stills DIR]."""
    settings = {
        "scenes": _numbers("--scenes", options.scenes, ","),
        "seconds": options.seconds,
        "size": None if options.size is None else _numbers("--size", options.size, "x"),
        "fps": options.fps,
    }
    checked_settings(options.output, **settings)  # refused before the numbers are computed
    say = (lambda words: None) if options.quiet else print
    theorem = Theorem.of()
    say(
        f"W2^2: {theorem.static:.4f} by the exact plan, {theorem.dynamic_value:.4f} dynamically; "
        f"the product coupling pays {theorem.product:.4f}, the detour {theorem.detour:.4f}"
    )
    progress = False if options.quiet else None
    path = theorem_film(options.output, **settings, stills=options.stills, theorem=theorem, progress=progress)
    say(f"wrote {path}")
    return 0


def _numbers(name: str, given: str, between: str) -> tuple[int, ...]:
    if not re.fullmatch(rf"\d{{1,5}}({between}\d{{1,5}})*", given):
        example = {",": "1,3", "x": "1280x720"}[between]
        raise ValueError(f"{name}: expected whole numbers as in {example}, got {shown(given)}")
    return tuple(int(number) for number in given.split(between))
