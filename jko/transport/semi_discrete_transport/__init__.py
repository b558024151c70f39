"""Optimal transport of a density to points."""
