"""A CT image from nothing: what a simulation needs to become a series."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

from ctdenoise.version import __version__


@dataclass(frozen=True, kw_only=True)
class NewSeries:
    """What the slices of a simulated series have in common.

    Attributes
    ----------
    patient, body_part
        Patient's Name and ID, and Body Part Examined.
    study_uid, frame_of_reference_uid
        Series with the same ones belong together.
    uid, number, description
        SeriesInstanceUID, SeriesNumber and SeriesDescription.
    pixel_mm, spacing_mm
        Pixel spacing, and distance and thickness of slices.
    kernel
        Convolution Kernel.
    time
        When it was made.
    """

    patient: str
    body_part: str
    study_uid: str
    frame_of_reference_uid: str
    uid: str
    number: int
    description: str
    pixel_mm: float
    spacing_mm: float
    kernel: str
    time: datetime

    def slice(self, index: int, hu: NDArray[np.float32]) -> Dataset:
        """Make slice `index` of ``[Rows, Columns]`` HU: 12 bits stored, unsigned, rescale intercept −1024."""
        image = Dataset()
        image.file_meta = FileMetaDataset()
        image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        image.file_meta.MediaStorageSOPClassUID = CTImageStorage
        image.SOPClassUID = CTImageStorage
        image.SOPInstanceUID = generate_uid(prefix=None)
        image.file_meta.MediaStorageSOPInstanceUID = image.SOPInstanceUID
        self._add_context(image)
        self._add_geometry(image, index)
        rows, columns = hu.shape
        image.SamplesPerPixel = 1
        image.PhotometricInterpretation = "MONOCHROME2"
        image.Rows, image.Columns = rows, columns
        image.BitsAllocated, image.BitsStored, image.HighBit = 16, 12, 11
        image.PixelRepresentation = 0
        image.RescaleIntercept, image.RescaleSlope, image.RescaleType = "-1024", "1", "HU"
        image.WindowCenter, image.WindowWidth = "40", "400"
        stored = np.clip(np.rint(hu + 1024), 0, 4095).astype("<u2")
        image.add_new("PixelData", "OW", stored.tobytes())
        return image

    def _add_context(self, image: Dataset) -> None:
        """Patient, study, series and equipment modules (PS3.3 C.7.1 … C.7.5)."""
        date, time = self.time.strftime("%Y%m%d"), self.time.strftime("%H%M%S")
        image.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
        image.InstanceCreationDate = image.StudyDate = image.SeriesDate = image.ContentDate = date
        image.InstanceCreationTime = image.StudyTime = image.SeriesTime = image.ContentTime = time
        image.AcquisitionDate, image.AcquisitionTime = date, time
        image.Modality = "CT"
        image.Manufacturer = "ctdenoise"
        image.ManufacturerModelName = "simulation"
        image.SoftwareVersions = __version__
        image.PatientName = image.PatientID = self.patient
        image.PatientBirthDate = image.PatientSex = ""
        image.StudyInstanceUID = self.study_uid
        image.StudyID = "1"
        image.AccessionNumber = image.ReferringPhysicianName = ""
        image.StudyDescription = "ctdenoise simulation"
        image.SeriesInstanceUID = self.uid
        image.SeriesNumber = self.number
        image.SeriesDescription = self.description
        image.BodyPartExamined = self.body_part
        image.FrameOfReferenceUID = self.frame_of_reference_uid
        image.PositionReferenceIndicator = ""

    def _add_geometry(self, image: Dataset, index: int) -> None:
        """Image plane and CT image modules (PS3.3 C.7.6.2, C.8.2.1)."""
        image.InstanceNumber = index + 1
        image.AcquisitionNumber = 1
        image.PatientPosition = "HFS"
        image.ImagePositionPatient = ["0", "0", f"{index * self.spacing_mm:g}"]
        image.ImageOrientationPatient = ["1", "0", "0", "0", "1", "0"]
        image.PixelSpacing = [f"{self.pixel_mm:g}", f"{self.pixel_mm:g}"]
        image.SliceThickness = f"{self.spacing_mm:g}"
        image.KVP = "70"
        image.ConvolutionKernel = self.kernel
