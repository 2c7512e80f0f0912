"""Rules: the first that matches counts."""

from __future__ import annotations

import pytest
from pydicom import Dataset
from pydicom.sequence import Sequence

from ctdenoise.service.rules import first_match
from ctdenoise.service.settings import Rule


def header(**values: object) -> Dataset:
    found = Dataset()
    found.update({"Modality": "CT", "BodyPartExamined": "CHEST", "SliceThickness": "1.5", "ConvolutionKernel": "B30f"})
    found.SeriesDescription = "Thorax 1.5 B30f"
    for keyword, value in values.items():
        setattr(found, keyword, value)
    return found


@pytest.mark.parametrize(
    ("conditions", "matches"),
    [
        ({}, True),
        ({"modality": ["MR", "ct"]}, True),
        ({"modality": ["MR"]}, False),
        ({"body_part": ["chest"], "kernel": ["b[123]*"]}, True),
        ({"body_part": ["CHEST"], "kernel": ["B7*"]}, False),
        ({"description": ["*thorax*"]}, True),
        ({"thickness_mm": [1.5, 3]}, True),
        ({"thickness_mm": [0, 1.4]}, False),
        ({"calling_ae_title": ["SCAN*"]}, True),
        ({"calling_ae_title": ["PACS"]}, False),
    ],
)
def test_conditions(conditions, matches):
    rule = Rule(name="one", **conditions)
    assert (first_match([rule], header(), "SCANNER1") is rule) == matches


def test_the_first_counts():
    rules = [Rule(name="a", kernel=["B7*"]), Rule(name="b"), Rule(name="c")]
    assert first_match(rules, header(), "") is rules[1]
    assert first_match(rules[:1], header(), "") is None


def test_absent_values_match_no_condition():
    empty = Dataset()
    for condition in ({"kernel": ["B*"]}, {"thickness_mm": [0, 9]}, {"body_part": ["?*"]}):
        assert first_match([Rule(name="a", **condition)], empty, "") is None
    assert first_match([Rule(name="a", kernel=["*"])], empty, "") is not None
    assert first_match([Rule(name="a", kernel=["SOFT"])], header(ConvolutionKernel=["SOFT", "EXTRA"]), "") is not None


def test_enhanced_ct_has_them_in_functional_groups():
    region, reconstruction, measures, groups = Dataset(), Dataset(), Dataset(), Dataset()
    region.CodeMeaning = "Chest"
    anatomy = Dataset()
    anatomy.AnatomicRegionSequence = Sequence([region])
    reconstruction.ConvolutionKernel = "QR40"
    measures.SliceThickness = "1"
    groups.FrameAnatomySequence = Sequence([anatomy])
    groups.CTReconstructionSequence = Sequence([reconstruction])
    groups.PixelMeasuresSequence = Sequence([measures])
    enhanced = Dataset()
    enhanced.SharedFunctionalGroupsSequence = Sequence([groups])
    rule = Rule(name="a", kernel=["QR*"], body_part=["chest"], thickness_mm=(1, 1))
    assert first_match([rule], enhanced, "") is rule
