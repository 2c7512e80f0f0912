# %% [markdown]
# # Audit a result
#
# Was a lesion removed? Was something made up? `ctdenoise audit` compares a derived series of any program with its source,
# without a reference. Here it judges a denoised series, and the same series after a lesion was erased from it.

# %% [markdown]
# ## Source and derived series
#
# Three slices of a thorax phantom whose heart has a lesion of 12 mm, 30 HU brighter than its surroundings.

# %%
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from phantoms import FIELD_MM, scan, write_series

from ctdenoise import Denoiser, denoise
from ctdenoise.io.dicom import read_slice

truth, full_dose, low_dose = scan((-5.0, 0.0, 5.0))
source = write_series(Path("source"), full_dose)
(result,) = denoise(source, Path("denoised"), model=Denoiser.from_pretrained("ct-lowdose-lite")).results
print(f"strength {result.manifest.strength:.2f}")

# %% [markdown]
# ## Audit it
#
# As `ctdenoise audit source/ denoised/1001-…/ -o audit/` does. What was changed is judged against the noise of the source.

# %%
from ctdenoise.audit.entry import audit

honest = audit(source, result.folder, Path("audit"))
print(honest.sentence)
print(honest.recommendation.sentence)

# %% [markdown]
# ## Erase the lesion
#
# What a network might do that has learned what hearts usually look like: the lesion is gone, the rest stays.

# %%
rows, columns = np.indices(truth.shape[1:])
pixel_mm = FIELD_MM / truth.shape[-1]
middle = truth.shape[-1] // 2
row, column = middle - 36 / pixel_mm, middle + 14 / pixel_mm  # in front of the centre, to the left
distance = np.hypot(rows - row, columns - column) * pixel_mm
lesion = 30.0 * np.clip((6.0 + pixel_mm / 2 - distance) / pixel_mm, 0, 1)

clean = np.stack([read_slice(path).hu for path in sorted(result.folder.glob("*.dcm"))])
tampered = clean.copy()
tampered[1] -= lesion.astype(np.float32)
erased = audit(source, write_series(Path("erased"), tampered, number=9), Path("audit-erased"))
print(erased.sentence)
for reason in erased.reasons:
    print(f"- {reason.kind}: {reason.text}")

# %% [markdown]
# ## Look where it points
#
# The largest structure that was removed from each slice, with the probability that noise alone would give such a one
# anywhere in the slice.

# %%
for name, one in (("denoised", honest), ("lesion erased", erased)):
    spot = one.slices[1].removed
    print(f"{name}: row {spot.row}, column {spot.column}, {spot.diameter_mm:.1f} mm, z {spot.z:.1f}, p {spot.p:.2g}")

figure, axes = plt.subplots(1, 4, figsize=(12, 3.4), layout="constrained")
spot = erased.slices[1].removed
box = np.s_[middle - 70 : middle + 30, middle - 50 : middle + 50]
panels = (("source", full_dose[1]), ("denoised", clean[1]), ("lesion erased", tampered[1]))
for axis, (title, image) in zip(axes, panels, strict=False):
    axis.imshow(image[box], cmap="gray", vmin=-60, vmax=140)
    axis.set_title(title)
axes[3].imshow((full_dose[1] - tampered[1])[box], cmap="gray", vmin=-60, vmax=60)
axes[3].set_title("removed, ±60 HU")
for axis in axes[2:]:
    corner = spot.column - (middle - 50), spot.row - (middle - 70)
    axis.add_patch(plt.Circle(corner, 8, fill=False, color="tab:red"))
for axis in axes:
    axis.axis("off")

# %% [markdown]
# `audit/` and `audit-erased/` have the whole of it: `audit.html`, a page with pictures, and `audit.json`. How the verdict is
# reached, how often it is right, and what it cannot see: [Audit](../audit.md). In one command with denoising:
# `ctdenoise run study/ -o denoised/ --audit`.
