"""The particle axis over many devices: of one process, or of many processes on many machines."""

from jko.sharding.arrays import gather, spread
from jko.sharding.mesh import AXIS, active, over, require_enough
from jko.sharding.processes import initialize, leads, refuse_fork, shared, together

__all__ = [
    "AXIS",
    "active",
    "gather",
    "initialize",
    "leads",
    "over",
    "refuse_fork",
    "require_enough",
    "shared",
    "spread",
    "together",
]
