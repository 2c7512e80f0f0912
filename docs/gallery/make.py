"""Make the gallery: ``python docs/gallery/make.py -o FOLDER`` writes index.md and its pictures.

Everything is simulated, but for one scan where the variable ``CTDENOISE_TEST_DATA`` names a folder with real ones.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import failures
import sections
from bench import Bench
from own_data import own_scan

from ctdenoise import Denoiser

TITLE = """# Gallery

What `{model}` does to a thorax phantom, good and bad. One slice is scanned at several doses and
denoised; every figure in the captions was measured as the page was made. Windows are those of
[`ctdenoise evaluate`](../evaluation.md). Click on a picture for its full size. **Not for diagnostic use.**

Made by `python docs/gallery/make.py -o FOLDER`, in a clone of the repository.
"""
#: Sections: name of the picture, heading, text for readers who do not see it, and what draws it.
SECTIONS = (
    ("windows", "Before, after, removed", "Scan, denoised, truth and removed noise in three windows", sections.windows),
    ("doses", "Dose series", "Scan, denoised and removed noise at four doses", sections.doses),
    ("nps", "Noise power", "Noise power spectra by dose, before and after", sections.noise_power),
    ("ttf", "Resolution", "Task transfer functions at three contrasts, before and after", sections.task_transfer),
    ("kernels", "Kernels", "Scan, denoised and removed noise for three kernels", sections.kernels),
)
FAILURES = (
    ("lost-lesion", "A lesion that is lost", "The heart: truth, full dose, low dose, denoised", failures.lost_lesion),
    ("streaks", "Streaks stay", "Streaks about the spine before and after", failures.streaks),
    ("wrong-strength", "The wrong strength", "Automatic and wrong strengths side by side", failures.wrong_strength),
)


def make_gallery(folder: Path, denoiser: Denoiser, *, size: int = 320, data: Path | None = None) -> None:
    """Write ``index.md`` and its pictures.

    Parameters
    ----------
    folder
        For the files; made if it is not there.
    denoiser
        The model to show.
    size
        Rows and columns of the thorax.
    data
        Folder with real scans in ``ct/``; None for simulated ones only.
    """
    folder.mkdir(parents=True, exist_ok=True)
    bench = Bench(folder, denoiser, size)
    name = denoiser.description.name if denoiser.description else "a custom model"
    page = [TITLE.format(model=name)]
    page += [_section("##", *section[:3], section[3](bench)) for section in SECTIONS]
    page += ["## What goes wrong\n", *(_section("###", *section[:3], section[3](bench)) for section in FAILURES)]
    if data:
        page.append(_section("##", "own-scan", "A real scan", "A real slice in three windows", own_scan(bench, data)))
    (folder / "index.md").write_text("\n".join(page), encoding="utf-8")


def _section(level: str, name: str, title: str, seen: str, caption: str) -> str:
    return f"{level} {title}\n\n[![{seen}]({name}.png)]({name}.png)\n{caption}\n"


def main() -> None:
    """Read the arguments and make the gallery."""
    parser = argparse.ArgumentParser(description="Make the gallery of the documentation.")
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder for index.md and its pictures")
    parser.add_argument("--model", default="ct-lowdose", help="model to show")
    arguments = parser.parse_args()
    data = os.environ.get("CTDENOISE_TEST_DATA")
    make_gallery(arguments.output, Denoiser.from_pretrained(arguments.model), data=Path(data) if data else None)


if __name__ == "__main__":
    main()
