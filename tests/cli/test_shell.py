"""Shell completion and the man page know every command and option."""

from __future__ import annotations

import os
import subprocess
import sys

from tests.conftest import REPOSITORY


def completions(words: str) -> str:
    environment = {**os.environ, "_CTDENOISE_COMPLETE": "complete_bash", "COMP_WORDS": words}
    environment["COMP_CWORD"] = str(words.count(" "))
    code = "import sys; sys.argv[0] = 'ctdenoise'; from ctdenoise.cli import app; app(prog_name='ctdenoise')"
    return subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
    ).stdout


def test_the_shell_completes_commands_and_options():
    assert {"run", "simulate", "cohort"} <= set(completions("ctdenoise ").split())
    assert {"--strength", "--deidentify"} <= set(completions("ctdenoise run --").split())
    assert {"plan", "status"} <= set(completions("ctdenoise cohort ").split())


def test_the_man_page_names_every_command():
    call = [sys.executable, str(REPOSITORY / "packaging" / "man.py")]
    page = subprocess.run(call, capture_output=True, text=True, check=True).stdout
    assert page.startswith(".TH CTDENOISE 1")
    for command in ("run", "cohort plan", "datasets prepare"):
        assert f".SS ctdenoise {command} " in page
    assert ".B \\-\\-strength <str>" in page
    assert "\\&.PP" not in page
