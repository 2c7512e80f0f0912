"""The sections of the gallery that show what goes wrong."""

from __future__ import annotations

from bench import LUNG, SOFT, Bench, blend, percent
from drawings import REMOVED, draw_panels
from scans import FIELD_MM, SMALL_LESIONS, Scanner

from ctdenoise.evaluation import Window

#: Narrow window for lesions in the heart.
HEART = Window("heart", -20, 110)
#: What was removed, where it is little.
FAINT = Window("removed", -20, 20)
#: A strength that is too low for a tenth of the dose.
WEAK = 0.3


def lost_lesion(bench: Bench) -> str:
    """Lesions of 3 mm at a tenth of the dose."""
    box = bench.scanner.box(4.0, 26.0, 72.0)
    low, clean = bench.scans[0.1], bench.cleaned[0.1]
    images = (("truth", bench.truth), ("full dose", bench.scans[1.0]), ("10 % dose", low), ("10 %, strength 1", clean))
    draw_panels(
        bench.folder / "lost-lesion.png",
        {f"[{HEART.low:g}, {HEART.high:g}] HU": [(title, image[box], HEART) for title, image in images]},
    )
    (_, _, diameter, contrast), *_ = SMALL_LESIONS
    return f"""
The heart has two lesions of {diameter:.0f} mm and ±{abs(contrast):.0f} HU beside larger ones. At 10 % dose the error in soft
tissue is {bench.error(low):.0f} HU; strength 1 leaves {bench.error(clean):.1f} HU of it, and {percent(bench.lesions_left(0.1))}
of the contrast of the small lesions. They cannot be found in the low-dose scan, and the smooth denoised image does not bring
them back: it looks as if nothing had been there. The larger lesions of −20 and +15 HU are hardly better off. What a low dose
does not record, no denoiser restores. [`ctdenoise audit --phantom`](../audit.md#virtual-phantom) measures it in your own
scan."""


def streaks(bench: Bench) -> str:
    """Photon starvation and a sharp kernel."""
    size = bench.size * 4 // 3
    scanner = Scanner(size, FIELD_MM / size)
    (low,) = scanner.scan(bench.objects, [0.02], kernel="sharp")
    estimate = bench.estimate(low, scanner.pixel_mm)
    clean = blend(low, bench.denoised(low), estimate.strength)
    box = scanner.box(0.0, -25.0, 230.0)
    rows = {}
    for window in (SOFT, LUNG):
        pair = (("2 % dose, sharp kernel", low), (f"denoised, {estimate.strength:.2f}", clean))
        panels = [(title, image[box], window) for title, image in pair]
        rows[window.name] = [*panels, ("removed, ±60 HU", (low - clean)[box], REMOVED)]
    draw_panels(bench.folder / "streaks.png", rows)
    muscle = scanner.box(28.0, -60.0, 12.0)  # beside the spine
    before, after = (float(image[muscle].std()) for image in (low, clean))
    warned = f" `ctdenoise run` warns: *{estimate.warnings[0]}*." if estimate.warnings else ""
    return f"""
A fiftieth of the dose and a sharp kernel. Rays through spine and ribs hardly deliver a photon, and their noise makes streaks.
The network takes the longest of them for anatomy: in the muscle beside the spine the standard deviation goes from
{before:.0f} to {after:.0f} HU and no further.{warned} Denoising is no remedy for too few photons."""


def wrong_strength(bench: Bench) -> str:
    """Too much at full dose, too little at a tenth of it."""
    box = bench.scanner.box(-75.0, 10.0, 100.0)
    rows = {}
    (full, full_auto), (low, low_auto) = bench.automatic(1.0), bench.automatic(0.1)
    weak = blend(bench.scans[0.1], bench.cleaned[0.1], WEAK)
    for dose, strength, right, wrong, other in (
        (1.0, full, full_auto, 1.0, bench.cleaned[1.0]),
        (0.1, low, low_auto, WEAK, weak),
    ):
        scan, removed = bench.scans[dose], FAINT if wrong == 1 else REMOVED
        panels = (("scan", scan), (f"automatic, {strength:.2f}", right), (f"--strength {wrong:g}", other))
        rows[f"{percent(dose)} dose"] = [
            *((title, image[box], SOFT) for title, image in panels),
            (f"removed at {wrong:g}, ±{removed.high:g} HU", (scan - other)[box], removed),
        ]
    draw_panels(bench.folder / "wrong-strength.png", rows)
    left = bench.lesions_left(1.0)
    return f"""
Above, strength 1 on a full-dose scan: there is little noise to remove, and the last picture shows edges of vessels that went
with it. Of the contrast of lesions of 3 mm and 20 HU, {percent(left)} is left, where the automatic strength leaves
{percent(1 - full * (1 - left))}. Below, strength {WEAK:g} at a tenth of the dose leaves most of the noise: in soft tissue
{bench.error(bench.scans[0.1]):.1f} → {bench.error(weak):.1f} HU, where the automatic strength reaches
{bench.error(low_auto):.1f} HU. [`--strength audited`](../audit.md#recommendation) takes the highest strength that harms no
structure which an audit can find."""
