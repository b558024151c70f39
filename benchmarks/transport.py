"""Transport: distances, maps, curves. `python benchmarks/transport.py [--smoke] [row ...]`.

Each prints what it measured: medians of three calls after one that compiles, one thread unless said.
"""

import numpy as np
from rows import row, run, seconds, sized
from transport_problems import TILTED, from_the_line, tilted_gaussians, translated_and_dilated, waves

import jko
from jko import Gaussian, Grid
from jko.transport import benamou_brenier
from jko.transport.grids import transport as grid_transport


def _back_and_forth(name, problem):
    for cells in sized((256, 512), (32,)):
        mu, nu, exact = problem(cells)
        for threads in (1, 2):

            def solve(mu=mu, nu=nu, threads=threads):
                grid_transport._solved.clear()
                found = jko.wasserstein(mu, nu, threads=threads)
                return found, found.gap

            spent, (found, gap) = seconds(solve)
            error = float(found) ** 2 / exact - 1.0
            print(
                f"{name} {cells}², threads {threads}: {spent:.3f} s, off {error:+.1e}, gap {gap / exact:.1e}"
            )


@row
def back_and_forth_bumps():
    _back_and_forth("bumps, translated and dilated", translated_and_dilated)


@row
def back_and_forth_cold():
    """The same without the affine start and without moving one over the other: what the ascent alone does."""
    from jko.transport.grids import back_and_forth
    from jko.transport.grids.overlap import Overlap

    for cells in sized((256, 512), (32,)):
        mu, nu, exact = translated_and_dilated(cells)
        zero = np.zeros(2)
        lower = np.array(mu.grid.lower) + 0.5 * np.array(mu.grid.spacing)
        overlap = Overlap(mu.grid.spacing, mu.values / mu.mass, nu.values / nu.mass, lower, zero, 0.0)
        affine, back_and_forth.Level._affine = (
            back_and_forth.Level._affine,
            lambda level: np.zeros(level.mu.shape),
        )
        try:
            spent, found = seconds(lambda overlap=overlap: back_and_forth.solve(overlap))
        finally:
            back_and_forth.Level._affine = affine
        error = 2.0 * found.value / exact - 1.0
        print(
            f"bumps, cold start {cells}²: {spent:.3f} s, error {error:+.1e}, gap {2 * found.gap / exact:.1e}"
        )


@row
def back_and_forth_split():
    _back_and_forth("bump to four bumps", from_the_line)


@row
def back_and_forth_gaussians():
    _back_and_forth("tilted Gaussians", tilted_gaussians)


@row
def back_and_forth_in_space():
    mean, covariance = [1.0, 0.5, 0.0], np.array([[0.5, 0.2, 0.0], [0.2, 0.4, 0.1], [0.0, 0.1, 0.3]])
    pair = Gaussian(np.zeros(3), 0.25 * np.eye(3)), Gaussian(mean, covariance)
    exact = float(jko.wasserstein(*pair)) ** 2
    for cells in sized((32, 64), (12,)):
        grid = Grid.uniform((-5.0,) * 3, (5.0,) * 3, (cells,) * 3)
        mu, nu = (m.on(grid) for m in pair)

        def solve(mu=mu, nu=nu):
            grid_transport._solved.clear()
            return jko.wasserstein(mu, nu)

        spent, found = seconds(solve, 1)
        error, gap = float(found) ** 2 / exact - 1.0, found.gap / exact
        print(f"Gaussians in space {cells}³: {spent:.2f} s, off {error:+.1e}, gap {gap:.1e}")


@row
def static_and_dynamic():
    """Benamou-Brenier beside back-and-forth and the closed form, with the mesh."""
    for cells, times in sized(((32, 8), (64, 16), (128, 32)), ((12, 4),)):
        grid = Grid.uniform((-4.0, -4.0), (4.0, 4.0), (cells, cells))
        mu, nu = (m.on(grid) for m in TILTED)
        spent, path = seconds(
            lambda mu=mu, nu=nu, times=times: benamou_brenier(mu, nu, times, tolerance=1e-6), 1
        )
        static, exact = float(jko.wasserstein(mu, nu)) ** 2, float(jko.wasserstein(*TILTED)) ** 2
        print(
            f"tilted Gaussians {cells}² x {times}: dynamic {path.value / exact - 1.0:+.1e} from closed form, "
            f"{path.value / static - 1.0:+.1e} from back-and-forth, {spent:.1f} s"
        )


@row
def order_of_the_dynamic_value():
    """Cells and times refined together; what the dynamic value errs by and the order seen."""
    for dimension, sizes in sized(
        ((1, (32, 64, 128, 256)), (2, (16, 32, 64, 128))), ((1, (16, 32)), (2, (8, 16)))
    ):
        errors = []
        for cells in sizes:
            mu, nu, exact = waves(cells, dimension)
            path = benamou_brenier(mu, nu, cells // 4, tolerance=1e-6, max_iterations=20_000)
            errors.append(path.value / exact - 1.0)
        orders = np.log2(np.array(errors[:-1]) / errors[1:])
        told = ", ".join(f"{n}: {e:+.1e}" for n, e in zip(sizes, errors, strict=True))
        print(f"waves in {dimension}D, n cells an axis and n/4 times: {told}; orders {np.round(orders, 2)}")


@row
def static_and_dynamic_compact():
    for cells, times in sized(((32, 8), (64, 16), (128, 32)), ((12, 4),)):
        mu, nu, exact = from_the_line(cells)
        spent, path = seconds(lambda mu=mu, nu=nu, times=times: benamou_brenier(mu, nu, times), 1)
        static = float(jko.wasserstein(mu, nu)) ** 2
        print(
            f"bump to four {cells}² x {times}: dynamic {path.value / static - 1.0:+.1e} from back-and-forth, "
            f"that {static / exact - 1.0:+.1e} from the closed form, {spent:.1f} s"
        )


@row
def geodesics():
    """L1 from the closed form half-way between Gaussians, and the map's mean square error."""
    for cells in sized((64, 128, 256), (32,)):
        mu, nu, _ = tilted_gaussians(cells)
        T, exact = jko.transport.brenier_map(mu, nu), jko.transport.brenier_map(*TILTED)
        x = TILTED[0].sample(2000, 0).positions
        error = np.sqrt(np.mean(np.sum((T(x) - exact(x)) ** 2, axis=1)))
        middle = jko.transport.interpolate(*TILTED, 0.5).on(mu.grid)
        found = jko.transport.interpolate(mu, nu, 0.5)
        away = np.abs(found.values - middle.values).sum() * mu.grid.cell_volume
        print(
            f"geodesic {cells}²: L1 {away:.1e}, map {error:.1e}, "
            f"T_#mu {T.pushforward_error:.1e} from nu, convex up to {T.convexity_defect:.1e}"
        )


if __name__ == "__main__":
    run()
