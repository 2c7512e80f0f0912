"""Every transfer syntax of the output decodes to the very same stored values."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from pydicom import Dataset, dcmread
from pydicom.uid import (
    JPEG2000,
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)

from ctdenoise.errors import InputError
from ctdenoise.io.dicom import read_slice, write_slice
from ctdenoise.io.dicom.encode import encode, resolve_transfer_syntax
from ctdenoise.io.transfer_syntax import TransferSyntax
from tests.conftest import REPOSITORY, make_series

EXPECTED = {
    "explicit": ExplicitVRLittleEndian,
    "rle": RLELossless,
    "jpeg-ls": JPEGLSLossless,
    "jpeg-2000": JPEG2000Lossless,
}


def image(folder, values: np.ndarray, bits: int) -> Dataset:
    """A CT image of these stored values, uncompressed."""
    make_series(folder, slices=1)
    dataset = dcmread(folder / "IMG001")
    if "PixelPaddingValue" in dataset:
        del dataset.PixelPaddingValue
    dataset.set_pixel_data(values, "MONOCHROME2", bits, generate_instance_uid=False)
    return dataset


def values(bits: int, signed: bool, shape: tuple[int, ...]) -> np.ndarray:
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
    kind = f"{'i' if signed else 'u'}{1 if bits == 8 else 2}"
    return np.random.default_rng(0).integers(low, high, shape, endpoint=True).astype(kind)


@pytest.mark.parametrize("name", EXPECTED)
@pytest.mark.parametrize("shape", [(40, 36), (41, 37)], ids=str)
@pytest.mark.parametrize(("bits", "signed"), [(8, False), (12, False), (12, True), (16, False), (16, True)])
def test_lossless_is_bit_for_bit(name, bits, signed, shape, tmp_path):
    stored = values(bits, signed, shape)
    dataset = image(tmp_path, stored, bits)
    assert encode(dataset, name, ExplicitVRLittleEndian) == EXPECTED[name]
    write_slice(dataset, tmp_path / "out.dcm")
    written = dcmread(tmp_path / "out.dcm")
    assert written.file_meta.TransferSyntaxUID == EXPECTED[name]
    assert written.SOPInstanceUID == dataset.SOPInstanceUID
    assert (written.BitsStored, written.PixelRepresentation) == (bits, int(signed))
    np.testing.assert_array_equal(read_slice(tmp_path / "out.dcm").stored, stored)


def test_rle_of_an_odd_number_of_bytes_does_not_end_the_process(tmp_path):
    """GDCM aborts there, so this is tried in a process of its own."""
    dataset = image(tmp_path, values(8, False, (41, 37)), 8)
    write_slice(dataset, tmp_path / "odd.dcm")
    code = (
        "import sys, pydicom; from ctdenoise.io.dicom.encode import encode; image = pydicom.dcmread(sys.argv[1]); "
        "encode(image, 'rle', image.file_meta.TransferSyntaxUID); assert image.pixel_array.shape == (41, 37)"
    )
    call = [sys.executable, "-c", code, tmp_path / "odd.dcm"]
    result = subprocess.run(call, check=False, cwd=REPOSITORY, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (ExplicitVRLittleEndian, ExplicitVRLittleEndian),
        (ImplicitVRLittleEndian, ImplicitVRLittleEndian),
        (DeflatedExplicitVRLittleEndian, DeflatedExplicitVRLittleEndian),
        (RLELossless, RLELossless),
        (JPEGLSLossless, JPEGLSLossless),
        (JPEG2000Lossless, JPEG2000Lossless),
        (JPEGLosslessSV1, ExplicitVRLittleEndian),  # no encoder
        (ExplicitVRBigEndian, ExplicitVRLittleEndian),  # retired
        (JPEGLSNearLossless, ExplicitVRLittleEndian),  # lossy
        (JPEG2000, ExplicitVRLittleEndian),
        (JPEGBaseline8Bit, ExplicitVRLittleEndian),
    ],
)
def test_the_sources_own_where_it_is_lossless_and_can_be_written(source: UID, expected: UID, tmp_path):
    assert resolve_transfer_syntax(TransferSyntax.SOURCE, source) == expected
    stored = values(12, True, (40, 36))
    dataset = image(tmp_path, stored, 12)
    assert encode(dataset, "source", source) == expected
    write_slice(dataset, tmp_path / "out.dcm")
    assert dcmread(tmp_path / "out.dcm").file_meta.TransferSyntaxUID == expected
    np.testing.assert_array_equal(read_slice(tmp_path / "out.dcm").stored, stored)


def test_what_an_encoder_refuses_is_told_in_one_line(tmp_path):
    dataset = image(tmp_path, values(12, False, (5, 7)), 12)
    with pytest.raises(InputError, match=r"5 × 7 pixels cannot be encoded in JPEG 2000"):
        encode(dataset, "jpeg-2000", ExplicitVRLittleEndian)


def test_names_are_choices():
    assert [str(choice) for choice in TransferSyntax] == [*EXPECTED, "source"]
    with pytest.raises(ValueError, match="jpeg"):
        resolve_transfer_syntax("jpeg", ExplicitVRLittleEndian)
