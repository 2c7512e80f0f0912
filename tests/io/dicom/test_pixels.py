from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import Dataset, dcmread
from pydicom.uid import ExplicitVRLittleEndian, JPEG2000Lossless, JPEGLSLossless, RLELossless

from ctdenoise.errors import InputError
from ctdenoise.io.dicom import discover, read_slice
from ctdenoise.io.dicom.pixels import CTSlice
from tests.conftest import make_series, real_series, run_series


def set_pixels(image: Dataset, stored: np.ndarray, *, signed: bool, bits: int = 16, **attributes: object) -> None:
    image.PixelRepresentation = int(signed)
    image.BitsStored, image.HighBit = bits, bits - 1
    image.Rows, image.Columns = stored.shape
    image.PixelData = stored.astype("<i2" if signed else "<u2").tobytes()
    for keyword, value in attributes.items():
        setattr(image, keyword, value)


def one_slice(folder: Path, **changes: object) -> CTSlice:
    stored = changes.pop("stored")
    make_series(folder, slices=1, edit=lambda image, _: set_pixels(image, stored, **changes))
    return read_slice(folder / "IMG001")


@given(
    signed=st.booleans(),
    bits=st.integers(8, 16),
    slope=st.sampled_from(["1", "0.5", "2", "0.0625", "1.000123"]),
    intercept=st.sampled_from(["-1024", "0", "-1000", "-8192", "-1024.5"]),
    seed=st.integers(0, 99),
)
@settings(max_examples=60, deadline=None)
def test_stored_values_survive_hu_and_back(tmp_path_factory, signed, bits, slope, intercept, seed):
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1)) if signed else (0, 2**bits)
    stored = np.random.default_rng(seed).integers(low, high, (4, 6))
    image = one_slice(
        tmp_path_factory.mktemp("s"),
        stored=stored,
        signed=signed,
        bits=bits,
        RescaleSlope=slope,
        RescaleIntercept=intercept,
    )
    back = image.to_stored(image.hu)
    np.testing.assert_array_equal(back.values, stored)
    assert back.clipped == 0


@pytest.mark.parametrize("name", real_series())
def test_real_stored_values_survive_hu_and_back(data, name):
    for file in discover(data / "ct" / name).series[0].slices[::10]:
        image = read_slice(file.path)
        back = image.to_stored(image.hu)
        np.testing.assert_array_equal(back.values, image.stored)
        assert back.values.dtype == image.stored.dtype
        assert back.clipped == 0


def test_rounds_to_the_nearest_and_counts_what_it_saturates(tmp_path):
    image = one_slice(tmp_path, stored=np.full((2, 3), 1024), signed=False, bits=12)
    hu = np.array([[0.4, 0.6, -0.6], [4000, -2000, 3071]], np.float32)
    back = image.to_stored(hu)
    np.testing.assert_array_equal(back.values, [[1024, 1025, 1023], [4095, 0, 4095]])
    assert back.clipped == 2


def reference(image: CTSlice, hu: np.ndarray, low: int, high: int, padding: int | None) -> tuple[np.ndarray, int]:
    """Stored values in float64, step by step; of NaN, 0."""
    exact = np.rint((hu.astype(np.float64) - image.intercept) / image.slope)
    values = np.clip(exact, low, high)
    clipped = int(np.count_nonzero((values != exact) & ~image.padding))
    values = np.where(np.isnan(values), 0, values)
    if padding is not None:
        values[values == padding] = padding + 1 if padding < high else padding - 1
    return np.where(image.padding, image.stored, values), clipped


@given(
    signed=st.booleans(),
    bits=st.sampled_from([8, 12, 16]),
    slope=st.sampled_from(["1", "0.5", "2", "1.000123"]),
    intercept=st.sampled_from(["-1024", "0", "-1000", "-1023", "-1", "-8192", "-1024.5", "0.1"]),
    padding=st.sampled_from([None, 0, 5]),
    seed=st.integers(0, 999),
    odd=st.booleans(),
)
@settings(max_examples=150, deadline=None)
def test_hu_and_stored_values_are_those_of_float64_arithmetic(
    tmp_path_factory, signed, bits, slope, intercept, padding, seed, odd
):
    rng = np.random.default_rng(seed)
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
    stored = rng.integers(low, high, (8, 9), endpoint=True)
    elements = {} if padding is None else {"PixelPaddingValue": padding}
    image = one_slice(
        tmp_path_factory.mktemp("s"),
        stored=stored,
        signed=signed,
        bits=bits,
        RescaleSlope=slope,
        RescaleIntercept=intercept,
        **elements,
    )
    expected = stored * float(slope) + float(intercept)
    is_padding = (expected < -1400) | (stored == padding if padding is not None else False)
    np.testing.assert_array_equal(image.padding, is_padding)
    np.testing.assert_array_equal(image.hu, np.where(is_padding, -1024, expected).astype(np.float32))
    # Ties, values near them, values that the bit depth does not hold, and what is no number.
    hu = (rng.integers(-4000, 9000, stored.shape) / 2).astype(np.float32)
    hu += rng.choice(np.float32([0, 1e-4, -1e-4, 1e-30]), stored.shape)
    if odd:
        hu.flat[:5] = np.nan, np.inf, -np.inf, 1e30, -1e30
    before = hu.copy()
    back = image.to_stored(hu)
    values, clipped = reference(image, hu, low, high, padding)
    np.testing.assert_array_equal(back.values, values)
    assert back.clipped == clipped
    assert back.values.dtype == image.stored.dtype
    np.testing.assert_array_equal(hu, before)


@pytest.mark.parametrize("written", [-2000, 63536])
def test_padding_is_air_to_the_network_and_comes_back_untouched(tmp_path, written):
    def edit(image: Dataset, _: int) -> None:
        stored = np.array([[-2000, 10], [20, 30]])
        set_pixels(image, stored, signed=True, RescaleIntercept="0")
        image.add_new("PixelPaddingValue", "US" if written > 0 else "SS", written)

    make_series(tmp_path, slices=1, edit=edit)
    image = read_slice(tmp_path / "IMG001")
    np.testing.assert_array_equal(image.padding, [[True, False], [False, False]])
    assert image.hu[0, 0] == -1024
    back = image.to_stored(np.full((2, 2), 5, np.float32))
    np.testing.assert_array_equal(back.values, [[-2000, 5], [5, 5]])


def test_padding_range_is_between_value_and_limit_and_no_other_pixel_falls_into_it(tmp_path):
    stored = np.array([[0, 3, 5, 6, 900]])
    image = one_slice(tmp_path, stored=stored, signed=False, bits=12, PixelPaddingValue=0, PixelPaddingRangeLimit=5)
    np.testing.assert_array_equal(image.padding, [[True, True, True, False, False]])
    back = image.to_stored(np.full((1, 5), 2 - 1024, np.float32))
    np.testing.assert_array_equal(back.values, [[0, 3, 5, 6, 6]])


def test_undeclared_filling_far_below_air_is_padding_too(tmp_path):
    image = one_slice(tmp_path, stored=np.array([[-3024, -1100]]), signed=True, RescaleIntercept="0")
    np.testing.assert_array_equal(image.padding, [[True, False]])


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda d, _: d.__delattr__("RescaleIntercept"), r"RescaleIntercept \(0028,1052\): expected a number"),
        (lambda d, _: setattr(d, "RescaleSlope", "0"), r"RescaleSlope \(0028,1053\): expected a positive number"),
        (lambda d, _: setattr(d, "SamplesPerPixel", 3), r"SamplesPerPixel \(0028,0002\): expected 1, found 3"),
        (lambda d, _: d.__delattr__("PixelData"), r"PixelData \(7FE0,0010\): expected Pixel Data"),
        (lambda d, _: setattr(d, "PixelData", d.PixelData[:100]), r"PixelData \(7FE0,0010\): pixel data in"),
        (lambda d, _: setattr(d, "PhotometricInterpretation", "RGB"), "expected MONOCHROME1 or MONOCHROME2"),
    ],
)
def test_what_cannot_be_turned_into_hu_is_refused_by_file_and_tag(tmp_path, edit, message):
    make_series(tmp_path, slices=1, edit=edit)
    with pytest.raises(InputError, match=message) as caught:
        read_slice(tmp_path / "IMG001")
    assert caught.value.path == tmp_path / "IMG001"


@pytest.mark.parametrize("syntax", [RLELossless, JPEGLSLossless, JPEG2000Lossless])
def test_compressed_slices_are_read_and_their_derived_ones_are_explicit_little_endian(tmp_path, syntax, identity):
    make_series(tmp_path / "in", slices=2)
    plain = {p.name: read_slice(p).stored for p in (tmp_path / "in").iterdir()}
    for path in (tmp_path / "in").iterdir():
        image = dcmread(path)
        image.compress(syntax, generate_instance_uid=False)
        image.save_as(path)
    slices = discover(tmp_path / "in").series[0].slices
    result = run_series(identity, tmp_path / "in", tmp_path / "out")
    for file, record in zip(slices, result.manifest.slices, strict=True):
        derived = dcmread(result.folder / record.file)
        assert derived.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
        np.testing.assert_array_equal(derived.pixel_array, plain[file.path.name])


FLAVOUR = "cornerstoneWADOImageLoader_MIT/testImages__CTImage.dcm_{}.dcm"
LOSSLESS = [
    "LittleEndianImplicitTransferSyntax_1.2.840.10008.1.2",
    "BigEndianExplicitTransferSyntax_1.2.840.10008.1.2.2",
    "DeflatedExplicitVRLittleEndianTransferSyntax_1.2.840.10008.1.2.1.99",
    "RLELosslessTransferSyntax_1.2.840.10008.1.2.5",
    "JPEGProcess14TransferSyntax_1.2.840.10008.1.2.4.57",
    "JPEGProcess14SV1TransferSyntax_1.2.840.10008.1.2.4.70",
    "JPEGLSLosslessTransferSyntax_1.2.840.10008.1.2.4.80",
    "JPEG2000LosslessOnlyTransferSyntax_1.2.840.10008.1.2.4.90",
]


@pytest.mark.parametrize("syntax", LOSSLESS)
def test_lossless_transfer_syntaxes_are_decoded_to_the_same_pixels(data, syntax):
    flavours = data / "dicom-flavours"
    plain = read_slice(flavours / FLAVOUR.format("LittleEndianExplicitTransferSyntax_1.2.840.10008.1.2.1"))
    image = read_slice(flavours / FLAVOUR.format(syntax))
    np.testing.assert_array_equal(image.stored, plain.stored)
    np.testing.assert_array_equal(image.hu, plain.hu)


@pytest.mark.parametrize(
    ("syntax", "hint"),
    [
        ("JPEGProcess2_4TransferSyntax_1.2.840.10008.1.2.4.51", "pip install pylibjpeg-libjpeg"),
        ("JPEGProcess6_8TransferSyntax_1.2.840.10008.1.2.4.53", "no codec knows this transfer syntax"),
    ],
)
def test_transfer_syntaxes_without_a_codec_are_told_with_what_would_help(data, syntax, hint):
    with pytest.raises(InputError, match=hint):
        read_slice(data / "dicom-flavours" / FLAVOUR.format(syntax))


def test_an_odd_high_bit_is_refused(tmp_path):
    make_series(tmp_path, slices=1, edit=lambda image, _: setattr(image, "HighBit", 15))
    with pytest.raises(InputError, match=r"HighBit \(0028,0102\): expected BitsStored − 1 = 11, found 15"):
        read_slice(tmp_path / "IMG001")
