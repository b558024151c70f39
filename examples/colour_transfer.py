"""
Colour transfer between two pictures
====================================

The colours of a picture are a measure on the cube of red, green and blue. The optimal map between two
gives one picture the palette of the other; the gradient of a convex function, it keeps colours in order.
"""

import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.cbook import get_sample_data

import jko

folder = sys.argv[1] if len(sys.argv) > 1 else "results"
with get_sample_data("grace_hopper.jpg") as file:
    portrait = plt.imread(file)[::3, ::3] / 255.0
with get_sample_data("Minduka_Present_Blue_Pack.png") as file:
    present = plt.imread(file)
opaque, seen = present[..., 3] > 0.9, present[..., 3] > 0.1
cube = jko.Grid.uniform(lower=(-0.1,) * 3, upper=(1.1,) * 3, cells=(24,) * 3)
first, second = portrait.reshape(-1, 3), present[opaque][:, :3]
palettes = [jko.Density.kernel_estimate(jko.Particles(c), cube, bandwidth=0.045) for c in (first, second)]

# %%
# Both maps come with their checks.

there, back = jko.transport.brenier_map(*palettes), jko.transport.brenier_map(*reversed(palettes))
for T in (there, back):
    print(f"convex up to {T.convexity_defect:.1e}, {T.pushforward_error:.3f} from its target in W2")
print(f"W2 between the palettes: {jko.wasserstein(*palettes):.3f}")

image = there(first)
recoloured, half_way = (np.clip(c, 0.0, 1.0).reshape(portrait.shape) for c in (image, 0.5 * (first + image)))
wrapped = present.copy()
wrapped[seen, :3] = np.clip(back(present[seen, :3]), 0.0, 1.0)

# %%
# Half-way along the displacement of the colours is a picture too.

figure, panels = plt.subplots(
    1, 5, figsize=(13, 3.4), width_ratios=(1, 1, 1, 1.17, 1.17), layout="constrained"
)
shown = {
    "portrait": portrait,
    "half-way": half_way,
    "in the colours of the present": recoloured,
    "present": present,
    "in the colours of the portrait": wrapped,
}
for axes, (title, picture) in zip(panels, shown.items(), strict=True):
    axes.imshow(picture)
    axes.set_title(title, fontsize=10)
    axes.set_axis_off()
Path(folder).mkdir(parents=True, exist_ok=True)
figure.savefig(f"{folder}/colour_transfer.png", dpi=110)
