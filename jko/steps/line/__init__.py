"""A JKO step on the line: the edges that carry the mass."""
