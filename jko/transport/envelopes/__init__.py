"""Moreau envelopes of functions and of functionals."""
