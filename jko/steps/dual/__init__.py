"""The dual of a JKO step on a grid, and its ascent."""
