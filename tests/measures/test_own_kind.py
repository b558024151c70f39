"""A kind of measure of one's own, in one class: it runs, survives checkpoint and file, and is compared."""

import numpy as np
import pytest

import functionals as fn
import jko
from jko import Particles, descent, flow
from jko.measures import Measure


class Labelled(Particles):
    """Particles with a whole number each, which stays with them."""

    def __init__(self, positions, labels, weights=None):
        super().__init__(positions, weights)
        self.labels = np.asarray(labels)

    def fixed(self):
        return super().fixed() | {"labels": self.labels}

    @classmethod
    def fields_of(cls, measures):
        variables, coordinates, attributes = super().fields_of(measures)
        return variables | {"label": ("particle", measures[0].labels)}, coordinates, attributes

    @classmethod
    def from_fields(cls, dataset):
        labels = dataset["label"].values
        return [cls(mu.positions, labels, mu.weights) for mu in Particles.from_fields(dataset)]

    @property
    def size(self):
        return f"{self.n} particles of {len(set(self.labels.tolist()))} kinds"


@pytest.fixture
def start(monkeypatch):
    monkeypatch.setattr(Measure, "known", Measure.known | {"Labelled": Labelled})
    positions = np.random.default_rng(0).normal(size=(40, 2))
    return Labelled(positions, np.arange(40) % 3)


F = fn.Entropy() + fn.Potential("quadratic", stiffness=1.0)


def run(mu, n_steps=4, **how):
    return flow(F, mu, descent.Langevin(seed=2), tau=0.05, n_steps=n_steps, **how)


@pytest.mark.slow
def test_it_keeps_its_labels_through_a_run_a_checkpoint_and_a_file(start, tmp_path):
    whole = run(start)
    assert isinstance(whole.final, Labelled)
    assert np.array_equal(whole.final.labels, start.labels)
    run(start, 2, checkpoint=tmp_path / "run")
    resumed = run(start, checkpoint=tmp_path / "run")
    assert np.array_equal(resumed.final.positions, whole.final.positions)
    other = Labelled(start.positions, np.zeros(40, int))
    with pytest.raises(jko.errors.CheckpointMismatch, match="its labels have other values"):
        run(other, checkpoint=tmp_path / "run")
    loaded = jko.Trajectory.load(whole.save(tmp_path / "run.nc"))
    assert isinstance(loaded.final, Labelled)
    assert np.array_equal(loaded.final.labels, start.labels)
    assert np.array_equal(loaded.final.positions, whole.final.positions)


def test_it_is_compared(start):
    comparison = jko.compare({"labelled": run(start), "plain": run(Particles(start.positions))})
    assert "40 particles of 3 kinds" in str(comparison)
    assert comparison.pairs["W2"].max() == 0.0


def test_a_file_of_an_unknown_kind_is_refused(start, tmp_path, monkeypatch):
    path = run(start).save(tmp_path / "run.nc")
    monkeypatch.setattr(Measure, "known", {k: v for k, v in Measure.known.items() if k != "Labelled"})
    with pytest.raises(ValueError, match="measures of the kind 'Labelled', known are"):
        jko.Trajectory.load(path)
