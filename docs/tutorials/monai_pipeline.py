# %% [markdown]
# # A MONAI pipeline with `Denoised`
#
# Denoising as one transform among others: load a NIfTI volume, denoise it at the scanner's resolution, then resample and
# segment. The same threshold is applied with and without it.

# %% [markdown]
# ## A volume
#
# Four slices of a thorax phantom at a tenth of the dose, as NIfTI.

# %%
import matplotlib.pyplot as plt
import nibabel
import numpy as np
from monai.transforms import Compose, EnsureChannelFirstd, LoadImaged, Orientationd, Spacingd
from phantoms import FIELD_MM, scan

from ctdenoise.inference.monai_transforms import Denoised

SIZE = 256
truth, _, low_dose = scan((-7.5, -2.5, 2.5, 7.5), size=SIZE)
affine = np.diag([-FIELD_MM / SIZE, -FIELD_MM / SIZE, 5.0, 1.0])
for name, planes in (("truth", truth), ("low-dose", low_dose)):
    nibabel.save(nibabel.Nifti1Image(planes.transpose(2, 1, 0), affine), f"{name}.nii.gz")

# %% [markdown]
# ## Two pipelines
#
# They differ in one line. `Denoised` comes before anything that resamples; the last axis must be the one across slices.


# %%
def pipeline(*denoising):
    """Load, denoise or not, and resample."""
    return Compose(
        [
            LoadImaged("image"),
            EnsureChannelFirstd("image"),
            Orientationd("image", axcodes="PLS", labels=None),
            *denoising,
            Spacingd("image", pixdim=(2.0, 2.0, 5.0)),
        ]
    )


without = pipeline()
with_denoising = pipeline(Denoised("image", "ct-lowdose-lite", strength=1.0))
images = {
    "low dose": without({"image": "low-dose.nii.gz"})["image"][0],
    "denoised": with_denoising({"image": "low-dose.nii.gz"})["image"][0],
    "truth": without({"image": "truth.nii.gz"})["image"][0],
}
print({name: tuple(image.shape) for name, image in images.items()})

# %% [markdown]
# ## Segment by a threshold
#
# Fat, between −150 and −25 HU, in one slice. Noise makes holes and islands.

# %%
masks = {name: (image[..., 2] > -150) & (image[..., 2] < -25) for name, image in images.items()}
for name in ("low dose", "denoised"):
    both = (masks[name] & masks["truth"]).sum()
    print(f"{name}: Dice {2 * both / (masks[name].sum() + masks['truth'].sum()):.3f}")

figure, axes = plt.subplots(2, 3, figsize=(10, 5), layout="constrained")
for column, name in zip(axes.T, images, strict=True):
    column[0].imshow(images[name][..., 2], cmap="gray", vmin=-160, vmax=240)
    column[0].set_title(name)
    column[1].imshow(masks[name], cmap="gray")
for axis in axes.flat:
    axis.axis("off")

# %% [markdown]
# More: [use it in MONAI](../how-to/monai.md), bundles included.
