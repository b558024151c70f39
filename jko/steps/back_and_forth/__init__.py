"""The JKO step by the back-and-forth method, dual ascent on a grid."""

from jko.steps.back_and_forth.scheme import BackAndForth

__all__ = ["BackAndForth"]
