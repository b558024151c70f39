"""Steps with noise in compiled blocks: increments, observables, runs."""
