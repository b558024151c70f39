"""Curves between two measures."""
