"""Thresholds of diffusion models, flow matching and Fokker–Planck equations."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Tolerances:
    """Thresholds of this room: a field with its value and its reason each."""

    # Laws and schedules
    same_mass: float = 1e-6  # of 1, by which the mass of a law may differ from it
    same_source: float = 1e-6  # of the source's spread: how far its moments may depend on the data
    asymmetry: float = 1e-9  # of the largest entry of a covariance: rounding of a product of matrices
    first_time: float = 1e-12  # of the end, where g² is taken at t = 0: σ may be a root of t
    times_looked_at: int = 257  # strictly between two, at which α/σ must fall
    rise: float = 1e-9  # of log α/σ from one to the next: what rounding explains
    closed: float = 1e-9  # of a curve's extent: how far its ends may be apart
    time_halvings: int = 80  # of an interval of times, more than floats have digits
    rows_at_once: int = 512  # to a multiple of which times are filled up: one program for all

    # The probability flow to a point in time
    fewest_steps: int = 32  # of Runge–Kutta, doubled until the tolerance is met
    most_steps: int = 8192  # of them: 1/8192 in √t, to the fourth power, is 2e-16

    # Exponential multistep methods
    step_nodes: int = 24  # of Gauss for the integrals of a step: exact to rounding for e^{2h}, h up to 10

    # The discrete chain, and noise before a step
    largest_beta: float = 0.999  # of the cosine's chain: its last step would forget all [NicholDhariwal2021]
    churn_share: float = 2.0**0.5 - 1.0  # of the noise, added in a step: the most [KarrasEtAl2022] allow

    # Training
    block: int = 50  # steps compiled as one, after which a bar moves, and over whose losses a fit is judged
    worse: float = 3.0  # times the first loss, that of a network which says 0: with more a training diverged
    decays: tuple = (0.9, 0.999)  # of Adam's averages of slopes and of their squares [KingmaBa2015]
    adam_floor: float = 1e-8  # added to the root of the second average [KingmaBa2015]
    pool: int = 50_000  # points drawn of a law that training draws from
    matched_pairs: int = 16_384  # of source and data in an optimal coupling, in blocks of 1024
    time_nodes: int = 400  # between which times of score matching are drawn, even in log α/σ
    consistency_steps: int = 12_000  # of a consistency model: with 4000 it misses the law by 15 %
    others: int = 2048  # further draws a mean given x_t is taken over: a batch alone doubles a model's error
    alike: float = 8.0  # of spreads of axes, up to which they share a unit: all learnt to some per cent

    # Matched flows
    rectified_pairs: int = 20_000  # of a flow's ends that a rectification learns from
    flow_steps: int = 50  # of Runge–Kutta from 0 to 1, unless asked otherwise
    measured_points: int = 2000  # whose paths tell how straight a flow is
    measuring_seed: int = 987_654  # of those: the same source points before and after a rectification

    # Tilted mixtures
    most_dimensions: int = 3  # of a tensor rule of nodes
    log_mass: float = 1e-3  # of log Z, by which twice as many nodes may change it

    # Generators with jumps
    kernel_nodes: int = 24  # of Gauss–Hermite a coordinate: a mean of a smooth function to rounding
    jump_cells: int = 6400  # of a grid, between all pairs of which jumps are kept: 80 x 80, a third of a GB
    series_events: float = 50.0  # expected in a series of uniformisation: e⁻⁵⁰ and its sums have all digits
    jump_rows: int = 256  # cells whose jumps are evaluated at once: some 100 MB for the largest grid
    lost_jumps: float = 1e-2  # of jumps, what may lead beyond the grid or between cells without a warning
    poisson_tail: float = 1e-17  # of 1, what the series of uniformisation leaves out: below rounding

    # Words that are unmasked
    last_unmasking: float = 1.0 - 1e-9  # of the times, at which rates 1/(1 − t) are still finite
    still_masked: float = 1e-12  # chance that a letter of a sampled word is: none of any number of draws
    most_words: int = 4096  # masked words at most: a matrix of rates of 128 MB

    # Guidance without training
    least_share: float = 1e-15  # of a posterior's parts, below which one is left out: below rounding
    effective: float = 0.5  # of the particles, fewer of which that count are resampled [DoucCappe2005]

    # Preferences
    newton_steps: int = 100  # of a convex loss at most: it takes ten or so
    preference_slope: float = 1e-13  # of a mean of probabilities: their rounding
    preferred_flow_steps: int = 10  # of Runge–Kutta for log p of a flow: 1e-3 off, below a batch's noise
    preference_steps: int = 300  # of a flow's training by preferences: with more it learns the pairs
    preference_batch: int = 512  # pairs a step, whose noise is what the weights end in
    preference_rate: float = 2e-3  # of Adam: with 5e-3 and more the tilt is missed by up to half
    shortest_step: float = 1e-8  # of Newton's: where the loss no longer falls there are no digits left

    # Fokker–Planck equations on grids
    kept: float = 1e-3  # of a positive first-order density, what fluxes of second order leave in a cell
    excess_noise: float = 0.1  # of GGᵀ, what upwind fluxes may add to the noise without a warning
    cut_mass: float = 1e-2  # of the mass, what centred fluxes may make negative before they are refused
    degree: int = 5  # of the spline through log ρ, which coarsening and extrapolation of cells take

    # One law seen as SDE, ODE and density
    bins: tuple = (40, 12)  # along an axis, into which particles are counted, by dimension
    plan_points: int = 800  # of a cloud that enter an exact plan to a density in the plane
    draws: tuple = (8, 2)  # clouds drawn of the density itself, whose distance from it is the sampling error


TOLERANCES = Tolerances()
