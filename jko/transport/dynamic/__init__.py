"""Transport as the least kinetic energy of a path."""
