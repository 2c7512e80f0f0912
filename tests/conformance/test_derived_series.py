"""Other programs find nothing in a derived series that they do not find in its source."""

from __future__ import annotations

import os
import shutil
import subprocess
import sysconfig
from dataclasses import dataclass
from pathlib import Path

import pytest
import SimpleITK
from pydicom import dcmread

from ctdenoise.inference import Denoiser, apply_operation
from ctdenoise.inference.dose_reduction import DoseReductionRequest
from ctdenoise.io.dicom import discover
from ctdenoise.io.dicom.deidentify import Deidentification
from ctdenoise.noise.lowdose import KERNELS
from tests.conftest import Halve, real_series, run_series

KINDS = {"plain": None, "deidentified": Deidentification()}


@dataclass(frozen=True)
class Derived:
    """Source and derived files of a real series, in slice order."""

    pairs: list[tuple[Path, Path]]
    deidentification: Deidentification | None

    @property
    def some(self) -> list[tuple[Path, Path]]:
        """Four or five pairs, evenly spread."""
        return self.pairs[:: max(1, len(self.pairs) // 4)]


@pytest.fixture(scope="module", params=[(name, kind) for name in real_series() for kind in KINDS], ids="-".join)
def derived(request, data, tmp_path_factory) -> Derived:
    name, kind = request.param
    source, output = data / "ct" / name, tmp_path_factory.mktemp(f"{name}-{kind}")
    result = run_series(Denoiser(Halve()), source, output, deidentification=KINDS[kind])
    slices = discover(source).series[0].slices
    pairs = [(s.path, result.folder / r.file) for s, r in zip(slices, result.manifest.slices, strict=True)]
    return Derived(pairs, KINDS[kind])


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


def test_dciodvfy_finds_nothing_new(derived):
    program = tool("dciodvfy", "dicom3tools")
    for source, result in derived.some:
        new = complaints(program, result) - complaints(program, source)
        if derived.deidentification:
            # The profile empties what a DICOMDIR and other attributes would need; nothing of it is an error.
            new = {line for line in new if line.startswith("Error")}
        assert new == set()


def test_dcentvfy_finds_source_and_derived_of_one_study(derived):
    program = tool("dcentvfy", "dicom3tools")

    def entity_errors(files: list[Path]) -> set[str]:
        result = subprocess.run([program, *files], capture_output=True, text=True, errors="replace", check=False)
        return {line for line in (result.stdout + result.stderr).splitlines() if line.startswith("Error")}

    some = derived.pairs[:6]
    alone = entity_errors([source for source, _ in some])
    together = entity_errors([path for pair in some for path in pair])
    assert {line.split(" - ")[-1] for line in together} <= {line.split(" - ")[-1] for line in alone}


def test_dcmtk_reads_every_file(derived):
    program = tool("dcmftest", "dcmtk")
    result = subprocess.run([program, *(d for _, d in derived.pairs)], capture_output=True, text=True, check=False)
    assert result.stdout.count("yes:") == len(derived.pairs)


def test_simpleitk_finds_the_same_geometry(derived):
    volumes = []
    for files in zip(*derived.pairs, strict=True):
        reader = SimpleITK.ImageSeriesReader()
        reader.SetFileNames([str(f) for f in files])
        volumes.append(reader.Execute())
    before, after = volumes
    assert after.GetSize() == before.GetSize()
    assert after.GetSpacing() == before.GetSpacing()
    assert after.GetOrigin() == before.GetOrigin()
    assert after.GetDirection() == before.GetDirection()


def test_gdcm_reads_every_file(derived):
    program = tool("gdcminfo", "libgdcm-tools")
    for _, path in derived.some:
        result = subprocess.run([program, path], capture_output=True, text=True, errors="replace", check=False)
        assert result.returncode == 0
        assert "CT Image Storage" in result.stdout


def test_dcm2niix_finds_the_same_geometry(derived, tmp_path):
    program = tool("dcm2niix", "dcm2niix")
    affines = []
    for role, files in zip(("source", "derived"), zip(*derived.pairs, strict=True), strict=True):
        folder = tmp_path / role
        (folder / "out").mkdir(parents=True)
        for number, file in enumerate(files):
            (folder / f"{number:04d}.dcm").symlink_to(file)
        call = [program, "-b", "n", "-f", "%s_", "-o", folder / "out", folder]
        subprocess.run(call, capture_output=True, check=False)
        images = [SimpleITK.ReadImage(p) for p in sorted((folder / "out").glob("*.nii"))]
        affines.append([(i.GetSize(), i.GetSpacing(), i.GetOrigin(), i.GetDirection()) for i in images])
    if not affines[0]:
        pytest.skip("this dcm2niix cannot read the source (Debian's has no JPEG-LS)")
    assert affines[0] == affines[1]


def test_own_invariants_hold_that_validators_miss(derived):
    sources, results = zip(*((dcmread(s), dcmread(d)) for s, d in derived.pairs), strict=True)
    uids = {d.SOPInstanceUID for d in results}
    assert len(uids) == len(results)
    assert not uids & {s.SOPInstanceUID for s in sources}
    assert len({d.SeriesInstanceUID for d in results}) == 1
    pseudonym = derived.deidentification.uid if derived.deidentification else str
    for source, result in zip(sources, results, strict=True):
        assert result.file_meta.MediaStorageSOPInstanceUID == result.SOPInstanceUID
        reference = result.SourceImageSequence[0].ReferencedSOPInstanceUID
        assert reference == pseudonym(source.SOPInstanceUID)
        assert list(result.ImageType)[:2] == ["DERIVED", "SECONDARY"]
        for keyword in KEPT:
            assert result.get(keyword) == source.get(keyword), keyword
        if derived.deidentification:
            assert result.PatientID != source.PatientID
            assert result.StudyInstanceUID == pseudonym(source.StudyInstanceUID)
        else:
            for keyword in KEPT_WITH_IDENTITY:
                assert result.get(keyword) == source.get(keyword), keyword


#: Equal in source and derived image, bit for bit.
KEPT = (
    *("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SliceThickness", "GantryDetectorTilt"),
    *("Rows", "Columns", "RescaleSlope", "RescaleIntercept", "BitsAllocated", "BitsStored", "PixelRepresentation"),
    *("PixelPaddingValue", "WindowCenter", "WindowWidth", "KVP", "LossyImageCompression", "InstanceNumber"),
)
#: Equal unless the image is de-identified.
KEPT_WITH_IDENTITY = (
    *("StudyInstanceUID", "FrameOfReferenceUID", "PatientID", "ConvolutionKernel", "LossyImageCompressionRatio"),
)


@pytest.mark.parametrize(
    "options",
    [
        {"transfer_syntax": "rle"},
        {"transfer_syntax": "jpeg-ls"},
        {"transfer_syntax": "jpeg-2000"},
        {"drop_private": True},
        {"deidentification": Deidentification(patient_id="X1", patient_name="Doe^J", key="0123456789abcdef")},
        {"deidentification": Deidentification(), "drop_private": True, "random_uids": True},
        {"random_uids": True},
    ],
    ids=str,
)
def test_dciodvfy_finds_nothing_new_with_any_option(options, data, tmp_path, halve):
    program = tool("dciodvfy", "dicom3tools")
    for name in ("lidc-0001", "ge-hispeed-tilt"):
        source = data / "ct" / name
        result = run_series(halve, source, tmp_path / name, **options)
        path = result.folder / result.manifest.slices[0].file
        new = complaints(program, path) - complaints(program, discover(source).series[0].slices[0].path)
        if "deidentification" in options:
            new = {line for line in new if line.startswith("Error")}
        assert not {line for line in new if "needed to build DICOMDIR - Study ID" not in line}


@pytest.mark.parametrize("name", real_series())
def test_dciodvfy_finds_nothing_new_in_a_simulated_dose(name, data, tmp_path):
    program = tool("dciodvfy", "dicom3tools")
    first = discover(data / "ct" / name).series[0].slices[0].path
    request = DoseReductionRequest(dose=0.25, photons=1e6, kernel=KERNELS["smooth"])
    (result,) = apply_operation(request, first, tmp_path).results
    path = result.folder / result.manifest.slices[0].file
    assert complaints(program, path) - complaints(program, first) == set()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("classic", [False, True])
@pytest.mark.parametrize("name", ["dcmqi_BSD/*multiframe__mf.dcm", "dicomParser_MIT/*multi-frame__CT0012.explicit*"])
def test_dciodvfy_finds_no_new_error_in_enhanced_ct(name, classic, kind, data, tmp_path, halve):
    program = tool("dciodvfy", "dicom3tools")
    (source,) = (data / "dicom-flavours").glob(name)
    result = run_series(halve, source, tmp_path, classic=classic, deidentification=KINDS[kind])
    for record in result.manifest.slices:
        new = complaints(program, result.folder / record.file) - complaints(program, source)
        assert not {line for line in new if line.startswith("Error")}
