"""Many runs of one problem: seeds, temperatures, step sizes, parameters; compiled together or spread out."""

from jko.ensembles.ensemble import ensemble

__all__ = ["ensemble"]
