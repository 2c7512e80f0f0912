"""What the bundles' ``inference.json`` loads: images as MONAI items, and the network."""

from __future__ import annotations

import logging
from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform
from numpy.typing import NDArray

from ctdenoise.errors import InputError
from ctdenoise.inference.monai_neighbours import PLANES, planes_as_array
from ctdenoise.io.dicom import CTSlice, Discovery, discover, read_slice
from ctdenoise.io.dicom.discover import input_tree
from ctdenoise.io.dicom.plane import slice_plane
from ctdenoise.io.images import is_image
from ctdenoise.io.volumes import find_volumes, is_volume, read_volume
from ctdenoise.io.volumes.volume import LPS_RAS
from ctdenoise.models.denoiser import NetworkConfig, build_network
from ctdenoise.models.zoo import load_model
from ctdenoise.provenance import json_sha256

_LOG = logging.getLogger("ctdenoise")
#: What the bundle offers for inputs that cannot be one volume.
_RUN_INSTEAD = "the bundle's run and ctdenoise run process such inputs slice by slice"

Item = dict[str, Any]


def find_ct(path: str | Path) -> list[Item]:
    """List the CT series and volumes at a path as items of a MONAI data set.

    Parameters
    ----------
    path
        A volume (NIfTI, NRRD, MetaImage), a DICOM file, or a folder of both.

    Returns
    -------
    list
        ``{"image": …}`` for :class:`LoadHUd`: the paths of a series' slices in order, or the path of a volume. Empty if
        there is nothing at `path`, so that MONAI can check a bundle before there are data.

    Raises
    ------
    InputError
        If there is something at `path`, but no CT; or an image there that cannot be read.
    """
    path = input_tree(Path(path))
    if not path.exists():
        _LOG.warning("%s: expected CT series or volumes, found nothing there", path)
        return []
    if path.is_file() and is_volume(path):
        return [{"image": str(path)}]
    volumes = find_volumes(path) if path.is_dir() else []
    found = discover(path)
    damaged = [note for note in found.skipped if note.failed and not is_volume(note.path)]
    if damaged:
        raise InputError(damaged[0].reason, path=damaged[0].path, hint=_RUN_INSTEAD)
    others = sum(not is_volume(note.path) for note in found.skipped)
    if others:
        _LOG.warning("%s: %d files are no CT slices and are left out; ctdenoise inspect says why", path, others)
    items = [{"image": [str(file.path) for file in series.slices]} for series in found.series]
    if not items and not volumes:
        raise InputError("expected CT series or volumes, found none", path=path)
    return items + [{"image": str(volume)} for volume in volumes]


def find_photographs(path: str | Path) -> list[Item]:
    """List an image file, or all in a folder, as items ``{"image": path}``; empty if there is nothing at `path`.

    Raises
    ------
    InputError
        If there is something at `path`, but no image.
    """
    path = Path(path)
    if not path.exists():
        _LOG.warning("%s: expected images, found nothing there", path)
        return []
    files = [path] if path.is_file() else [p for p in sorted(path.rglob("*")) if p.is_file()]
    items: list[Item] = [{"image": str(file)} for file in files if is_image(file)]
    if not items:
        raise InputError("expected PNG, TIFF, JPEG or BMP images, found none", path=path)
    return items


class LoadHUd(MapTransform):
    """Read a CT series or volume as MONAI's ``LoadImaged`` and ``EnsureChannelFirstd`` do.

    The result is a MetaTensor ``[1, X, Y, Z]`` of float32 HU with the affine in RAS; X counts the columns of a slice, Y
    its rows. Padding has the HU that the file stores for it. Each key is the path of a volume, of a folder with one
    DICOM series, or the paths of the slices of a series in order.

    Raises
    ------
    InputError
        If that is not one volume: several series or time points, slices that differ in size, enhanced CT.
    """

    def __init__(self, keys: KeysCollection, allow_missing_keys: bool = False) -> None:
        super().__init__(keys, allow_missing_keys)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Read each key."""
        return {**data, **{key: load_hu(data[key]) for key in self.key_iterator(data)}}


def load_hu(source: str | Path | Sequence[str | Path]) -> MetaTensor:
    """Read what :class:`LoadHUd` reads."""
    if not isinstance(source, (str, Path)):
        return _load_slices([Path(path) for path in source])
    path = Path(source)
    if path.is_file() and is_volume(path):
        return _load_volume(path)
    return _load_slices(_only_series(discover(path), path))


def load_network(model_dir: str | Path, layout: Mapping[str, Any]) -> torch.nn.Module:
    """Return the network of a model, or if there is no such model here, its layout for MONAI to load weights into.

    ``monai.bundle.load`` builds the network before it loads ``models/model.pt`` into it, and the bundle's model folder
    need not be found from its working directory. Weights that were never loaded are NaN, and so is the output then.

    Parameters
    ----------
    model_dir
        Name of a model that ships, or a folder with a ``model.json``.
    layout
        Fields of :class:`~ctdenoise.models.denoiser.NetworkConfig`.

    Raises
    ------
    InputError
        If the model's weights files are not the ones it names.
    """
    try:
        return load_model(model_dir)[0]
    except InputError as error:
        if (Path(model_dir) / "model.json").exists():
            raise
        _LOG.warning("%s; the network's weights are NaN until some are loaded", error)
    network = build_network(NetworkConfig(**layout), seed=0).eval()
    with torch.no_grad():
        for values in [*network.parameters(), *network.buffers()]:
            if values.is_floating_point():
                values.fill_(torch.nan)
    return network


def _only_series(found: Discovery, path: Path) -> list[Path]:
    if len(found.series) != 1:
        numbers = ", ".join(str(series.number) for series in found.series) or "none"
        raise InputError(f"expected one CT series, found series {numbers}", path=path)
    return [file.path for file in found.series[0].slices]


def _load_volume(path: Path) -> MetaTensor:
    volume = read_volume(path)
    if volume.frames > 1:
        raise InputError(f"expected one time point, found {volume.frames}", path=path, hint=_RUN_INSTEAD)
    hu = (volume.stored[..., 0] * np.float64(volume.slope) + volume.intercept).astype(np.float32)
    return _meta_tensor(hu, LPS_RAS @ volume.affine, str(path), volume.slice_thickness_mm)


def _load_slices(paths: Sequence[Path]) -> MetaTensor:
    slices = [read_slice(path) for path in paths]
    first = slices[0]
    if first.hu.ndim != 2:
        raise InputError("expected classic CT, found enhanced", path=first.path, hint=_RUN_INSTEAD)
    for image in slices:
        if image.hu.shape != first.hu.shape:
            raise InputError(
                f"expected {first.hu.shape} pixels as in the first slice, found {image.hu.shape}",
                path=image.path,
                hint=_RUN_INSTEAD,
            )
    stored = np.stack([image.stored.T * image.slope + image.intercept for image in slices], axis=-1)
    # The file's name in outputs: of the series, because folders may be named after patients.
    name = f"{int(first.dataset.get('SeriesNumber') or 0):04d}-{json_sha256(str(first.dataset.SeriesInstanceUID))[:8]}"
    hu = _meta_tensor(stored.astype(np.float32), LPS_RAS @ _affine(slices), name, first.slice_thickness_mm)
    hu.meta[PLANES] = planes_as_array([slice_plane(image.dataset) for image in slices])
    return hu


def _affine(slices: Sequence[CTSlice]) -> NDArray[np.float64]:
    """Return ``[4, 4]``: ``(column, row, slice, 1)`` to patient coordinates in mm, LPS (PS3.3 C.7.6.2.1.1)."""
    first, last = slices[0].dataset, slices[-1].dataset
    spacing = first.get("PixelSpacing")
    orientation = first.get("ImageOrientationPatient") or (1, 0, 0, 0, 1, 0)
    row, column = np.array(orientation, float).reshape(2, 3)
    origin, end = (np.array(d.get("ImagePositionPatient") or (0, 0, 0), float) for d in (first, last))
    step = (end - origin) / max(1, len(slices) - 1)
    if not step.any():
        step = np.cross(row, column) * (slices[0].slice_thickness_mm or 1.0)
    affine = np.eye(4)
    down, across = (float(value) for value in spacing or (1, 1))
    affine[:3] = np.stack([row * across, column * down, step, origin], axis=1)
    return affine


def _meta_tensor(
    hu: NDArray[np.float32], affine: NDArray[np.float64], name: str, slice_thickness_mm: float | None
) -> MetaTensor:
    meta = {
        "filename_or_obj": name,
        "original_affine": affine,
        "spatial_shape": np.array(hu.shape),
        "original_channel_dim": "no_channel",
        "space": "RAS",
        "slice_thickness_mm": slice_thickness_mm or 0.0,
    }
    return MetaTensor(torch.from_numpy(np.ascontiguousarray(hu))[None], affine=torch.from_numpy(affine), meta=meta)
