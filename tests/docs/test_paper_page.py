"""What "Evaluate for a paper" gives to copy: the recipe for intervals over patients, and the citations."""

from __future__ import annotations

import re

import pytest
import yaml

from ctdenoise.evaluation.document import Evaluation, Fidelity
from tests.conftest import REPOSITORY

PAGE = (REPOSITORY / "docs" / "how-to" / "evaluate-for-a-paper.md").read_text(encoding="utf-8")


def document(**means: float) -> Evaluation:
    fields = {
        "window": "soft-tissue", "low": -160, "high": 240, "how": "", "metric": "psnr", "unit": "dB", "slices": 1,
        "sd": None, "ci95": None,
    }  # fmt: skip
    rows = [Fidelity(image=name, mean=mean, values=(mean,), **fields) for name, mean in means.items()]
    return Evaluation(
        version="0", protocol="usual", mask="none", images={}, slices=("1",), warnings=(), fidelity=tuple(rows),
        comparisons=(), physics=None, command="", date="", software={},
    )  # fmt: skip


def test_the_recipe_resamples_patients(tmp_path, monkeypatch, capsys):
    for patient, gain in enumerate((1.0, 2.0, 3.0, 4.0)):
        folder = tmp_path / "patients" / str(patient)
        folder.mkdir(parents=True)
        text = document(noisy=30.0, ours=30 + gain).model_dump_json(by_alias=True)
        (folder / "metrics.json").write_text(text, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    (recipe,) = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    exec(compile(recipe, "recipe", "exec"), {})
    found = re.fullmatch(r"PSNR gained: 2\.50 dB \[(.*), (.*)\], 4 patients\n", capsys.readouterr().out)
    # Means of four of the gains: 1.5 and 3.5 are their 2.5th and 97.5th percentiles.
    assert [float(end) for end in found.groups()] == pytest.approx([1.5, 3.5], abs=0.26)


def test_the_citations_are_those_of_citation_cff():
    cff = yaml.safe_load((REPOSITORY / "CITATION.cff").read_text(encoding="utf-8"))
    (bibtex,) = re.findall(r"^```bibtex\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    plain = re.sub("[{}]", "", bibtex)
    (paper,) = cff["references"]
    assert f"version {cff['version']}" in plain
    assert {cff["title"], paper["title"]} <= set(re.findall(r"title\s+= (.*),", plain))
    assert cff["authors"][0]["name"] in plain
    assert " and ".join(f"{one['family-names']}, {one['given-names']}" for one in paper["authors"]) in plain
    assert paper["url"].rpartition("/")[2] in plain
