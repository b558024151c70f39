"""The thresholds of learning from snapshots."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Tolerances:
    """What steers fits, their refinement and what is said of them."""

    # bases
    most_functions: int = 20_000  # functions of a basis; a Gram matrix of more takes 3 GB
    nearest_range: float = 0.15  # of the rms distance of pairs: the shortest range of a radial kernel
    farthest_range: float = 1.5  # of the same: the longest range

    # network
    trained_pairs: int = 600  # of each interval, that train hidden layers: as many equations as weights
    trained_ridge: float = 1e-6  # of the mean diagonal: keeps a last layer of units that are alike finite
    patience: int = 30  # evaluations without a gain on pairs held out, after which training ends

    # fit
    nearly_settled: float = 0.01  # of the motion: rounds that stopped so close are not worth a word
    rests_on_data: float = 0.5  # of the parameters: fewer set by the data, and the regularisation decides

    # equations
    score_share: float = 1e-6  # of the mean diagonal, in the projection of the score: more would bias θ

    # identifiability
    null_rounding: float = 1e-10  # of the largest eigenvalue: rounding
    alike: float = 0.9  # of a direction that a gauge has to make up to be named by it
    much: float = 0.3  # of a direction of length 1, in one parameter that its description names
    own: float = 0.5  # of a direction that parameters without regularisation have to make up, to be set to 0

    # landscape
    singular: float = 1e8  # condition of D²V: V is flat in a direction, and has no centre there
    early: float = 1e-9  # of an interval: rounding of times that end one and begin the next

    # prediction
    steps_a_gap: int = 16  # of the default step, where a flow was learnt: of second order
    same_time: float = 1e-9  # of the span of the data: times that are one

    # refinement
    mixed_rounds: int = 3  # rounds mixed; the fixed point contracts by about τ|D²V|/2
    settled_by_newton: float = 1e-3  # change of the predicted motion; the next is about its square
    nudge: float = 1e-3  # of the size of the parameters, for their differences
    degenerate: float = 1e-10  # of the largest singular value: directions that no path shows stay as they are
    halvings: int = 6  # of a Newton step that does not lower the residual
    settled: float = 1e-4  # change of the predicted motion, relative to it, at which rounds end
    fewest_simulated: int = 2000  # points of a cloud, with its copies: simulation's noise below the data's
    fewest_steps: int = 4  # steps an interval, at least
    most_steps: int = 64  # steps an interval, at most
    coupled_anew: tuple[int, ...] = (3,)  # the rounds with new couplings; a second one gains nothing
    coupled_gain: float = 1e-3  # of the motion's root mean square, that a new coupling has to promise
    salt: int = 0x6A6B6F  # data may come from the same small seed: noise must not repeat them
    turn: float = 0.1  # of D²V times the step; the error of a step is about its square
    smooth_turn: float = 0.5  # without noise, of order 4: its fourth power over 100 is the error

    # implicit steps
    newton_steps: int = 60  # of a point's implicit step; 6 are usual
    stepped: float = 1e-9  # residual of a step, relative to the mean step

    # scoring
    most_scored: int = 2000  # points of a cloud in an exact distance: a plan of more takes a minute

    # snapshots
    unit_mass: float = 1e-6  # by which a mass may differ from 1, where weights are in single precision
    fewest_points: int = 4  # of a cloud that is split in two


TOLERANCES = Tolerances()
