"""Loops of optimal transport: c-transforms, densities moved by maps, polygons."""
