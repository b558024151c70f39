"""Snapshots: what they take, what they refuse, and the ways to make them."""

import numpy as np
import pytest

import jko

Snapshots = jko.learn.Snapshots


def clouds(sizes=(5, 7, 6), dimension=2):
    generator = np.random.default_rng(0)
    return [generator.normal(size=(n, dimension)) for n in sizes]


def test_arrays_clouds_densities_and_gaussians_stand_side_by_side():
    grid = jko.Grid.uniform(lower=-5.0, upper=5.0, cells=50)
    rho = jko.Density.gaussian(grid, mean=0.5, std=1.0)
    seen = Snapshots([0.0, 1.0, 2.0], [clouds((9,), 1)[0], rho, jko.Gaussian.of(0.0, 1.0)])
    assert seen.dimension == 1
    assert len(seen) == 3
    assert np.allclose(seen.gaps, 1.0)
    assert np.isclose(seen.cloud(1).mean()[0], 0.5, atol=1e-4)
    assert np.isclose(seen.cloud(2).covariance()[0, 0], 1.0, rtol=1e-2)


@pytest.mark.parametrize(
    ("times", "measures", "sentence"),
    [
        ([0.0, 2.0, 1.0], clouds(), "times: expected increasing times"),
        ([0.0, 1.0, 1.0], clouds(), "times: expected increasing times"),
        ([0.0], clouds((5,)), "times: expected two or more snapshots, got 1"),
        ([0.0, 1.0], clouds(), "times: expected one for each of 3 measures"),
        ([0.0, 1.0], [np.zeros((4, 2)), np.zeros((4, 3))], "measures: expected one dimension, got"),
        ([0.0, np.nan], clouds((5, 5)), "times: expected finite numbers"),
        ([0.0, 1.0], [np.zeros((4, 2)), np.full((4, 2), np.nan)], r"measures\[1\]: expected finite numbers"),
    ],
)
def test_what_is_no_set_of_snapshots_is_refused_in_one_sentence(times, measures, sentence):
    with pytest.raises(ValueError, match=sentence):
        Snapshots(times, measures)


def test_what_is_no_measure_is_refused():
    with pytest.raises(TypeError, match=r"measures\[0\]: expected an array of numbers"):
        Snapshots([0.0, 1.0], ["cells", "more cells"])


def test_a_table_with_a_column_of_times(tmp_path):
    path = tmp_path / "cells.csv"
    path.write_text("x1,day,x2\n1,0,2\n3,0,4\n5,2.5,6\n7,2.5,8\n9,2.5,10\n")
    seen = Snapshots.from_csv(path, time="day")
    assert seen.times.tolist() == [0.0, 2.5]
    assert seen[1].positions.tolist() == [[5, 6], [7, 8], [9, 10]]
    assert Snapshots.from_csv(path, time=1, columns=["x2"])[0].positions.tolist() == [[2], [4]]
    with pytest.raises(ValueError, match="time: no column 'hour'; there are 'x1', 'day', 'x2'"):
        Snapshots.from_csv(path, time="hour")


def test_an_annotated_matrix_by_its_attributes_alone():
    class Annotated:
        obs = {"day": np.array([1, 0, 1, 0])}
        obsm = {"X_pca": np.arange(12.0).reshape(4, 3)}

    seen = Snapshots.from_anndata(Annotated(), time="day", basis="X_pca", dimensions=2)
    assert seen.times.tolist() == [0.0, 1.0]
    assert seen[0].positions.tolist() == [[3, 4], [9, 10]]
    with pytest.raises(ValueError, match="basis: no 'X_umap' in adata"):
        Snapshots.from_anndata(Annotated(), time="day", basis="X_umap")
    for wrong in (-1, 0, 9):
        with pytest.raises(ValueError, match=f"dimensions: .*got {wrong}"):
            Snapshots.from_anndata(Annotated(), time="day", dimensions=wrong)
    with pytest.raises(TypeError, match=r"adata: expected an AnnData object.*got NoneType"):
        Snapshots.from_anndata(None, time="day")
    masked = Annotated()
    masked.obs = {"day": np.array([True, False, True, False])}
    with pytest.raises(ValueError, match="holds no numbers"):
        Snapshots.from_anndata(masked, time="day")


def test_a_split_is_a_partition_at_every_time():
    seen = Snapshots([0.0, 1.0, 2.0], clouds((10, 20, 15)))
    first, rest = seen.split(0.6, seed=3)
    for k in range(3):
        together = np.concatenate([first[k].positions, rest[k].positions])
        assert {tuple(x) for x in together} == {tuple(x) for x in seen[k].positions}
        assert first[k].n == int(0.6 * seen[k].n)
        assert np.isclose(rest[k].weights.sum(), 1.0)
    again, _ = seen.split(0.6, seed=3)
    assert np.array_equal(again[1].positions, first[1].positions)
    with pytest.raises(ValueError, match="fraction: expected a number between 0 and 1"):
        seen.split(1.0)


def test_one_snapshot_is_left_out():
    seen = Snapshots([0.0, 1.0, 2.0], clouds())
    assert seen.without(1).times.tolist() == [0.0, 2.0]
    assert seen.without(-1).times.tolist() == [0.0, 1.0]
    with pytest.raises(ValueError, match="k: expected the number of one of 3 snapshots"):
        seen.without(3)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_population_of_another_mass_is_refused():
    grown = jko.Population(np.zeros((3, 2)) + np.arange(3.0)[:, None], mass=2.0)
    seen = Snapshots([0.0, 1.0], [np.ones((3, 2)), grown])
    with pytest.raises(ValueError, match="snapshots: expected populations of mass 1, got 2"):
        jko.learn.fit(seen, jko.learn.Quadratic())
    fitted = jko.learn.fit(Snapshots([0.0, 1.0], [np.eye(2), 2.0 * np.eye(2)]), jko.learn.Quadratic())
    with pytest.raises(ValueError, match="mu0: expected mass 1, got 2"):
        fitted.predict(grown, [0.0, 1.0])


@pytest.mark.parametrize("column", ["numbers", "categories", "days"])
def test_a_file_of_annotated_cells(tmp_path, column):
    """Written and read by anndata itself: sparse counts, components, times as numbers or categories."""
    anndata = pytest.importorskip("anndata", reason="pip install 'jko[learn]'")
    from scipy.sparse import csr_matrix

    generator = np.random.default_rng(0)
    counts, components = csr_matrix(generator.poisson(0.2, (20, 6))), generator.normal(size=(20, 3))
    day = np.repeat([10.0, 0.0, 2.5], [5, 8, 7])
    cells = anndata.AnnData(counts.astype(np.float32), obsm={"X_pca": components.astype(np.float32)})
    cells.obs["numbers"] = day
    cells.obs["categories"] = cells.obs["numbers"].map("{:g}".format).astype("category")
    cells.obs["days"] = cells.obs["numbers"].map("day {:g}".format).astype("category")
    cells.obsm["sparse"] = csr_matrix(components)
    cells.write_h5ad(tmp_path / "cells.h5ad")
    read = anndata.read_h5ad(tmp_path / "cells.h5ad")
    if column == "days":
        read.obs["durations"] = day.astype("timedelta64[D]")
        for named in (column, "durations"):
            with pytest.raises(ValueError, match=rf"time: adata.obs\['{named}'\] holds no numbers"):
                Snapshots.from_anndata(read, time=named)
        return
    seen = Snapshots.from_anndata(read, time=column, dimensions=2)
    assert seen.times.tolist() == [0.0, 2.5, 10.0]
    assert np.allclose(seen[2].positions, components[:5, :2], atol=1e-6)
    assert np.allclose(
        Snapshots.from_anndata(read, time=column, basis="sparse")[1].positions, components[13:]
    )
    backed = anndata.read_h5ad(tmp_path / "cells.h5ad", backed="r")
    assert Snapshots.from_anndata(backed, time=column)[1].positions.shape == (7, 3)
