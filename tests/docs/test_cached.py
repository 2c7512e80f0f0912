"""Pages that programs make: kept while nothing they depend on changes, replaced when it does."""

from __future__ import annotations

import pytest

from docs.hooks import cached


@pytest.fixture
def script(tmp_path, monkeypatch):
    monkeypatch.setattr(cached, "CACHE", tmp_path / "cache")
    path = tmp_path / "make.py"
    path.write_text("import sys, pathlib; pathlib.Path(sys.argv[-1], 'page.md').write_text('1')")
    return path


def test_a_page_is_made_once_and_anew_after_a_change(script):
    first = cached.made("page", [script], "-o", [script])
    (first / "mark").touch()
    assert (cached.made("page", [script], "-o", [script]) / "mark").is_file()
    script.write_text(script.read_text().replace("'1'", "'2'"))
    second = cached.made("page", [script], "-o", [script])
    assert (second / "page.md").read_text() == "2"
    assert list(cached.CACHE.iterdir()) == [second]


def test_a_program_that_fails_leaves_nothing(script):
    script.write_text("raise SystemExit('no such phantom')")
    with pytest.raises(RuntimeError, match="no such phantom"):
        cached.made("page", [script], "", [script])
    assert list(cached.CACHE.iterdir()) == []
