"""What other programs say about a derived series, beside what they say about its source."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
import SimpleITK

from ctdenoise.io.dicom import discover
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
    path = shutil.which(name)
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
