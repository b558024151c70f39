"""Loops of elliptic problems: multigrid, bands, finite volumes, staggered grids."""
