# %% [markdown]
# # Evaluation for a paper
#
# Two strengths of one model are compared on a simulated low-dose scan: fidelity in named windows with intervals, and the
# noise power spectrum.

# %% [markdown]
# ## Scans
#
# A thorax phantom: its truth, and a scan at a tenth of the full dose. With your own full-dose scans as the reference:
# `ctdenoise simulate full-dose/ -o low-dose/ --dose 0.1`.

# %%
from pathlib import Path

import matplotlib.pyplot as plt
from phantoms import scan, write_series

from ctdenoise import Denoiser, RunOptions, denoise

truth, full_dose, low_dose = scan((-7.5, -2.5, 2.5, 7.5))
reference = write_series(Path("truth"), truth, number=3)
noisy = write_series(Path("low-dose"), low_dose, number=2)

# %% [markdown]
# ## Denoise with two strengths
#
# The strength is stated in each manifest, and belongs in the paper.

# %%
denoiser = Denoiser.from_pretrained("ct-lowdose-lite")
results = {}
for name, strength in (("automatic", None), ("all", 1.0)):
    (result,) = denoise(noisy, Path(name), model=denoiser, options=RunOptions(strength=strength)).results
    results[name] = result
    print(f"{name}: strength {result.manifest.strength:.2f}")

# %% [markdown]
# ## Measure
#
# As `ctdenoise evaluate --reference truth --noisy low-dose --test automatic=… --test all=… -o out/` does. Both write
# `report.html`, `metrics.csv` and `metrics.json`.

# %%
from ctdenoise.evaluation import WINDOWS
from ctdenoise.evaluation.evaluate import evaluate
from ctdenoise.evaluation.pairing import align
from ctdenoise.evaluation.protocols import Measurement
from ctdenoise.evaluation.results import write_results
from ctdenoise.evaluation.stacks import open_stack

folders = {"reference": reference, "noisy": noisy, **{name: result.folder for name, result in results.items()}}
aligned = align({name: open_stack(folder) for name, folder in folders.items()})
measurements = [Measurement(WINDOWS[name], ("psnr", "ssim", "rmse")) for name in ("soft-tissue", "lung")]
evaluation = evaluate(aligned, measurements, protocol="usual")
write_results(evaluation, aligned, Path("out"))
for row in evaluation.fidelity:
    low, high = row.ci95
    print(f"{row.window:12} {row.metric:5} {row.image:10} {row.mean:8.3f} {row.unit:3} [{low:.3f}, {high:.3f}]")

# %% [markdown]
# The intervals are over the slices of one phantom, which are not independent. In a paper, give intervals over patients.
#
# ## Noise
#
# A lower curve means less noise. A curve whose peak moves to the left means coarser noise, which readers notice.

# %%
figure, axis = plt.subplots(figsize=(7, 3.6), layout="constrained")
for name, image in evaluation.physics.images.items():
    if image.noise and name != "reference":
        axis.plot(image.noise.frequency, image.noise.nps, label=f"{name}: σ {image.noise.std_hu:.1f} HU")
axis.set_xlabel(f"frequency / {evaluation.physics.frequency_unit}")
axis.set_ylabel("noise power / HU² mm²")
axis.legend()

# %% [markdown]
# [Image quality](../evaluation.md) defines every number; `--protocol redcnn`, `ldct-benchmark` and `paper` measure as
# publications do.
