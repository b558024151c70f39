"""What the JKO steps on a grid share: F as arrays, levels of grids, dual energy, marginals, reflections."""
