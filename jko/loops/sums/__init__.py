"""Sums of kernels over pairs."""
