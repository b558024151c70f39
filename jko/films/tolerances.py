"""Numbers that films are made with."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Tolerances:
    """Settings of this room: a field with its value and its reason each."""

    rate: int = 19  # libx264's constant rate factor, of 51: no block is seen on dark ground
    colours: int = 192  # of a GIF's palette, of 256 at most, so that no band is seen
    evenness: float = 0.4  # power of how often a colour is there, by which it counts for the palette
    sampled: int = 11  # frames from which that palette is made, the first and the last among them
    hold: int = 1200  # milliseconds that the last frame of a GIF stands, before it begins anew
    smallest: int = 64  # pixels along a side, on which letters are still letters
    largest: int = 4096  # pixels along a side, which encoders take
    dots_per_inch: int = 100  # of a film's frames, as screens have them
    width: int = 860  # pixels of the picture on which letters have the size that they say
    height: int = 484  # pixels of the same picture, nine sixteenths of the width
    panels: int = 12  # of a picture at most, in which letters can still be read
    bins: int = 60  # of a histogram along the picture, as in the house's plots
    tail: int = 9  # steps of time that the tail of a path in the plane goes back
    substeps: int = 2  # of the ODE from one time to the next, between which its score is interpolated anyway


TOLERANCES = Tolerances()
