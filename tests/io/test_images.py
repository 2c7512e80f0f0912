from __future__ import annotations

from dataclasses import replace
from io import BytesIO

import numpy as np
import pytest
import SimpleITK
import tifffile
from PIL import Image, PngImagePlugin

from ctdenoise.errors import InputError
from ctdenoise.io.images import find_images, is_image, read_image
from ctdenoise.io.images.png import png_chunks


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
    write(tmp_path / "no-width.tif", np.zeros((4, 4, 3), np.uint8))
    content = (tmp_path / "no-width.tif").read_bytes()
    (tmp_path / "no-width.tif").write_bytes(content.replace(bytes.fromhex("00010400"), bytes.fromhex("ff000400"), 1))
    with pytest.raises(InputError, match="expected a PNG, TIFF, JPEG or BMP image"):
        read_image(tmp_path / "no-width.tif")
    SimpleITK.WriteImage(SimpleITK.GetImageFromArray(np.zeros((4, 4), np.float32)), tmp_path / "float.tif")
    with pytest.raises(InputError, match="expected one image of 8 or 16 bits, found 1 of mode F"):
        read_image(tmp_path / "float.tif")
    assert is_image(tmp_path / "A.JPEG")
    assert not is_image(tmp_path / "a.dcm")


def random(dtype, channels, shape=(21, 34)):
    rng = np.random.default_rng(0)
    return rng.integers(0, np.iinfo(dtype).max, (*shape, channels), dtype=dtype, endpoint=True)


def rewritten(path):
    """Read and write again; return where."""
    photograph = read_image(path)
    target = path.with_name(f"out-{path.name}")
    assert photograph.write(photograph.values, target) == 0
    return target


def full_exif():
    exif = Image.Exif()
    exif[0x0112], exif[0x010F], exif[0x013B] = 6, "Maker", "DOE^JOHN"
    exif.get_ifd(0x8769).update({0x829A: 0.125, 0x9000: b"0232", 0x9286: b"DOE comment"})
    exif.get_ifd(0x8825).update({1: "N", 2: (48.0, 8.0, 9.5)})
    return exif


@pytest.mark.parametrize("unit", [2, 3], ids=["inch", "centimetre"])
@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_tiff_keeps_resolution_unit_profile_and_exif(dtype, channels, unit, tmp_path):
    array = random(dtype, channels)
    plain = {"photometric": "rgb" if channels > 1 else "minisblack", "metadata": None, "compression": "zlib"}
    tifffile.imwrite(
        tmp_path / "a.tif",
        array[..., 0] if channels == 1 else array,
        resolution=(118.11, 300.0),
        resolutionunit=unit,
        iccprofile=b"profile",
        description="Doe's eye",
        extrasamples=["unassalpha"] if channels == 4 else None,
        extratags=[(315, "s", 0, "DOE^JOHN", True)],
        **plain,
    )
    out = rewritten(tmp_path / "a.tif")
    with tifffile.TiffFile(tmp_path / "a.tif") as before, tifffile.TiffFile(out) as after:
        for number in (270, 282, 283, 296, 315, 34675):
            assert after.pages[0].tags[number].value == before.pages[0].tags[number].value
        assert after.pages[0].tags[296].value == unit
    np.testing.assert_array_equal(tifffile.imread(out).reshape(array.shape), array)
    with Image.open(out) as image:
        image.load()


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_tiff_keeps_the_directories_of_exif(dtype, channels, tmp_path):
    Image.fromarray(random(np.uint8, 1)[..., 0]).save(tmp_path / "a.tif", exif=full_exif().tobytes())
    photograph = read_image(tmp_path / "a.tif")
    other = replace(photograph, values=random(dtype, channels) / np.float32(np.iinfo(dtype).max), dtype=np.dtype(dtype))
    other.write(other.values, tmp_path / "out.tif")
    with Image.open(tmp_path / "a.tif") as before, Image.open(tmp_path / "out.tif") as after:
        for directory in (0x8769, 0x8825):
            assert after.getexif().get_ifd(directory) == before.getexif().get_ifd(directory) != {}
        assert after.getexif()[0x013B] == "DOE^JOHN"


def test_sixteen_bit_tiff_is_read_however_it_is_stored(tmp_path):
    array = random(np.uint16, 3)
    for name, options in {
        "big": {"byteorder": ">"},
        "zlib": {"compression": "zlib"},
        "tiles": {"tile": (16, 16)},
        "rotated": {"extratags": [(274, "H", 1, 6, True)]},
    }.items():
        tifffile.imwrite(tmp_path / f"{name}.tif", array, photometric="rgb", **options)
        np.testing.assert_array_equal(tifffile.imread(rewritten(tmp_path / f"{name}.tif")), array)
    planes = np.moveaxis(array, -1, 0)
    tifffile.imwrite(tmp_path / "planes.tif", planes, photometric="rgb", planarconfig="separate")
    np.testing.assert_array_equal(tifffile.imread(rewritten(tmp_path / "planes.tif")), array)
    writer = SimpleITK.ImageFileWriter()
    writer.SetFileName(tmp_path / "lzw-colour.tif")
    writer.UseCompressionOn()
    writer.SetCompressor("LZW")
    writer.Execute(SimpleITK.GetImageFromArray(array, isVector=True))
    np.testing.assert_array_equal(tifffile.imread(rewritten(tmp_path / "lzw-colour.tif")), array)
    grey = Image.fromarray(array[..., 0])
    grey.save(tmp_path / "lzw.tif", compression="tiff_lzw")
    np.testing.assert_array_equal(tifffile.imread(rewritten(tmp_path / "lzw.tif")), array[..., 0])


@pytest.mark.parametrize(("dtype", "channels"), [(np.uint8, 3), (np.uint16, 1), (np.uint16, 3)])
def test_a_rotated_tiff_looks_the_same_afterwards(dtype, channels, tmp_path):
    array = random(dtype, channels)
    flat = array[..., 0] if channels == 1 else array
    tifffile.imwrite(tmp_path / "a.tif", flat, extratags=[(274, "H", 1, 6, True)])
    out = rewritten(tmp_path / "a.tif")
    with tifffile.TiffFile(out) as file:
        orientation = file.pages[0].tags.get(274)
    stored = tifffile.imread(out)
    upright = np.rot90(stored, -1) if orientation and orientation.value == 6 else stored
    np.testing.assert_array_equal(upright, np.rot90(flat, -1))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_where_white_is_zero_the_image_looks_the_same_afterwards(dtype, tmp_path):
    array = random(dtype, 1)[..., 0]
    tifffile.imwrite(tmp_path / "a.tif", array, photometric="miniswhite")
    highest = np.iinfo(dtype).max
    np.testing.assert_allclose(read_image(tmp_path / "a.tif").values[..., 0], 1 - array / highest, atol=1e-6)
    np.testing.assert_array_equal(tifffile.imread(rewritten(tmp_path / "a.tif")), highest - array)


def png_with_everything(path, array):
    write(path, array)
    text = PngImagePlugin.PngInfo()
    text.add_text("Author", "DOE^JOHN")
    text.add_itxt("Comment", "DOE", zip=True)
    Image.new("L", (1, 1)).save(
        path.with_name("chunks"), "PNG", pnginfo=text, dpi=(300, 150), icc_profile=b"profile", exif=full_exif()
    )
    gamma = BytesIO()
    PngImagePlugin.putchunk(gamma, b"gAMA", (45455).to_bytes(4, "big"))
    chunks = [one for _, one in png_chunks(path.with_name("chunks"))] + [gamma.getvalue()]
    content = path.read_bytes()
    path.write_bytes(content[:33] + b"".join(chunks) + content[33:])


@pytest.mark.parametrize(("dtype", "channels"), [(np.uint8, 1), (np.uint8, 4), (np.uint16, 1), (np.uint16, 3)])
def test_png_keeps_resolution_profile_gamma_exif_and_text(dtype, channels, tmp_path):
    array = random(dtype, channels)
    png_with_everything(tmp_path / "a.png", array)
    out = rewritten(tmp_path / "a.png")
    assert set(png_chunks(out)) == set(png_chunks(tmp_path / "a.png"))
    assert len(png_chunks(out)) == 6
    with Image.open(tmp_path / "a.png") as before, Image.open(out) as after:
        after.load()
        assert after.info["dpi"] == pytest.approx((300, 150), abs=0.02)
        assert after.info["icc_profile"] == b"profile"
        assert after.text == before.text == {"Author": "DOE^JOHN", "Comment": "DOE"}
        assert after.getexif() == before.getexif()
    again = read_image(out)
    np.testing.assert_array_equal(again.values, read_image(tmp_path / "a.png").values)


@pytest.mark.parametrize(
    ("suffix", "dtype"), [(".png", np.uint8), (".png", np.uint16), (".tif", np.uint8), (".jpg", np.uint8)]
)
def test_without_identity_no_text_is_left_and_the_look_is(suffix, dtype, tmp_path):
    path = tmp_path / f"a{suffix}"
    if suffix == ".png":
        png_with_everything(path, random(dtype, 3))
    else:
        icc = {"icc_profile": b"profile", "dpi": (300, 300)}
        comment = {"comment": b"DOE"} if suffix == ".jpg" else {}
        Image.fromarray(random(np.uint8, 3)).save(path, exif=full_exif().tobytes(), xmp=b"<x>DOE</x>", **icc, **comment)
    assert b"DOE" in path.read_bytes()
    photograph = read_image(path)
    nameless = photograph.without_identity()
    assert nameless.content_sha256() == photograph.content_sha256()
    nameless.write(nameless.values, tmp_path / f"out{suffix}")
    content = (tmp_path / f"out{suffix}").read_bytes()
    assert b"DOE" not in content
    assert b"Maker" not in content
    with Image.open(tmp_path / f"out{suffix}") as image:
        image.load()
        assert image.info["icc_profile"] == b"profile"
        assert image.info["dpi"][0] == pytest.approx(300, abs=0.01)
        assert not image.getexif().get_ifd(0x8825)
        if suffix == ".jpg":
            assert image.getexif()[0x0112] == 6


def test_content_is_pixels_and_not_names_or_compression(tmp_path):
    array = random(np.uint8, 4)
    Image.fromarray(array).save(tmp_path / "a.png")
    Image.fromarray(array).save(tmp_path / "b.png", compress_level=0, dpi=(10, 10))
    Image.fromarray(array).save(tmp_path / "c.tif")
    other, clear = array.copy(), array.copy()
    other[3, 4, 1] ^= 1
    clear[3, 4, 3] ^= 1
    Image.fromarray(other).save(tmp_path / "d.png")
    Image.fromarray(clear).save(tmp_path / "e.png")
    hashes = [read_image(tmp_path / name).content_sha256() for name in ("a.png", "b.png", "c.tif", "d.png", "e.png")]
    assert len(set(hashes[:3])) == 1
    assert len(set(hashes)) == 3


def test_the_content_says_which_format_it_is(tmp_path):
    Image.fromarray(random(np.uint8, 3)).save(tmp_path / "a.png", format="JPEG")
    with Image.open(rewritten(tmp_path / "a.png")) as image:
        assert image.format == "JPEG"


def test_bmp_keeps_its_resolution(tmp_path):
    Image.fromarray(random(np.uint8, 3)).save(tmp_path / "a.bmp", dpi=(300, 300))
    with Image.open(rewritten(tmp_path / "a.bmp")) as image:
        assert image.format == "BMP"
        assert image.info["dpi"] == pytest.approx((300, 300), abs=0.1)


def test_a_profile_of_other_colours_is_not_kept(tmp_path):
    for name in ("a.jpg", "a.tif"):
        Image.new("CMYK", (8, 8)).save(tmp_path / name, icc_profile=b"profile of CMYK")
        assert b"profile of CMYK" not in rewritten(tmp_path / name).read_bytes()


def test_what_would_lose_bits_is_refused(tmp_path):
    twelve = random(np.uint16, 1)[..., 0] >> 4
    tifffile.imwrite(tmp_path / "a.tif", twelve, photometric="minisblack")
    content = bytearray((tmp_path / "a.tif").read_bytes())
    place = content.index(bytes.fromhex("0201030001000000"))  # 16 bits of each sample
    content[place + 8] = 12
    (tmp_path / "a.tif").write_bytes(content)
    with pytest.raises(InputError, match="found 1 of mode I;16, 12 bits"):
        read_image(tmp_path / "a.tif")
    write(tmp_path / "a.png", random(np.uint16, 2))
    with pytest.raises(InputError, match="expected grey, RGB or RGBA of 16 bits, found grey with alpha"):
        read_image(tmp_path / "a.png")
    Image.fromarray(random(np.uint8, 3)).save(tmp_path / "a.jpg", format="WEBP")
    with pytest.raises(InputError, match="expected a PNG, TIFF, JPEG or BMP image"):
        read_image(tmp_path / "a.jpg")


def test_images_of_a_folder_are_found(tmp_path):
    (tmp_path / "sub" / ".hidden").mkdir(parents=True)
    for name in ("b.png", "a.JPG", "sub/c.tiff", "sub/.hidden/d.png", ".e.png", "notes.txt"):
        (tmp_path / name).touch()
    found = [path.relative_to(tmp_path).as_posix() for path in find_images(tmp_path)]
    assert found == ["a.JPG", "b.png", "sub/c.tiff"]


def test_what_cannot_be_written_says_so_and_leaves_nothing(tmp_path):
    for name in ("a.png", "a.tif", "a.jpg"):
        Image.fromarray(random(np.uint8, 3)).save(tmp_path / name)
        photograph = read_image(tmp_path / name)
        (tmp_path / name).unlink()
        (tmp_path / name).mkdir()
        with pytest.raises(InputError, match="cannot be written"):
            photograph.write(photograph.values, tmp_path / name)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.jpg", "a.png", "a.tif"]
