"""Which functional moves these populations, how do they go on, and what can the data not tell?"""

from jko.learn.bases import Basis, Network, Polynomial, Quadratic, Radial, RandomFeatures, Splines
from jko.learn.fit import Fit, Report, fit
from jko.learn.identifiability import Direction, Identifiability
from jko.learn.interpolation import TimeCourse, interpolate
from jko.learn.scoring import Score, score
from jko.learn.snapshots import Snapshots

__all__ = [
    "Basis",
    "Direction",
    "Fit",
    "Identifiability",
    "Network",
    "Polynomial",
    "Quadratic",
    "Radial",
    "RandomFeatures",
    "Report",
    "Score",
    "Snapshots",
    "Splines",
    "TimeCourse",
    "fit",
    "interpolate",
    "score",
]
