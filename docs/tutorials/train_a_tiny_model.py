# %% [markdown]
# # Train a tiny model
#
# The whole way from DICOM files to a model of one's own, in seconds: data of two patients, a training, an export, a run. So
# few iterations teach a network little; the commands are those of a real training.

# %% [markdown]
# ## Patients
#
# Phantoms stand in for two patients; the last one validates. Full-dose series with little noise are what is needed.

# %%
import subprocess
import sys
from pathlib import Path

import matplotlib.pyplot as plt
from phantoms import scan, write_series

from ctdenoise.io.dicom import read_slice

first = scan((-30.0, -20.0, -10.0, 0.0, 10.0, 20.0), size=128, views=180)
second = scan((-25.0, 5.0), size=128, views=180)
write_series(Path("patients/a"), first[0], patient="A")
write_series(Path("patients/b"), second[0], patient="B")
low_dose = write_series(Path("low-dose"), second[2], patient="B", number=2)

# %% [markdown]
# ## Train
#
# `dncnn` is one of the baselines of the pipeline, and trains fast; without that option, the paper's network is trained. If
# the command is interrupted, the same command continues.


# %%
def ctdenoise(*arguments):
    """Run a command, as in a shell."""
    subprocess.run([sys.executable, "-W", "ignore", "-m", "ctdenoise", *map(str, arguments)], check=True)


data = ["--dataset_dir", "patients", "--output_dir", "training", "--network#architecture", "dncnn"]
small = ["--iterations", 20, "--iterations_per_epoch", 10, "--crop", 48, "--batch_size", 4]
ctdenoise("train", "ct_lowdose", *data, *small)
ctdenoise("export", "ct_lowdose", *data, *small, "--model_dir", "my-model")

# %% [markdown]
# ## Use it
#
# A model is a folder; `--model my-model` takes it wherever a name of a model that ships is taken.

# %%
ctdenoise("run", low_dose, "-o", "denoised", "--model", "my-model", "--strength", 1)

derived = sorted(Path("denoised").rglob("*.dcm"))[0]
figure, axes = plt.subplots(1, 3, figsize=(9, 3.2), layout="constrained")
images = {"noisy": second[2][0], "after 20 iterations": read_slice(derived).hu, "truth": second[0][0]}
for axis, (title, hu) in zip(axes, images.items(), strict=True):
    axis.imshow(hu, cmap="gray", vmin=-160, vmax=240)
    axis.set_title(title)
    axis.axis("off")

# %% [markdown]
# A real training: [train on my data](../how-to/train.md).
