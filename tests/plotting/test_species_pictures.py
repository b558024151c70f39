"""Pictures of several species: a curve or a row for each, or one species at a time."""

import pytest

import functionals as fn
import jko
from jko import plotting, steps


@pytest.mark.slow
@pytest.mark.parametrize("dimension", [1, 2])
def test_each_species_has_its_own_curve_or_row(dimension, tmp_path):
    grid = jko.Grid.uniform((-3.0,) * dimension, (3.0,) * dimension, (16,) * dimension)
    start = jko.Species(
        prey=jko.Density.gaussian(grid, -1.0, 0.5), predator=jko.Density.gaussian(grid, 1.0, 0.5)
    )
    F = fn.on("prey", fn.Entropy()) + fn.on("predator", fn.Entropy())
    run = jko.flow(F, start, steps.SpeciesInTurn(jko.limits.FiniteVolume()), tau=0.05, n_steps=3)
    figure = plotting.plot_density(run, path=tmp_path / "density.png")
    words = {word for axes in figure.axes for word in (axes.get_ylabel().split("\n")[0], *_legend(axes))}
    assert {"prey", "predator"} <= words
    plotting.plot_energy(run, path=tmp_path / "energy.png")
    plotting.plot_trajectory(run.of_species("prey"), path=tmp_path / "prey.png")
    with pytest.raises(TypeError, match=r"take run\.of_species\('prey'\)"):
        plotting.plot_trajectory(run)
    with pytest.raises(TypeError, match="expected one of several species"):
        run.of_species("prey").of_species("prey")
    jko.compare({"one": run, "two": run}).save(tmp_path / "report")


def _legend(axes):
    legend = axes.get_legend()
    return [] if legend is None else [text.get_text() for text in legend.get_texts()]
