"""Entropic transport and Schrödinger bridges."""
