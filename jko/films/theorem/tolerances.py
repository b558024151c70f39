"""Numbers that the film of the theorem is made with."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Tolerances:
    """Settings of this room: a field with its value and its reason each. Pixels are those of 720 lines."""

    # what is computed
    half_width: float = 2.6  # of the box of the dynamic problem, in which both galaxies lie
    half_height: float = 1.4625  # of the same box, so that cells are square
    kernel: float = 1.25  # cells, the width of the densities' kernel: arms are resolved, single stars are not
    detour: float = 0.42  # how far the detour swings out, a third of a galaxy's radius, which is well seen
    decimals: int = 3  # of a number on the screen at most
    bulge: float = 0.2  # share of a galaxy's stars in its bright middle
    halo: float = 0.14  # share of its stars all over the disc, so that no part of it is empty
    bulge_width: float = 0.14  # standard deviation of the middle, in radii
    arm_width: float = 0.045  # standard deviation of an arm half-way out, in radii
    # light
    levels: int = 1024  # of brightness, between which no band is seen
    brightest: float = 6.0  # light at which every colour is white to the eye
    core: float = 0.85  # pixels, standard deviation of a star
    reach: int = 3  # pixels, how far a star is drawn
    near: float = 7.0  # pixels, standard deviation of the glow around a star
    far: float = 26.0  # pixels, standard deviation of the haze around that
    near_light: float = 2.4  # in the glow of a star, whose own middle has one: arms glow where stars are many
    far_light: float = 13.0  # in the haze of a star, spread over some thousand pixels
    dust: int = 260  # faint stars behind everything
    # scenes
    fade: float = 0.55  # seconds in which a scene comes out of the dark and goes back
    gif_fps: float = 10.0  # of a GIF, which is no film but a picture that moves, for pages
    gif_width: int = 480  # pixels of a GIF, so that half a minute of it stays below some megabytes
    gif_height: int = 270  # pixels of the same, nine sixteenths of the width
    ghost: float = 0.24  # of the light, with which start and end stay visible
    threads: int = 150  # pairs of the product coupling that are drawn, few enough that each is seen
    swinging: int = 260  # stars that are shown on the detour, enough for a cloud
    samples: int = 201  # of the energies' curves in time, so that they look smooth
    strokes: int = 6  # of the forge, a second and a half each
    struck_from: float = 0.14  # of the scene, when the first stroke begins
    struck_to: float = 0.84  # of the scene, when the last one has fallen
    rest: float = 0.4  # of a stroke's time, before it falls
    vectors: int = 110  # displacement vectors, few enough that each is seen
    apart: float = 0.105  # between lines of the grid, a twelfth of a galaxy's radius
    pieces: int = 6  # of a line between two crossings, so that bends are smooth
    held: float = 0.012  # of the largest density: where there is less, there is no grid
    stream_steps: int = 14  # of an integration along a streamline, forwards and backwards together
    stream_length: float = 0.26  # of the whole way, over which a streamline runs
    pulses: float = 2.2  # how often light runs along a streamline while t goes from 0 to 1


TOLERANCES = Tolerances()
