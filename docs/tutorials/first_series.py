# %% [markdown]
# # First series
#
# From a noisy CT series to a denoised one, and a look at what was done to it. A simulated thorax stands in for a scan; with
# your own series, begin at *Denoise it*.

# %% [markdown]
# ## A series
#
# Three slices of a thorax phantom at a tenth of the full dose, written as DICOM ([phantoms.py](phantoms.py)).

# %%
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from phantoms import scan, write_series
from pydicom import dcmread

from ctdenoise import denoise
from ctdenoise.io.dicom import read_slice

truth, full_dose, low_dose = scan((-5.0, 0.0, 5.0))
study = write_series(Path("study"), low_dose)

# %% [markdown]
# ## Denoise it
#
# As `ctdenoise run study/ -o denoised/` does. Without a strength, noise is measured and about that of a full-dose scan is
# left.

# %%
(result,) = denoise(study, Path("denoised"), model="ct-lowdose").results
manifest = result.manifest
print(f"{len(manifest.slices)} slices, strength {manifest.strength:.2f}, engine {manifest.engine}")

# %% [markdown]
# ## Look at it
#
# The middle slice in a soft-tissue window. What was removed should look like noise, without anatomy.

# %%
source, derived = sorted(study.iterdir())[1], sorted(result.folder.glob("*.dcm"))[1]
low, clean = read_slice(source).hu, read_slice(derived).hu

figure, axes = plt.subplots(1, 4, figsize=(12, 3.2), layout="constrained")
for axis, image, title in zip(axes, (low, clean, truth[1]), ("low dose", "denoised", "truth"), strict=False):
    axis.imshow(image, cmap="gray", vmin=-160, vmax=240)
    axis.set_title(title)
axes[3].imshow(low - clean, cmap="gray", vmin=-60, vmax=60)
axes[3].set_title("removed, ±60 HU")
for axis in axes:
    axis.axis("off")

# %% [markdown]
# Closer to the truth? In the soft-tissue window:

# %%
window = (-160, 240)
for name, hu in (("low dose", low), ("denoised", clean)):
    error = hu.clip(*window) - truth[1].clip(*window)
    print(f"{name}: RMSE {np.sqrt(np.mean(error**2)):.1f} HU, mean error {error.mean():+.2f} HU")

# %% [markdown]
# ## What the files say
#
# A new series in the same study, which names its source and what was done. The source is as it was.

# %%
image = dcmread(derived)
print(image.ImageType)
print(image.SeriesDescription)
print(image.DerivationDescription)
print("names its source:", image.SourceImageSequence[0].ReferencedSOPInstanceUID == dcmread(source).SOPInstanceUID)

# %% [markdown]
# Next: [choose a strength](../how-to/choose-a-strength.md), or [evaluate for a paper](evaluation_for_a_paper.md).
