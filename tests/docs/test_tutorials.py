"""The tutorials run, and their pages show what they print and draw."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from docs.hooks import tutorials


def test_a_page_has_text_code_output_and_pictures(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    script = tmp_path / "small.py"
    lines = ["# %% [markdown]", "# # Title", "#", "# Words.", "", "# %%", "import matplotlib.pyplot as plt"]
    script.write_text("\n".join([*lines, "print(6 * 7)", "plt.plot([1, 2])"]))
    page = tutorials.run(script, tmp_path)
    assert page.startswith("# Title\n\nWords.\n\n```python\nimport matplotlib")
    assert "```text\n42\n```" in page
    assert "(small-1.png)" in page
    assert (tmp_path / "small-1.png").is_file()


@pytest.mark.slow
@pytest.mark.parametrize("script", tutorials.scripts(), ids=lambda path: path.stem)
def test_a_tutorial_runs_as_a_script(script, tmp_path):
    paths = os.pathsep.join([str(tutorials.REPOSITORY), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "MPLBACKEND": "Agg", "PYTHONPATH": paths}
    call = [sys.executable, "-W", "ignore", str(script)]
    done = subprocess.run(call, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
