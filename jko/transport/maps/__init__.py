"""Optimal maps as gradients of convex functions."""
