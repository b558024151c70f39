"""Implicit steps of particles by Newton's method."""
