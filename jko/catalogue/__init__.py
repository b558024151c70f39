"""What is known of every functional and engine of the registry: pages, and the matrix of both."""

from jko.catalogue.pages import page
from jko.catalogue.registry import example, names

__all__ = ["example", "names", "page"]
