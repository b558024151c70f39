"""Compiled numerics that know no functional."""
