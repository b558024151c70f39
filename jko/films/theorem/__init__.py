"""The theorem of Benamou and Brenier in five scenes, each in a file of its own, from computed numbers."""

from jko.films.theorem.film import theorem_film
from jko.films.theorem.numbers import Theorem

__all__ = ["Theorem", "theorem_film"]
