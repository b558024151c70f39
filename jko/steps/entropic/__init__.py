"""The JKO step with entropic transport, by scaling."""

from jko.steps.entropic.scheme import Entropic

__all__ = ["Entropic"]
