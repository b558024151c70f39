"""Make the pictures of the README, the landing page and the tutorials.

`python docs/make_images.py hero landing tutorials` writes docs/images/hero.png in two minutes, landing.gif
and the pictures of the tutorials in one.
"""

import re
import sys
from contextlib import chdir
from io import BytesIO
from pathlib import Path

import jax.numpy as jnp
import numpy as np
from matplotlib.cbook import get_sample_data
from matplotlib.colors import LightSource

import functionals as fn
import jko
from jko.plotting import style
from jko.writing import whole

FOLDER = Path(__file__).parent / "images"
BLOCK = 6
END = 0.05
FRAMES = 48


def terrain():
    """Elevation `[east, north]` in metres, whole and averaged over blocks of cells."""
    elevation = get_sample_data("jacksboro_fault_dem.npz")["elevation"][::-1].T.astype(float)
    cells = [n // BLOCK for n in elevation.shape]
    cut = elevation[: cells[0] * BLOCK, : cells[1] * BLOCK]
    return cut, cut.reshape(cells[0], BLOCK, cells[1], BLOCK).mean(axis=(1, 3))


def problem(coarse):
    """Entropy plus the height in units of 150 m, inside a fence; the grid, and the width of the map."""
    columns, rows = coarse.shape
    width = columns / rows
    middle = jnp.array([width / 2, 0.5])

    def fence(x):
        return 2000.0 * jnp.sum(jnp.maximum(jnp.abs(x - middle) - middle, 0.0) ** 2)

    hills = fn.Potential.gridded((coarse - coarse.min()) / 150.0, lower=(0.0, 0.0), upper=(width, 1.0))
    margin = 2 / rows
    box = (-margin, -margin), (width + margin, 1 + margin)
    grid = jko.Grid.uniform(*box, cells=(columns + 4, rows + 4))
    return fn.Entropy() + hills + fn.Potential(fence), grid, width


def three_runs(F, start):
    """JKO, Langevin and finite volumes from one start."""
    cloud = start.sample(15_000, seed=0)
    return {
        "JKO steps (cvxpy)": jko.flow(F, start, jko.steps.Cvxpy(), tau=END / 10, n_steps=10),
        "Langevin particles": jko.flow(
            F, cloud, jko.descent.Langevin(seed=1), tau=END / 500, n_steps=500, store_every=25
        ),
        "Fokker-Planck equation": jko.flow(F, start, jko.limits.FiniteVolume(), tau=END / 40, n_steps=40),
    }


def relief(axes, elevation, width):
    """The hills, lit from the north-west."""
    shade = LightSource(azdeg=315, altdeg=40).hillshade(elevation.T, vert_exag=0.12, dx=1, dy=1)
    look = {"cmap": "gray", "vmin": -0.6, "vmax": 1.05, "alpha": 0.75}
    axes.imshow(shade, origin="lower", extent=(0, width, 0, 1), **look)
    axes.set(xlim=(0, width), ylim=(0, 1), xticks=[], yticks=[])
    for side in axes.spines.values():
        side.set_visible(False)


def density_over(axes, density, colours):
    """A density in one colour, opaque where it is large."""
    values = density.values.T / np.quantile(density.values, 0.995)
    picture = colours(np.clip(0.25 + 0.75 * values, 0.0, 1.0))
    picture[..., 3] = np.clip(values, 0.0, 1.0) ** 0.6 * 0.92
    (left, bottom), (right, top) = density.grid.lower, density.grid.upper
    axes.imshow(picture, origin="lower", extent=(left, right, bottom, top), interpolation="bicubic", zorder=2)


def energies(axes, runs):
    """F over time of the three runs."""
    style.tidy(axes, style.TIME, "energy F", "one functional, three engines")
    looks = ({"marker": "o", "markersize": 6, "linestyle": ""}, {"linestyle": "-"}, {"linestyle": "--"})
    for i, ((name, run), look) in enumerate(zip(runs.items(), looks, strict=True)):
        axes.plot(
            run.times, run.energy, color=style.colour(i), label=name, linewidth=1.8, zorder=4 - i, **look
        )
    style.legend(axes)


def hero():
    """Three engines on one functional: two pictures, and three energies."""
    from matplotlib import colormaps

    elevation, coarse = terrain()
    F, grid, width = problem(coarse)
    runs = three_runs(F, jko.Density.gaussian(grid, mean=(0.6, 0.5), std=0.05))
    jko_run, cloud_run, _ = runs.values()
    figure = style.new_figure(11.5, 3.7)
    left, middle, right = figure.subplots(1, 3, width_ratios=(1.18, 1.18, 1.0))
    relief(left, elevation, width)
    density_over(left, jko_run.final, colormaps["GnBu"])
    left.set_title(f"JKO steps: density at t = {END:g}", fontsize=10)
    relief(middle, elevation, width)
    x, y = cloud_run.final.positions.T
    middle.scatter(x, y, s=1.6, color=style.colour(1), alpha=0.55, linewidths=0, zorder=2)
    middle.set_title(f"Langevin: {len(x)} particles at t = {END:g}", fontsize=10)
    for axes in (left, middle):
        axes.plot(0.6, 0.5, "*", color="white", markeredgecolor="black", markersize=11, zorder=6)
    energies(right, runs)
    style.save(figure, FOLDER / "hero.png", dpi=104)


def frame(elevation, width, runs, index):
    """Both runs at a stored time, and the energies until then, as pixels."""
    from matplotlib import colormaps

    steps, cloud = runs.values()
    figure = style.new_figure(9.6, 3.2)
    left, middle, right = figure.subplots(1, 3, width_ratios=(1.18, 1.18, 1.0))
    for axes, name in ((left, "JKO steps"), (middle, "Langevin particles")):
        relief(axes, elevation, width)
        axes.set_title(name, fontsize=10)
    density_over(left, steps.measures[index], colormaps["GnBu"])
    x, y = cloud.measures[index].positions.T
    middle.scatter(x, y, s=1.2, color=style.colour(1), alpha=0.5, linewidths=0, zorder=2)
    style.tidy(right, style.TIME, "energy F", "one functional, two engines")
    right.set(xlim=(0.0, END), ylim=(steps.energy[-1] - 0.3, steps.energy[0] + 0.3))
    for i, (name, run) in enumerate(runs.items()):
        until = run.times <= steps.times[index] + 1e-12
        look = {"color": style.colour(i), "linestyle": style.line(i), "linewidth": 1.8, "label": name}
        right.plot(run.times[until], run.energy[until], **look)
    right.legend(fontsize=8.5, frameon=False, loc="upper right")
    figure.savefig(pixels := BytesIO(), format="png", dpi=92)
    return pixels


def landing():
    """Water that runs down the terrain, as a density and as particles."""
    from PIL import Image

    elevation, coarse = terrain()
    F, grid, width = problem(coarse)
    start = jko.Density.gaussian(grid, mean=(0.6, 0.5), std=0.05)
    tau, fine = END / FRAMES, 10
    langevin = jko.descent.Langevin(seed=1)
    runs = {
        "JKO steps": jko.flow(F, start, jko.steps.MongeAmpere(), tau=tau, n_steps=FRAMES),
        "Langevin": jko.flow(
            F, start.sample(6_000, seed=0), langevin, tau=tau / fine, n_steps=FRAMES * fine, store_every=fine
        ),
    }
    pictures = [Image.open(frame(elevation, width, runs, i)).convert("RGB") for i in range(FRAMES + 1)]
    palette = pictures[-1].quantize(96)
    first, *others = (picture.quantize(palette=palette, dither=Image.Dither.NONE) for picture in pictures)
    durations = [90] * FRAMES + [2500]
    with whole(FOLDER / "landing.gif") as beside:
        first.save(beside, "GIF", save_all=True, append_images=others, duration=durations, loop=0)


def tutorials():
    """The pictures that the code of the tutorials writes."""
    for page in sorted((FOLDER.parent / "tutorials").glob("*.md")):
        blocks = re.findall(
            r"^```python\n(.*?)^```$", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
        )
        with chdir(FOLDER):
            exec(compile("\n".join(blocks), str(page), "exec"), {"__name__": "page"})


PICTURES = {"hero": hero, "landing": landing, "tutorials": tutorials}

if __name__ == "__main__":
    for wanted in sys.argv[1:] or PICTURES:
        PICTURES[wanted]()
