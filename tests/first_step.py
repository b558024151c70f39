"""The first step of a scheme, its first block of steps, and the energy before them."""


def first_step(scheme, F, mu, tau):
    """(mu′, state, record) of the first step."""
    problem = scheme.prepare(F, mu)
    return scheme.step(problem, mu, 0.0, tau, problem.start)


def first_block(scheme, F, mu, tau, n):
    """(mu′, state, records) of the first n steps."""
    problem = scheme.prepare(F, mu)
    return scheme.advance(problem, mu, 0.0, tau, n, problem.start)


def energy_of(scheme, F, mu):
    """(F(mu), its uncertainty) as a run records them at the start."""
    problem = scheme.prepare(F, mu)
    return scheme.energy(problem, mu, 0.0, problem.start)
