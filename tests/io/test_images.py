from __future__ import annotations

import numpy as np
import pytest
import SimpleITK
from PIL import Image

from ctdenoise.errors import InputError
from ctdenoise.io.images import is_image, read_image


def write(path, array):
    """Write with whichever library has the kind of image."""
    flat = array[..., 0] if array.shape[2] == 1 else array
    if array.dtype == np.uint8:
        Image.fromarray(flat).save(path)
    else:
        SimpleITK.WriteImage(SimpleITK.GetImageFromArray(flat, isVector=array.shape[2] > 1), path)


KINDS = [
    (suffix, dtype, channels)
    for suffix in (".png", ".tif")
    for dtype in (np.uint8, np.uint16)
    for channels in (1, 2, 3, 4)
    if (dtype, channels) != (np.uint16, 2)
]


@pytest.mark.parametrize(("suffix", "dtype", "channels"), KINDS)
def test_reading_and_writing_changes_nothing(suffix, dtype, channels, tmp_path):
    rng = np.random.default_rng(0)
    array = rng.integers(0, np.iinfo(dtype).max, (21, 34, channels), dtype=dtype, endpoint=True)
    write(tmp_path / f"in{suffix}", array)
    photograph = read_image(tmp_path / f"in{suffix}")
    assert photograph.values.shape == (21, 34, 1 if channels < 3 else 3)
    assert photograph.values.max() <= 1
    assert (photograph.alpha is not None) == (channels in (2, 4))
    assert photograph.write(photograph.values, tmp_path / f"out{suffix}") == 0
    again = read_image(tmp_path / f"out{suffix}")
    np.testing.assert_array_equal(again.values, photograph.values)
    assert again.dtype == dtype
    if photograph.alpha is not None:
        np.testing.assert_array_equal(again.alpha, array[..., -1:])


def test_values_outside_the_range_are_clipped_and_counted(tmp_path):
    write(tmp_path / "in.png", np.full((4, 5, 3), 100, np.uint8))
    photograph = read_image(tmp_path / "in.png")
    values = photograph.values.copy()
    values[0, 0] = -0.5, 1.5, 0.5
    assert photograph.write(values, tmp_path / "out.png") == 2
    assert np.asarray(Image.open(tmp_path / "out.png"))[0, 0].tolist() == [0, 255, 128]


def test_palettes_and_bits_are_read_as_colours(tmp_path):
    colours = Image.fromarray(np.arange(48, dtype=np.uint8).reshape(4, 4, 3) * 5)
    colours.convert("P", palette=Image.Palette.ADAPTIVE).save(tmp_path / "palette.png")
    assert read_image(tmp_path / "palette.png").values.shape == (4, 4, 3)
    Image.fromarray(np.eye(4) > 0).save(tmp_path / "bits.png")
    np.testing.assert_array_equal(read_image(tmp_path / "bits.png").values[..., 0], np.eye(4))


def test_jpeg_keeps_orientation_and_profile(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(np.full((16, 24, 3), 90, np.uint8)).save(tmp_path / "in.jpg", exif=exif, icc_profile=b"profile")
    photograph = read_image(tmp_path / "in.jpg")
    photograph.write(photograph.values, tmp_path / "out.jpg")
    with Image.open(tmp_path / "out.jpg") as image:
        assert image.getexif()[0x0112] == 6
        assert image.info["icc_profile"] == b"profile"


def test_what_cannot_be_read_says_so(tmp_path):
    (tmp_path / "junk.png").write_bytes(b"junk")
    with pytest.raises(InputError, match="expected a PNG, TIFF, JPEG or BMP image"):
        read_image(tmp_path / "junk.png")
    with pytest.raises(InputError, match="found nothing there"):
        read_image(tmp_path / "absent.png")
    SimpleITK.WriteImage(SimpleITK.GetImageFromArray(np.zeros((4, 4), np.float32)), tmp_path / "float.tif")
    with pytest.raises(InputError, match="expected one image of 8 or 16 bits, found 1 of mode F"):
        read_image(tmp_path / "float.tif")
    assert is_image(tmp_path / "A.JPEG")
    assert not is_image(tmp_path / "a.dcm")
