"""Enhanced CT in and out: as one derived object with its functional groups, or as classic slices."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pydicom import Dataset, dcmread
from pydicom.sequence import Sequence
from pydicom.uid import CTImageStorage, EnhancedCTImageStorage, ExplicitVRLittleEndian, generate_uid

from ctdenoise.io.dicom import discover, read_slice
from tests.conftest import make_series, run_series

FRAMES = 4


def item(**values) -> Sequence:
    dataset = Dataset()
    for keyword, value in values.items():
        setattr(dataset, keyword, value)
    return Sequence([dataset])


def make_enhanced(folder: Path) -> Path:
    """Write one enhanced object of four frames, each with a rescale of its own."""
    make_series(folder / "classic", slices=1)
    image = dcmread(folder / "classic" / "IMG001")
    for keyword in ("RescaleSlope", "RescaleIntercept", "RescaleType", "ImagePositionPatient", "PixelSpacing"):
        if keyword in image:
            del image[keyword]
    image.SOPClassUID = image.file_meta.MediaStorageSOPClassUID = EnhancedCTImageStorage
    image.SOPInstanceUID = image.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    image.ImageType = ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"]
    image.NumberOfFrames = FRAMES
    image.PixelRepresentation, image.BitsAllocated, image.BitsStored, image.HighBit = 0, 16, 16, 15
    rng = np.random.default_rng(0)
    image.PixelData = rng.integers(0, 2000, (FRAMES, image.Rows, image.Columns)).astype("<u2").tobytes()
    shared = Dataset()
    shared.PixelMeasuresSequence = item(PixelSpacing=[0.8, 0.8], SliceThickness=2.5)
    shared.PlaneOrientationSequence = item(ImageOrientationPatient=[1, 0, 0, 0, 1, 0])
    shared.CTImageFrameTypeSequence = item(FrameType=["ORIGINAL", "PRIMARY", "VOLUME", "NONE"])
    shared.DerivationImageSequence = item(DerivationDescription="made up")
    image.SharedFunctionalGroupsSequence = Sequence([shared])
    groups = []
    for frame in range(FRAMES):
        own = Dataset()
        own.PlanePositionSequence = item(ImagePositionPatient=[-10, -20, 2.5 * frame])
        own.PixelValueTransformationSequence = item(RescaleSlope=1 + frame / 2, RescaleIntercept=-1024 + frame)
        own.FrameContentSequence = item(FrameAcquisitionNumber=frame + 1)
        own.CTExposureSequence = item(XRayTubeCurrentInmA=100.0 * (frame + 1), CTDIvol=9.5)
        groups.append(own)
    image.PerFrameFunctionalGroupsSequence = Sequence(groups)
    (folder / "in").mkdir()
    image.save_as(folder / "in" / "enhanced.dcm")
    return folder / "in"


def test_each_frame_has_its_own_rescale(tmp_path):
    source = read_slice(make_enhanced(tmp_path) / "enhanced.dcm")
    for frame in range(FRAMES):
        expected = source.stored[frame] * (1 + frame / 2) + (-1024 + frame)
        np.testing.assert_allclose(source.hu[frame], np.maximum(expected, -1024), atol=1e-3)
    np.testing.assert_array_equal(source.to_stored(source.hu).values, source.stored)


def test_each_frame_tells_its_tube_current(tmp_path):
    source = read_slice(make_enhanced(tmp_path) / "enhanced.dcm")
    assert [source.tube_current_ma(frame) for frame in range(FRAMES)] == [100, 200, 300, 400]


def test_the_derived_object_keeps_its_groups_and_tells_of_each_frame(tmp_path, identity, halve):
    source = make_enhanced(tmp_path)
    (series,) = discover(source).series
    assert [(f.frames, f.enhanced) for f in series.slices] == [(FRAMES, True)]
    for denoiser, changed in ((identity, False), (halve, True)):
        result = run_series(denoiser, source, tmp_path / "out")
        path = result.folder / "0001.dcm"
        original, derived = dcmread(source / "enhanced.dcm"), dcmread(path)
        assert changed != np.array_equal(read_slice(path).stored, read_slice(source / "enhanced.dcm").stored)
        assert derived.SOPClassUID == EnhancedCTImageStorage
        assert derived.SOPInstanceUID != original.SOPInstanceUID
        assert list(derived.ImageType) == ["DERIVED", "PRIMARY", "VOLUME", "NONE"]
        shared = derived.SharedFunctionalGroupsSequence[0]
        assert list(shared.CTImageFrameTypeSequence[0].FrameType) == ["DERIVED", "PRIMARY", "VOLUME", "NONE"]
        assert "DerivationImageSequence" not in shared
        for frame, (before, after) in enumerate(
            zip(original.PerFrameFunctionalGroupsSequence, derived.PerFrameFunctionalGroupsSequence, strict=True), 1
        ):
            assert after.PlanePositionSequence == before.PlanePositionSequence
            earlier, own = after.DerivationImageSequence
            assert earlier.DerivationDescription == "made up"
            reference = own.SourceImageSequence[0]
            assert reference.ReferencedFrameNumber == frame
            assert reference.ReferencedSOPInstanceUID == original.SOPInstanceUID
        evidence = derived.SourceImageEvidenceSequence[0].ReferencedSeriesSequence[0]
        assert evidence.SeriesInstanceUID == original.SeriesInstanceUID


def test_classic_slices_on_request(tmp_path, identity):
    source = make_enhanced(tmp_path)
    result = run_series(identity, source, tmp_path / "out", classic=True)
    original = read_slice(source / "enhanced.dcm")
    (series,) = discover(result.folder).series
    assert len(series.slices) == len(result.manifest.slices) == FRAMES
    for frame, file in enumerate(series.slices):
        derived = read_slice(file.path)
        assert derived.dataset.SOPClassUID == CTImageStorage
        assert list(derived.dataset.ImagePositionPatient) == [-10, -20, 2.5 * frame]
        assert float(derived.dataset.RescaleSlope) == 1 + frame / 2
        assert derived.dataset.AcquisitionNumber == frame + 1
        assert (derived.dataset.XRayTubeCurrent, derived.dataset.CTDIvol) == (100 * (frame + 1), 9.5)
        assert "PerFrameFunctionalGroupsSequence" not in derived.dataset
        (reference,) = derived.dataset.SourceImageSequence
        assert reference.ReferencedSOPInstanceUID == original.dataset.SOPInstanceUID
        assert reference.ReferencedFrameNumber == frame + 1
        np.testing.assert_array_equal(derived.stored, original.stored[frame])
    again = run_series(identity, source, tmp_path / "out", classic=True)
    assert again.written == 0


def test_missing_frames_of_a_cut_off_run_are_written_and_no_others(tmp_path, identity):
    source = make_enhanced(tmp_path)
    result = run_series(identity, source, tmp_path / "out", classic=True)
    (result.folder / "0002.dcm").unlink()
    untouched = (result.folder / "0001.dcm").stat().st_mtime_ns
    again = run_series(identity, source, tmp_path / "out", classic=True)
    assert again.written == 1
    assert (result.folder / "0002.dcm").is_file()
    assert (result.folder / "0001.dcm").stat().st_mtime_ns == untouched


@pytest.mark.parametrize(
    "name",
    [
        "dcmqi_BSD/data__segmentations__23x38x3__multiframe__mf.dcm",
        "dicomParser_MIT/testImages__encapsulated__multi-frame__CT0012.explicit_little_endian.dcm",
        "dicomParser_MIT/testImages__encapsulated__multi-frame__CT0012.fragmented_no_bot_jpeg_lossless.70.dcm",
    ],
)
@pytest.mark.parametrize("classic", [False, True])
def test_real_objects_come_back_bit_for_bit(name, classic, data, tmp_path, identity):
    source = data / "dicom-flavours" / name
    result = run_series(identity, source, tmp_path, classic=classic)
    stored = [read_slice(result.folder / s.file).stored for s in result.manifest.slices]
    np.testing.assert_array_equal(np.stack(stored) if classic else stored[0], read_slice(source).stored)
