"""What other programs say about a derived series, beside what they say about its source."""

from __future__ import annotations

import os
import shutil
import subprocess
import sysconfig
from pathlib import Path

import pytest
import SimpleITK
from ctdenoise.inference.files import process_path
from ctdenoise.inference.simulation import low_dose
from pydicom import dcmread

from ctdenoise.inference import RunOptions, denoise_folder
from ctdenoise.io.dicom import discover
from ctdenoise.noise.lowdose import KERNELS
from tests.conftest import Halve, real_series

Pairs = list[tuple[Path, Path]]


@pytest.fixture(scope="module", params=real_series())
def pairs(request, data, tmp_path_factory) -> Pairs:
    """Source and derived files of a real series, in slice order."""
    from ctdenoise import Denoiser

    source = data / "ct" / request.param
    output = tmp_path_factory.mktemp(request.param)
    (result,) = Denoiser(Halve()).denoise_series(source, output)
    slices = discover(source).series[0].slices
    return [(s.path, result.folder / r["file"]) for s, r in zip(slices, result.manifest["slices"], strict=True)]


def tool(name: str, package: str) -> str:
    # Not from this environment, where python-gdcm has a gdcminfo of its own, which prints nothing: other programs.
    own = sysconfig.get_path("scripts")
    elsewhere = os.pathsep.join(folder for folder in os.get_exec_path() if folder != own)
    path = shutil.which(name, path=elsewhere)
    if path is None:
        pytest.skip(f"{name} is not installed (Debian: apt-get install {package})")
    return path


def complaints(program: str, path: Path) -> set[str]:
    """Errors and warnings of dciodvfy; its exit status does not tell."""
    result = subprocess.run([program, path], capture_output=True, text=True, errors="replace", check=False)
    lines = (result.stdout + result.stderr).splitlines()
    return {line for line in lines if line.startswith(("Error", "Warning"))}


def test_dciodvfy_finds_nothing_new(pairs):
    program = tool("dciodvfy", "dicom3tools")
    for source, derived in pairs[:: max(1, len(pairs) // 4)]:
        assert complaints(program, derived) - complaints(program, source) == set()


def test_dcentvfy_finds_source_and_derived_of_one_study(pairs):
    program = tool("dcentvfy", "dicom3tools")

    def entity_errors(files: list[Path]) -> set[str]:
        result = subprocess.run([program, *files], capture_output=True, text=True, errors="replace", check=False)
        return {line for line in (result.stdout + result.stderr).splitlines() if line.startswith("Error")}

    some = pairs[:6]
    alone = entity_errors([source for source, _ in some])
    together = entity_errors([path for pair in some for path in pair])
    assert {line.split(" - ")[-1] for line in together} <= {line.split(" - ")[-1] for line in alone}


def test_dcmtk_reads_every_file(pairs):
    program = tool("dcmftest", "dcmtk")
    result = subprocess.run([program, *(d for _, d in pairs)], capture_output=True, text=True, check=False)
    assert result.stdout.count("yes:") == len(pairs)


def test_simpleitk_finds_the_same_geometry(pairs):
    volumes = []
    for files in zip(*pairs, strict=True):
        reader = SimpleITK.ImageSeriesReader()
        reader.SetFileNames([str(f) for f in files])
        volumes.append(reader.Execute())
    source, derived = volumes
    assert derived.GetSize() == source.GetSize()
    assert derived.GetSpacing() == source.GetSpacing()
    assert derived.GetOrigin() == source.GetOrigin()
    assert derived.GetDirection() == source.GetDirection()


def test_gdcm_reads_every_file(pairs):
    program = tool("gdcminfo", "libgdcm-tools")
    for _, derived in pairs[:: max(1, len(pairs) // 4)]:
        result = subprocess.run([program, derived], capture_output=True, text=True, errors="replace", check=False)
        assert result.returncode == 0
        assert "CT Image Storage" in result.stdout


def test_dcm2niix_finds_the_same_geometry(pairs, tmp_path):
    program = tool("dcm2niix", "dcm2niix")
    affines = []
    for role, files in zip(("source", "derived"), zip(*pairs, strict=True), strict=True):
        folder = tmp_path / role
        (folder / "out").mkdir(parents=True)
        for number, file in enumerate(files):
            (folder / f"{number:04d}.dcm").symlink_to(file)
        call = [program, "-b", "n", "-f", "%s_", "-o", folder / "out", folder]
        subprocess.run(call, capture_output=True, check=False)
        images = [SimpleITK.ReadImage(p) for p in sorted((folder / "out").glob("*.nii"))]
        affines.append([(i.GetSize(), i.GetSpacing(), i.GetOrigin(), i.GetDirection()) for i in images])
    assert affines[0] == affines[1]


def test_own_invariants_hold_that_validators_miss(pairs):
    sources, deriveds = zip(*((dcmread(s), dcmread(d)) for s, d in pairs), strict=True)
    uids = {d.SOPInstanceUID for d in deriveds}
    assert len(uids) == len(deriveds)
    assert not uids & {s.SOPInstanceUID for s in sources}
    assert len({d.SeriesInstanceUID for d in deriveds}) == 1
    for source, derived in zip(sources, deriveds, strict=True):
        assert derived.file_meta.MediaStorageSOPInstanceUID == derived.SOPInstanceUID
        assert derived.SourceImageSequence[0].ReferencedSOPInstanceUID == source.SOPInstanceUID
        assert list(derived.ImageType)[:2] == ["DERIVED", "SECONDARY"]
        for keyword in KEPT:
            assert derived.get(keyword) == source.get(keyword), keyword


#: What is the same in a derived image, bit for bit.
KEPT = (
    *("StudyInstanceUID", "FrameOfReferenceUID", "PatientID", "ImagePositionPatient", "ImageOrientationPatient"),
    *("PixelSpacing", "SliceThickness", "GantryDetectorTilt", "Rows", "Columns", "RescaleSlope", "RescaleIntercept"),
    *("BitsAllocated", "BitsStored", "PixelRepresentation", "PixelPaddingValue", "WindowCenter", "WindowWidth"),
    *("ConvolutionKernel", "KVP", "LossyImageCompression", "LossyImageCompressionRatio", "InstanceNumber"),
)


@pytest.mark.parametrize(
    "options",
    [
        {"transfer_syntax": "rle"},
        {"transfer_syntax": "jpeg-ls"},
        {"transfer_syntax": "jpeg-2000"},
        {"drop_private": True},
        {"deidentify": True},
        {"random_uids": True},
    ],
    ids=str,
)
def test_dciodvfy_finds_nothing_new_with_any_option(options, data, tmp_path, halve):
    program = tool("dciodvfy", "dicom3tools")
    for name in ("lidc-0001", "ge-hispeed-tilt"):
        source = data / "ct" / name
        (result,) = denoise_folder(halve, source, tmp_path / name, options=RunOptions(**options)).results
        derived = result.folder / result.manifest["slices"][0]["file"]
        new = complaints(program, derived) - complaints(program, discover(source).series[0].slices[0].path)
        # What de-identification empties (PS3.15 table E.1-1, action Z) a DICOMDIR would need.
        assert not {line for line in new if "needed to build DICOMDIR - Study" not in line}


@pytest.mark.parametrize("name", real_series())
def test_dciodvfy_finds_nothing_new_in_a_simulated_dose(name, data, tmp_path):
    program = tool("dciodvfy", "dicom3tools")
    first = discover(data / "ct" / name).series[0].slices[0].path
    process = low_dose(0.25, photons=1e6, kernel=KERNELS["smooth"])
    (result,) = process_path(process, first, tmp_path, options=RunOptions()).results
    derived = result.folder / result.manifest["slices"][0]["file"]
    assert complaints(program, derived) - complaints(program, first) == set()


@pytest.mark.parametrize("classic", [False, True])
@pytest.mark.parametrize("name", ["dcmqi_BSD/*multiframe__mf.dcm", "dicomParser_MIT/*multi-frame__CT0012.explicit*"])
def test_dciodvfy_finds_no_new_error_in_enhanced_ct(name, classic, data, tmp_path, halve):
    program = tool("dciodvfy", "dicom3tools")
    (source,) = (data / "dicom-flavours").glob(name)
    (result,) = denoise_folder(halve, source, tmp_path, options=RunOptions(classic=classic)).results
    for record in result.manifest["slices"]:
        new = complaints(program, result.folder / record["file"]) - complaints(program, source)
        assert not {line for line in new if line.startswith("Error")}
