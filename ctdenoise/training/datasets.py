"""Data sets as MONAI datalists: what was downloaded is checked, split by patient, and listed.

``datasets/NAME/dataset.json`` says what belongs to a data set; the card beside it, where it comes from.
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

#: Test patients of the field; whatever data set they turn up in, they never train.
HELD_OUT_PATIENTS = frozenset({"L506"})


def prepare(name: str, path: str | Path, *, validation: Sequence[str] | None = None, partial: bool = False) -> Datalist:
    """Check a data set that was downloaded and list it.

    Parameters
    ----------
    name
        A folder of ``datasets/``.
    path
        Where its files are, at any depth.
    validation
        CT only: patients, by PatientID or folder, to validate with; those of the data set's card if not given, and
        where it names none, the last patient.
    partial
        Images only: take fewer than the data set has.

    Returns
    -------
    dict
        Sections ``training``, ``validation``, ``testing`` of items with ``image`` and, for pairs, ``label``: absolute
        paths, for CT lists of them.

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
    """Write sections as JSON, as MONAI's ``load_decathlon_datalist`` reads them; whole or not at all.

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
    """Return a data set's sections: of a datalist file if one is given, else of its files.

    Raises
    ------
    InputError
        If there is nothing to train on or to validate with, or a held-out patient would be trained on.
    """
    if datalist is None:
        data = prepare(dataset, dataset_dir, validation=validation)
        origin = Path(dataset_dir)
    else:
        origin = Path(datalist)
        try:
            data = json.loads(origin.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise InputError(f"expected a datalist, found: {error}", path=origin) from error
    for section in ("training", "validation"):
        if not data.get(section):
            raise InputError(
                f"expected items under {section}, found none",
                path=origin,
                hint="a data set needs at least two patients, or more images; see ctdenoise datasets list",
            )
    refuse_held_out(data["training"])
    return data


def refuse_held_out(items: Iterable[Mapping[str, Any]]) -> None:
    """Make sure that no item is of a held-out patient, by the names of its folders and by its PatientID.

    Raises
    ------
    InputError
        If one is; names its file.
    """
    first_of_folder = {Path(p).parent: Path(p) for item in items for p in _paths(item)}
    for folder, path in first_of_folder.items():
        held_out = HELD_OUT_PATIENTS & {*folder.parts, _patient_id(path)}
        if held_out:
            raise InputError(
                f"patient {', '.join(held_out)} is held out for tests: expected it in no training list",
                path=path,
                hint="prepare the datalist again with ctdenoise datasets prepare",
            )


def _paths(item: Mapping[str, Any]) -> list[str]:
    listed = [item[key] for key in ("image", "label") if key in item]
    return [path for entry in listed for path in ([entry] if isinstance(entry, str) else entry)]


def _patient_id(path: Path) -> str:
    try:
        header = read_dataset(path, stop_before_pixels=True, specific_tags=["SOPClassUID", "PatientID"])
    except (NotDicomError, InputError):
        return ""
    return str(header.get("PatientID", ""))


def _prepare_ct(root: Path, spec: Mapping[str, Any], validation: Sequence[str] | None) -> Datalist:
    """List CT by patient: full dose to train, pairs of low and full dose, where there are any, for the rest."""
    patients: dict[str, dict[str, list[Series]]] = defaultdict(lambda: defaultdict(list))
    folders: dict[str, set[str]] = defaultdict(set)
    for series in discover(root).series:
        relative = series.slices[0].path.relative_to(root)
        patient = _patient_id(series.slices[0].path) or relative.parts[0]
        told = f"{relative.parent.as_posix()} {series.description}"
        low_dose = "low_dose" in spec and re.search(spec["low_dose"], told, re.IGNORECASE)
        patients[patient]["low" if low_dose else "full"].append(series)
        folders[patient].update((patient, *relative.parent.parts))
    if not patients:
        raise InputError("expected CT slices, found none", path=root)
    order = sorted(patients, key=lambda patient: min(s.slices[0].path for s in _all_series(patients[patient])))
    testing = {p for p in order if folders[p] & {*spec.get("testing", ()), *HELD_OUT_PATIENTS}}
    candidates = [p for p in order if p not in testing]
    wanted = set(spec.get("validation", ()) if validation is None else validation)
    missing = wanted - set().union(*(folders[p] for p in candidates))
    if validation is not None and missing:
        raise InputError(f"expected patient {', '.join(sorted(missing))}, found no CT of that name", path=root)
    validating = {p for p in candidates if folders[p] & wanted} or set(candidates[-1:])
    data: Datalist = {"training": [], "validation": [], "testing": []}
    for patient in order:
        doses = patients[patient]
        if patient in testing or patient in validating:
            items = _pairs(doses["low"], doses["full"]) or [i for s in doses["full"] for i in _slices(s)]
            data["testing" if patient in testing else "validation"] += items
        else:
            data["training"] += [item for s in doses["full"] for item in _slices(s)]
    return data


def _all_series(by_dose: Mapping[str, list[Series]]) -> list[Series]:
    return [series for same_dose in by_dose.values() for series in same_dose]


def _slices(series: Series) -> list[Item]:
    return [{"image": [str(f.path)], "series": series.uid, "position": f.position} for f in series.slices]


def _pairs(low: Sequence[Series], full: Sequence[Series]) -> list[Item]:
    """Pair each low-dose series with the full-dose one of the same positions, slice by slice."""
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
                hint="the card tells where to get them; a folder of your own is the data set own-photos",
            )
        if labels is not None and (alone := images.keys() ^ labels.keys()):
            raise InputError(
                f"{section}: expected a clean image for each noisy one, found {len(alone)} alone, e.g. {min(alone)}",
                path=root,
            )
        items = [{"image": p} if labels is None else {"image": p, "label": labels[k]} for k, p in images.items()]
        for item in items:
            _check_sizes(item)
        data[section] += items
    if every := spec.get("validation_every"):
        data["validation"] = data["training"][::every]
        del data["training"][::every]
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
        raise InputError(f"expected noisy and clean of one size, found {sizes}", path=item["image"])
