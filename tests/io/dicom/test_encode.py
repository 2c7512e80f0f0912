"""Every transfer syntax of the output decodes to the very same stored values."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.uid import (
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)

from ctdenoise.io.dicom import derive_slice, read_slice, write_slice
from ctdenoise.io.dicom.encode import TRANSFER_SYNTAXES, encode
from ctdenoise.io.dicom.pixels import StoredPixels
from tests.conftest import make_series
from tests.io.dicom.test_derive import DERIVATION


def store(bits: int, signed: bool):
    def edit(image, _):
        low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
        values = np.random.default_rng(0).integers(low, high, image.pixel_array.shape, endpoint=True)
        allocated = 8 if bits == 8 else 16
        image.BitsAllocated, image.BitsStored, image.HighBit = allocated, bits, bits - 1
        image.PixelRepresentation = int(signed)
        if "PixelPaddingValue" in image:
            del image.PixelPaddingValue
        kind = f"{'i' if signed else 'u'}{allocated // 8}"
        image.add_new(0x7FE00010, "OW", values.astype(f"<{kind}").tobytes())

    return edit


@pytest.mark.parametrize("name", TRANSFER_SYNTAXES)
@pytest.mark.parametrize(("bits", "signed"), [(8, False), (12, False), (12, True), (16, False), (16, True)])
def test_lossless_is_bit_for_bit(name, bits, signed, tmp_path):
    make_series(tmp_path, slices=1, edit=store(bits, signed))
    source = read_slice(tmp_path / "IMG001")
    derivation = replace(DERIVATION, transfer_syntax=name)
    write_slice(derive_slice(source, StoredPixels(source.stored, 0), derivation), tmp_path / "out.dcm")
    written = dcmread(tmp_path / "out.dcm")
    assert written.file_meta.TransferSyntaxUID == TRANSFER_SYNTAXES[name]
    assert written.SOPInstanceUID == derivation.uid(source.dataset.SOPInstanceUID)
    assert (written.BitsStored, written.PixelRepresentation) == (bits, int(signed))
    np.testing.assert_array_equal(read_slice(tmp_path / "out.dcm").stored, source.stored)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (ImplicitVRLittleEndian, ImplicitVRLittleEndian),
        (RLELossless, RLELossless),
        (JPEGLSLossless, JPEGLSLossless),
        (JPEG2000Lossless, JPEG2000Lossless),
        (JPEGLosslessSV1, ExplicitVRLittleEndian),  # no encoder
        (ExplicitVRBigEndian, ExplicitVRLittleEndian),  # retired
        (JPEGLSNearLossless, ExplicitVRLittleEndian),  # lossy
    ],
)
def test_the_sources_own_where_it_is_lossless_and_can_be_written(source, expected, tmp_path):
    make_series(tmp_path, slices=1)
    read = read_slice(tmp_path / "IMG001")
    derived = derive_slice(read, StoredPixels(read.stored, 0), DERIVATION)
    encode(derived, "source", source)
    write_slice(derived, tmp_path / "out.dcm")
    assert dcmread(tmp_path / "out.dcm").file_meta.TransferSyntaxUID == expected
    np.testing.assert_array_equal(read_slice(tmp_path / "out.dcm").stored, read.stored)
