"""Particle integrators, one a file."""
