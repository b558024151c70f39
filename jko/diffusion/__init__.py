"""An SDE as paths, as a density and as an ODE; scores, their parametrisations and samplers."""

from jko.diffusion.churn import Churn
from jko.diffusion.clouds import eight_gaussians, two_moons
from jko.diffusion.consistency import ConsistencyFunction
from jko.diffusion.ddpm import DDPM, EvidenceBound
from jko.diffusion.density_path import DensityPath
from jko.diffusion.finite_generator import FiniteGenerator, FiniteLaw, FinitePaths, words
from jko.diffusion.flow import Flow, LogDensityEstimate
from jko.diffusion.flow_matching import flow_matching
from jko.diffusion.gaussian_path import GaussianPath, MarginalPath
from jko.diffusion.jumping_path import ExactJumping, JumpingPath, MatchedGenerator, generator_matching
from jko.diffusion.jumps import Jumps, Kernel, LawKernel, MixtureKernel, PointsKernel
from jko.diffusion.learnt_consistency import (
    LearntConsistency,
    consistency_distillation,
    consistency_sample,
    consistency_training,
)
from jko.diffusion.markov_generator import Generator
from jko.diffusion.masked_words import FiniteConditionalPaths, MatchedWords, masked_matching
from jko.diffusion.matched_flow import MatchedFlow
from jko.diffusion.named import ornstein_uhlenbeck, reversible, variance_exploding, variance_preserving
from jko.diffusion.noised_mixture import NoisedMixture
from jko.diffusion.parametrisation import PARAMETRISATIONS, convert
from jko.diffusion.paths import Paths
from jko.diffusion.preferences import (
    FinitePreferenceFit,
    PreferenceFit,
    Preferences,
    bradley_terry_shares,
    drawn_preferences,
    preference_fit,
    preference_table,
    tilted_probabilities,
)
from jko.diffusion.preferred_flow import preferred_flow
from jko.diffusion.samplers import METHODS, evaluations, even_times, guided, sample
from jko.diffusion.schedule import Schedule
from jko.diffusion.score_matching import LearntScore, score_matching
from jko.diffusion.scores import circulation, curl, kernel_score, log_density_difference
from jko.diffusion.sde import SDE
from jko.diffusion.tilted_mixture import TiltedMixture
from jko.diffusion.training import Training
from jko.diffusion.untrained_guidance import (
    LinearObservation,
    TwistedSample,
    denoiser,
    loss_guided,
    spread_guided,
    twisted_sampler,
)
from jko.diffusion.views import Views

__all__ = [
    "DDPM",
    "METHODS",
    "PARAMETRISATIONS",
    "SDE",
    "Churn",
    "ConsistencyFunction",
    "DensityPath",
    "EvidenceBound",
    "ExactJumping",
    "FiniteConditionalPaths",
    "FiniteGenerator",
    "FiniteLaw",
    "FinitePaths",
    "FinitePreferenceFit",
    "Flow",
    "GaussianPath",
    "Generator",
    "JumpingPath",
    "Jumps",
    "Kernel",
    "LawKernel",
    "LearntConsistency",
    "LearntScore",
    "LinearObservation",
    "LogDensityEstimate",
    "MarginalPath",
    "MatchedFlow",
    "MatchedGenerator",
    "MatchedWords",
    "MixtureKernel",
    "NoisedMixture",
    "Paths",
    "PointsKernel",
    "PreferenceFit",
    "Preferences",
    "Schedule",
    "TiltedMixture",
    "Training",
    "TwistedSample",
    "Views",
    "bradley_terry_shares",
    "circulation",
    "consistency_distillation",
    "consistency_sample",
    "consistency_training",
    "convert",
    "curl",
    "denoiser",
    "drawn_preferences",
    "eight_gaussians",
    "evaluations",
    "even_times",
    "flow_matching",
    "generator_matching",
    "guided",
    "kernel_score",
    "log_density_difference",
    "loss_guided",
    "masked_matching",
    "ornstein_uhlenbeck",
    "preference_fit",
    "preference_table",
    "preferred_flow",
    "reversible",
    "sample",
    "score_matching",
    "spread_guided",
    "tilted_probabilities",
    "twisted_sampler",
    "two_moons",
    "variance_exploding",
    "variance_preserving",
    "words",
]
