"""What becomes of each file of other projects' test suites: denoised, skipped or refused, and why."""

from __future__ import annotations

from pathlib import Path

import pydicom
import pytest

from ctdenoise.errors import InputError
from ctdenoise.inference import RunOptions, denoise
from ctdenoise.io.dicom import discover
from tests.conftest import DATA

FLAVOURS = DATA / "dicom-flavours"
CAPTURE = "skipped: not a CT image but Secondary Capture Image Storage"
LOCALIZER = "skipped: a localizer, not a slice of the series"
NO_CODEC = "refused: PixelData (7FE0,0010): pixel data in JPEG {} cannot be decoded"

#: Every file that is not here is denoised.
EXCEPTIONS = {
    "DICOMSamples__CT_Implicit_Little_Headless_Retired.dcm": "skipped: an ACR-NEMA file, older than DICOM",
    "DICOMSamples__CT_JPEG70.dcm": LOCALIZER,
    "data__dicom__j2k.dcm": LOCALIZER,
    "Tests__FO-DICOM.Tests__Test Data__GH342.dcm": LOCALIZER,
    "src__pydicom__data__test_files__dicomdirtests__98892001__CT2N__6293": LOCALIZER,
    "src__pydicom__data__test_files__dicomdirtests__98892001__CT2N__6924": LOCALIZER,
    "testImages__CT0012.fragmented_no_bot_jpeg_baseline.51.dcm": NO_CODEC.format("Extended (Process 2 and 4)"),
    "testImages__CTImage.dcm_JPEGProcess2_4TransferSyntax_1.2.840.10008.1.2.4.51.dcm": NO_CODEC.format(
        "Extended (Process 2 and 4)"
    ),
    "testImages__CTImage.dcm_JPEGProcess10_12TransferSyntax_1.2.840.10008.1.2.4.55.dcm": NO_CODEC.format(
        "Full Progression, Non-Hierarchical (Process 10 and 12)"
    ),
    "testImages__CTImage.dcm_JPEGProcess6_8TransferSyntax_1.2.840.10008.1.2.4.53.dcm": NO_CODEC.format(
        "Spectral Selection, Non-Hierarchical (Process 6 and 8)"
    ),
    **{f"data__WG04__{kind}__SC1_{kind}": CAPTURE for kind in ("J2KI", "J2KR", "JLSL", "JLSN", "JPLL", "JPLY", "RLE")},
    **{f"Tests__FO-DICOM.Tests__Test Data__{n}.dcm": CAPTURE for n in ("GH1728", "GH178", "GH179A", "GH179B")},
    "Tests__FO-DICOM.Tests__Test Data__CT-MONO2-16-ankle": CAPTURE,
    "Tests__FO-DICOM.Tests__Test Data__GH355.dcm": "skipped: not a CT image but 1.3.46.670589.11.0.0.12.1",
    "deid_data__data__humans__ctbrain1.dcm": CAPTURE,
    "deid_data__data__humans__ctbrain2.dcm": CAPTURE,
    **{f"00030{i}.dcm": NO_CODEC.format("2000 Image Compression") for i in range(3)},
}

ASKED = RunOptions(strength=1.0)


def flavours() -> list[Path]:
    return sorted(p for p in FLAVOURS.rglob("*") if p.is_file()) or [Path("absent")]


@pytest.mark.parametrize("path", flavours(), ids=lambda path: path.name)
def test_each_file_has_its_outcome(path, data, tmp_path, identity):
    expected = EXCEPTIONS.get(path.name, "denoised")
    try:
        (result,) = denoise(path, tmp_path, model=identity, options=ASKED).results
        failed = [f"refused: {entry.reason}" for entry in result.manifest.failed]
        found = failed[0] if failed else "denoised"
        written = list(tmp_path.rglob("[0-9]*.dcm"))
        assert len(written) == len(result.manifest.slices) == (0 if failed else 1)
    except InputError:
        (skipped,) = discover(path).skipped
        assert not skipped.failed
        found = f"skipped: {skipped.reason}"
    assert found.startswith(expected)


def test_pydicoms_own_files_are_denoised_or_skipped_with_reasons(tmp_path, identity):
    """What comes with pydicom: a hundred and more files of all kinds, a few of them CT with pixels."""
    outcome = denoise(Path(pydicom.__file__).parent / "data", tmp_path, model=identity, options=ASKED)
    assert sum(len(r.manifest.slices) for r in outcome.results) >= 10
    assert not any(r.manifest.failed for r in outcome.results)
    assert all(s.reason for s in outcome.skipped)
    read = {p.name for p in (Path(pydicom.__file__).parent / "data").rglob("CT_small.dcm")}
    assert not read & {s.path.name for s in outcome.skipped}
