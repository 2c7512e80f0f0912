"""A value at each pixel of a CT series, as one DICOM Parametric Map."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset, dcmread
from pydicom.sr.codedict import codes

from ctdenoise.errors import InputError
from ctdenoise.files import atomic_path
from ctdenoise.io.dicom.derivation import CAUTION, uuid5
from ctdenoise.version import __version__

#: Elements of type 2 that are copied from the images (PS3.3 C.7.1.1, C.7.2.1): empty where they have none.
_MAY_BE_EMPTY = (
    "PatientID",
    "PatientName",
    "PatientBirthDate",
    "PatientSex",
    "AccessionNumber",
    "StudyID",
    "StudyDate",
    "StudyTime",
    "ReferringPhysicianName",
)


@dataclass(frozen=True, kw_only=True)
class MapDescription:
    """What a map shows, and its identity.

    Attributes
    ----------
    label
        Content Label and LUT Label: at most 16 capital letters, digits and underscores (PS3.3 C.8.29.2, VR CS).
    explanation
        What a value means, at most 64 characters.
    name
        For Series Description.
    identity
        Of everything that decides the values; UIDs follow from it and from the values.
    series_number
        Of the new series.
    time
        When it was made.
    """

    label: str
    explanation: str
    name: str
    identity: str
    series_number: int
    time: datetime


def write_parametric_map(
    path: Path, values: NDArray[np.float32], images: Sequence[Dataset], description: MapDescription
) -> str:
    """Write values in HU as one Parametric Map (PS3.3 A.75) with 32-bit floating point pixels.

    Parameters
    ----------
    path
        Is replaced when the new file is complete.
    values
        ``[N, H, W]`` HU, a frame for each image.
    images
        Headers of the N classic images the values belong to, or of one enhanced image with N frames.
    description
        What they are.

    Returns
    -------
    str
        The SOP Instance UID.

    Raises
    ------
    InputError
        If the images have no common geometry of frames.
    OSError
        If it cannot be written.
    """
    digest = hashlib.sha256(np.ascontiguousarray(values, "<f4").data).hexdigest()
    series = uuid5(f"ctdenoise/map/series/{description.identity}")
    instance = uuid5(f"ctdenoise/map/instance/{description.identity}/{digest}")
    try:
        made = _parametric_map(values, images, description, series, instance)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"expected images with position, orientation and spacing of a patient's scan, found: {error}", path=path
        ) from error
    _make_reproducible(made, description)
    with atomic_path(path) as partial:
        made.save_as(partial, enforce_file_format=True)
    return str(instance)


def read_header(path: Path) -> Dataset:
    """Return the header of an image that a map is for, with an empty value for type 2 elements it lacks."""
    header = dcmread(path, stop_before_pixels=True)
    for keyword in _MAY_BE_EMPTY:
        if keyword not in header:
            setattr(header, keyword, "")
    return header


def _parametric_map(
    values: NDArray[np.float32], images: Sequence[Dataset], description: MapDescription, series: str, instance: str
) -> Any:
    # 0.3 s that nothing else needs.
    from highdicom import VOILUTTransformation
    from highdicom.pm import ParametricMap, RealWorldValueMapping

    highest = max(float(values.max()), 1.0)
    mapping = RealWorldValueMapping(
        lut_label=description.label,
        lut_explanation=description.explanation,
        unit=codes.UCUM.HounsfieldUnit,
        value_range=(0.0, highest),
        slope=1.0,
        intercept=0.0,
    )
    window = float(np.percentile(values[values > 0], 99.5)) if (values > 0).any() else highest
    made = ParametricMap(
        source_images=images,
        pixel_array=values,
        series_instance_uid=series,
        series_number=description.series_number,
        sop_instance_uid=instance,
        instance_number=1,
        manufacturer="ctdenoise",
        manufacturer_model_name="ctdenoise",
        software_versions=__version__,
        device_serial_number="none",
        contains_recognizable_visual_features=images[0].get("RecognizableVisualFeatures") == "YES",
        real_world_value_mappings=[mapping],
        voi_lut_transformations=[VOILUTTransformation(window_center=window / 2, window_width=window)],
        content_label=description.label,
        content_description=description.explanation,
        series_description=f"{description.name}, {CAUTION}",
    )
    # PS3.3 C.7.3.1: without them, Laterality would be missing of what may be a paired body part.
    for keyword in ("BodyPartExamined", "Laterality"):
        if keyword in images[0]:
            setattr(made, keyword, images[0][keyword].value)
    return made


def _make_reproducible(made: Dataset, description: MapDescription) -> None:
    """Replace what differs from run to run: times, and the UID of the dimension organisation."""
    date, time = description.time.strftime("%Y%m%d"), description.time.strftime("%H%M%S")
    for keyword in ("ContentDate", "SeriesDate", "InstanceCreationDate"):
        setattr(made, keyword, date)
    for keyword in ("ContentTime", "SeriesTime", "InstanceCreationTime"):
        setattr(made, keyword, time)
    # The last one is highdicom.
    made.ContributingEquipmentSequence[-1].ContributionDateTime = date + time
    organisation = uuid5(f"ctdenoise/map/dimensions/{description.identity}")
    made.DimensionOrganizationSequence[0].DimensionOrganizationUID = organisation
    for item in made.DimensionIndexSequence:
        item.DimensionOrganizationUID = organisation
