"""Enhanced (multi-frame) CT and its functional groups."""

from __future__ import annotations

from collections.abc import Iterator

from pydicom import Dataset
from pydicom.uid import EnhancedCTImageStorage, LegacyConvertedEnhancedCTImageStorage

ENHANCED_CT = frozenset({EnhancedCTImageStorage, LegacyConvertedEnhancedCTImageStorage})


def is_enhanced(dataset: Dataset) -> bool:
    """Whether an image is enhanced, with frames and functional groups."""
    return dataset.get("SOPClassUID") in ENHANCED_CT


def functional_group(dataset: Dataset, frame: int, keyword: str) -> Dataset | None:
    """Return a functional group of a frame, counted from 0: its own or the shared one (PS3.3 C.7.6.16); else None."""
    for groups in _groups(dataset, frame):
        if group := groups.get(keyword):
            return group[0]  # type: ignore[no-any-return]
    return None


def _groups(dataset: Dataset, frame: int) -> Iterator[Dataset]:
    per_frame = dataset.get("PerFrameFunctionalGroupsSequence") or []
    if frame < len(per_frame):
        yield per_frame[frame]
    yield from dataset.get("SharedFunctionalGroupsSequence") or []
