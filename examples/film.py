"""
The film of the theorem
=======================

Benamou and Brenier:
:math:`W_2^2(\\alpha_0, \\alpha_1) = \\min \\int_0^1\\int |v_t|^2\\,d\\alpha_t\\,dt` under
:math:`\\partial_t\\alpha + \\nabla\\cdot(\\alpha v) = 0`. Two spiral galaxies, the bridge of their product
coupling, the river of least kinetic energy, the forge of Brenier's map, and both values side by side: five
scenes, and every number on the screen computed here.
"""

import sys

from jko.films.theorem import Theorem, theorem_film
from jko.films.theorem.film import write_stills

folder = sys.argv[1] if len(sys.argv) > 1 else "results"

# %%
# The exact plan between 4000 and 4000 stars, and a fluid on a grid that knows of no plan: one value.

theorem = Theorem.of()
print(f"W2² by the exact plan {theorem.static:.4f}, dynamically {theorem.dynamic_value:.4f}")
print(f"the product coupling pays {theorem.product:.4f}, the detour {theorem.detour:.4f}")

# %%
# A picture of each scene, and five seconds of all five as a GIF. The whole minute, at 1280 × 720 and 30
# frames a second, is ``jko film``, or ``python examples/film.py results film.mp4``.

# {folder}/film_1.png, {folder}/film_2.png, {folder}/film_3.png, {folder}/film_4.png, {folder}/film_5.png
write_stills(theorem, folder)
theorem_film(f"{folder}/film.gif", theorem=theorem, seconds=5.0)
if len(sys.argv) > 2:
    theorem_film(sys.argv[2], theorem=theorem, progress=True)
