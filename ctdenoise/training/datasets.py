"""Data sets as MONAI datalists: check the downloaded files, split them by patient, list them.

``datasets/NAME/dataset.json`` describes the files of a data set; ``README.md`` beside it is the card with origin and
licence.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from ctdenoise.errors import InputError
from ctdenoise.files import write_whole
from ctdenoise.io.dicom import Series, discover
from ctdenoise.io.dicom.read import NotDicomError, read_dataset
from ctdenoise.io.images import is_image
from ctdenoise.training.resources import resource

Item = dict[str, Any]
Datalist = dict[str, list[Item]]

#: Patients that published methods are tested on; they are never used for training, whatever data set they are in.
HELD_OUT_PATIENTS = frozenset({"L506"})


def prepare(name: str, path: str | Path, *, validation: Sequence[str] | None = None, partial: bool = False) -> Datalist:
    """Check the files of a downloaded data set and list them.

    Parameters
    ----------
    name
        Name of a data set, a folder of ``datasets/``.
    path
        Folder of its files, which may be at any depth.
    validation
        CT only: patients to validate with, by PatientID or folder name. By default those that ``dataset.json`` names,
        or the last patient if it names none.
    partial
        Images only: accept fewer images than the data set has.

    Returns
    -------
    dict
        Sections ``training``, ``validation`` and ``testing``, lists of items with ``image`` and, for pairs of noisy and
        clean images, ``label``: absolute paths; for CT lists of paths.

    Raises
    ------
    InputError
        If the files are not those of the data set.
    """
    root = Path(path).resolve()
    if not root.is_dir():
        raise InputError("expected the folder of a data set, found none", path=root)
    spec = json.loads((resource("datasets", name) / "dataset.json").read_text(encoding="utf-8"))
    if spec["kind"] == "ct":
        return _prepare_ct(root, spec, validation)
    return _prepare_images(root, spec, partial)


def write_datalist(data: Datalist, path: Path) -> None:
    """Write a datalist as JSON, in the format of MONAI's ``load_decathlon_datalist``, atomically.

    Raises
    ------
    InputError
        If it cannot be written.
    """
    try:
        write_whole(path, json.dumps(data, indent=1) + "\n")
    except OSError as error:
        raise InputError(f"cannot be written: {error.strerror or error}", path=path) from error


def load_data(
    dataset: str,
    dataset_dir: str | Path,
    *,
    datalist: str | Path | None = None,
    validation: Sequence[str] | None = None,
) -> Datalist:
    """Return the sections of a datalist file if one is given, else of the data set's files.

    Parameters
    ----------
    dataset, dataset_dir, validation
        See :func:`prepare`.
    datalist
        A file of :func:`write_datalist`.

    Raises
    ------
    InputError
        If the files are not those of the data set, or a held-out patient is among those for training.
    """
    if datalist is None:
        data = prepare(dataset, dataset_dir, validation=validation)
    else:
        origin = Path(datalist)
        try:
            data = json.loads(origin.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise InputError(f"expected a datalist, found: {error}", path=origin) from error
    refuse_held_out(data.get("training", []))
    return data


def refuse_held_out(items: Iterable[Mapping[str, Any]]) -> None:
    """Refuse items of held-out patients, who are recognised by folder name and by PatientID.

    Raises
    ------
    InputError
        If there is one; names its file.
    """
    first_of_folder = {Path(p).parent: Path(p) for item in items for p in item_paths(item)}
    for folder, path in first_of_folder.items():
        held_out = HELD_OUT_PATIENTS & {*folder.parts, _patient_id(path)}
        if held_out:
            raise InputError(
                f"expected no patient that is held out for tests, found {', '.join(held_out)} in the training section",
                path=path,
                hint="prepare the datalist again with ctdenoise datasets prepare",
            )


def item_paths(item: Mapping[str, Any]) -> list[str]:
    """Return the paths of all files of an item."""
    listed = [item[key] for key in ("image", "label") if key in item]
    return [path for entry in listed for path in ([entry] if isinstance(entry, str) else entry)]


def _patient_id(path: Path) -> str:
    try:
        header = read_dataset(path, stop_before_pixels=True, specific_tags=["SOPClassUID", "PatientID"])
    except (NotDicomError, InputError):
        return ""
    return str(header.get("PatientID", ""))


def _prepare_ct(root: Path, spec: Mapping[str, Any], validation: Sequence[str] | None) -> Datalist:
    """List CT slices by patient: full dose for training, and pairs of low and full dose for the rest, if present."""
    patients: dict[str, dict[str, list[Series]]] = defaultdict(lambda: defaultdict(list))
    folders: dict[str, set[str]] = defaultdict(set)
    for series in discover(root).series:
        relative = series.slices[0].path.relative_to(root)
        patient = _patient_id(series.slices[0].path) or relative.parts[0]
        names = f"{relative.parent.as_posix()} {series.description}"
        low_dose = "low_dose" in spec and re.search(spec["low_dose"], names, re.IGNORECASE)
        patients[patient]["low" if low_dose else "full"].append(series)
        folders[patient].update((patient, *relative.parent.parts))
    if not patients:
        raise InputError("expected CT slices, found none", path=root)
    _check_patients(spec, patients, folders)
    order = sorted(patients, key=lambda patient: min(s.slices[0].path for s in _all_series(patients[patient])))
    testing = {p for p in order if folders[p] & {*spec.get("testing", ()), *HELD_OUT_PATIENTS}}
    candidates = [p for p in order if p not in testing]
    requested = set(spec.get("validation", ()) if validation is None else validation)
    missing = requested - set().union(*(folders[p] for p in candidates))
    if validation is not None and missing:
        raise InputError(f"expected patient {', '.join(sorted(missing))}, found no CT of that name", path=root)
    validating = {p for p in candidates if folders[p] & requested} or set(candidates[-1:])
    data: Datalist = {"training": [], "validation": [], "testing": []}
    for patient in order:
        doses = patients[patient]
        if patient in testing or patient in validating:
            items = _pairs(doses["low"], doses["full"]) or [i for s in doses["full"] for i in _slices(s)]
            data["testing" if patient in testing else "validation"] += items
        else:
            data["training"] += [item for s in doses["full"] for item in _slices(s)]
    return data


def _check_patients(
    spec: Mapping[str, Any], patients: Mapping[str, Mapping[str, list[Series]]], folders: Mapping[str, set[str]]
) -> None:
    """Refuse patients who are not of the data set; the message names a file, because PatientID may be a person's."""
    if "patient" not in spec:
        return
    others = [p for p in patients if not any(re.fullmatch(spec["patient"], name) for name in folders[p])]
    if others:
        raise InputError(
            f"{spec['title']}: expected only patients whose PatientID or folder is named {spec['patient']}, "
            f"found {len(others)} of {len(patients)} with other names, for instance in this file",
            path=_all_series(patients[others[0]])[0].slices[0].path,
            hint="use the data set own-ct for any other CT",
        )


def _all_series(by_dose: Mapping[str, list[Series]]) -> list[Series]:
    return [series for same_dose in by_dose.values() for series in same_dose]


def _slices(series: Series) -> list[Item]:
    return [{"image": [str(f.path)], "series": series.uid, "position": f.position} for f in series.slices]


def _pairs(low: Sequence[Series], full: Sequence[Series]) -> list[Item]:
    """Pair the slices of each low-dose series with those of the full-dose series at the same positions."""
    items = []
    for noisy in low:
        for clean in full:
            by_position = {round(f.position, 2): f for f in clean.slices if f.position is not None}
            partners = [by_position.get(round(f.position, 2)) for f in noisy.slices if f.position is not None]
            if len(clean.slices) == len(noisy.slices) == len([p for p in partners if p]):
                items += [
                    {**item, "label": [str(partner.path)]}
                    for item, partner in zip(_slices(noisy), partners, strict=True)
                    if partner
                ]
                break
    return items


def _prepare_images(root: Path, spec: Mapping[str, Any], partial: bool) -> Datalist:
    files = sorted(p for p in root.rglob("*") if p.is_file() and is_image(p))
    data: Datalist = {"training": [], "validation": [], "testing": []}
    for section, parts in spec["sections"].items():
        found = {
            key: {
                re.sub(parts[key], "", p.relative_to(root).as_posix(), flags=re.IGNORECASE): str(p)
                for p in files
                if re.search(parts[key], p.relative_to(root).as_posix(), re.IGNORECASE)
            }
            for key in ("image", "label")
            if key in parts
        }
        images, labels = found["image"], found.get("label")
        if not images or ("count" in parts and len(images) != parts["count"] and not partial):
            expected = f"{parts['count']} images" if "count" in parts else "images"
            raise InputError(
                f"{section}: expected {expected} with names like {parts['image']}, found {len(images)}",
                path=root,
                hint="ctdenoise datasets show tells where to get them; use own-photos for a folder of your own",
            )
        if labels is not None and (unpaired := images.keys() ^ labels.keys()):
            raise InputError(
                f"{section}: expected a clean image for each noisy one, "
                f"found {len(unpaired)} without partner, e.g. {min(unpaired)}",
                path=root,
            )
        items = [{"image": p} if labels is None else {"image": p, "label": labels[k]} for k, p in images.items()]
        for item in items:
            _check_sizes(item)
        data[section] += items
    if step := spec.get("validation_every"):
        data["validation"] = data["training"][::step]
        del data["training"][::step]
    return data


def _check_sizes(item: Item) -> None:
    sizes = {}
    for key in ("image", "label"):
        if key in item:
            try:
                with Image.open(item[key]) as image:
                    sizes[key] = image.size
            except OSError as error:
                raise InputError("expected an image, found one that cannot be read", path=item[key]) from error
    if len(set(sizes.values())) > 1:
        raise InputError(f"expected noisy and clean image of the same size, found {sizes}", path=item["image"])
