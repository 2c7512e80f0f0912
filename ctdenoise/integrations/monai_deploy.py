"""An operator for MONAI Deploy: it denoises the CT series of a loaded study and writes derived DICOM series.

The App SDK writes segmentations, reports and documents, but no CT images; this operator writes them as
``ctdenoise run`` does.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from pydicom import Dataset

from ctdenoise.inference import Denoiser, RunOptions, denoise
from ctdenoise.models.zoo import DEFAULT_MODEL

try:
    from monai.deploy.core import ConditionType, Fragment, Operator, OperatorSpec
except ImportError as error:
    raise ImportError(
        "ctdenoise.integrations.monai_deploy needs the MONAI Deploy App SDK: pip install monai-deploy-app-sdk"
    ) from error


class DenoiseOperator(Operator):
    """Denoise the selected CT series of DICOM studies and write derived series.

    Named input ``study_selected_series_list``: a list of ``StudySelectedSeries``, from the SDK's
    ``DICOMSeriesSelectorOperator``. Named output ``derived_series_folders``, which need not be received: a list of
    folders, one for each derived series, with its DICOM files and ``manifest.json``.

    Parameters
    ----------
    fragment
        The application.
    output_folder
        Receives a folder for each derived series. Results that are there already are not computed again.
    model
        Name of a model that ships, a folder with a ``model.json``, or a loaded model with its device and engine.
    options
        What to process and how to write it, as for :func:`ctdenoise.denoise`.
    args, kwargs
        For the SDK's ``Operator``.

    Raises
    ------
    InputError
        In `compute`, if something could not be denoised; it is named, and the rest is done.
    """

    def __init__(
        self,
        fragment: Fragment,
        *args: Any,
        output_folder: str | Path,
        model: str | Path | Denoiser = DEFAULT_MODEL,
        options: RunOptions | None = None,
        **kwargs: Any,
    ) -> None:
        self.output_folder = Path(output_folder)
        self.model = model if isinstance(model, Denoiser) else Denoiser.from_pretrained(model)
        self.options = options
        super().__init__(fragment, *args, **kwargs)

    def setup(self, spec: OperatorSpec) -> None:
        """Declare the named input and output."""
        spec.input("study_selected_series_list")
        spec.output("derived_series_folders").condition(ConditionType.NONE)

    def compute(self, op_input: Any, op_output: Any, context: Any) -> None:
        """Denoise all selected series, and emit the folders of the derived ones."""
        studies = op_input.receive("study_selected_series_list")
        with TemporaryDirectory() as folder:
            _lay_out(list(_instances(studies)), Path(folder))
            result = denoise(folder, self.output_folder, model=self.model, options=self.options).require_success()
        op_output.emit([one.folder for one in result.results], "derived_series_folders")


def _instances(studies: Sequence[Any]) -> Iterator[Dataset]:
    for study in studies:
        for selected in study.selected_series:
            yield from (instance.get_native_sop_instance() for instance in selected.series.get_sop_instances())


def _lay_out(instances: Sequence[Dataset], folder: Path) -> None:
    """Give the files of instances numbered names in one folder; those that exist only in memory are written there."""
    for index, instance in enumerate(instances, 1):
        path = folder / f"{index:06d}.dcm"
        source = getattr(instance, "filename", None)
        if isinstance(source, (str, Path)) and Path(source).is_file():
            _link(Path(source).resolve(), path)
        else:
            instance.save_as(path, enforce_file_format=True)


def _link(source: Path, path: Path) -> None:
    try:
        path.symlink_to(source)
    except OSError:  # where links need a privilege
        shutil.copyfile(source, path)
