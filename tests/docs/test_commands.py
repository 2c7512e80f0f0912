"""Every command that README and site show: its options exist, and it runs as shown, on generated data."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer

from ctdenoise.cli import app
from docs.hooks.included import included_pages
from tests.conftest import REPOSITORY
from tests.docs.generated_data import make_data
from tests.docs.not_run import COMMANDS_NOT_RUN, PAGES_NOT_RUN, reason_not_to_run

_BLOCK = re.compile(r"^```bash\n(.*?)^```", re.MULTILINE | re.DOTALL)


def pages() -> list[str]:
    """Return README and all pages of the site, as paths in the repository."""
    site = [*(REPOSITORY / "docs").rglob("*.md"), *included_pages().values()]
    return ["README.md", *sorted(path.relative_to(REPOSITORY).as_posix() for path in site)]


def commands(page: str) -> list[str]:
    """Return the commands of a page's bash blocks, one for each logical line, without comments."""
    text = (REPOSITORY / page).read_text(encoding="utf-8")
    found = []
    for block in _BLOCK.findall(text):
        for line in block.replace("\\\n", " ").splitlines():
            command = re.sub(r"(^|\s+)# .*$", "", line).strip()
            if command:
                found.append(re.sub(r"\s+", " ", command))
    return found


def calls(command: str) -> Iterator[list[str]]:
    """Yield the words of each call of ctdenoise in a command line."""
    for part in re.split(r"&&|;|\|| & ?|&$", command):
        try:
            words = shlex.split(part)
        except ValueError:  # a part of a loop
            continue
        while words and ("=" in words[0] or words[0] == "do"):  # variables; the body of a loop
            words = words[1:]
        if words and words[0].removeprefix(".venv/bin/") == "ctdenoise":
            yield words[1:]


SHOWN = [(page, command) for page in pages() for command in commands(page)]


@pytest.mark.parametrize("page", sorted({page for page, _ in SHOWN}))
def test_options_that_a_page_shows_exist(page):
    group = typer.main.get_command(app)
    for command in commands(page):
        for words in calls(command):
            target = group
            while words and hasattr(target, "commands") and not words[0].startswith("-"):
                assert words[0] in target.commands, f"{command}: no command {words[0]}"
                target, words = target.commands[words[0]], words[1:]
            if target.context_settings.get("ignore_unknown_options"):
                continue  # keys of a bundle's configuration, which the pipelines' tests check
            known = {option for parameter in target.params for option in (*parameter.opts, *parameter.secondary_opts)}
            given = {word.partition("=")[0] for word in words if re.match(r"-{1,2}[a-z]", word)}
            assert given <= known | {"--help"}, f"{command}: no options {given - known}"


def test_what_is_not_run_is_listed_and_still_shown():
    """The list of what no test runs as shown grows only on purpose: with this number."""
    single = [entry for commands in COMMANDS_NOT_RUN.values() for entry in commands]
    for page, start in single:
        assert any(where == page and f"{command}$".startswith(start) for where, command in SHOWN), (page, start)
    assert (len(single), len(PAGES_NOT_RUN)) == (37, 4)


@pytest.fixture(scope="session")
def data(tmp_path_factory) -> Path:
    return make_data(tmp_path_factory.mktemp("data"), 256)


def run_page(page: str, folder: Path, data: Path, *, only: str = "") -> int:
    """Run the commands of a page in their order; return how many."""
    shutil.copytree(data, folder, dirs_exist_ok=True)
    programs = folder / ".venv" / "bin"
    programs.mkdir(parents=True)
    for name, options in (("ctdenoise", "-W ignore -m ctdenoise"), ("pytest", "-m pytest"), ("python", "")):
        (programs / name).write_text(f'#!/bin/sh\nexec {sys.executable} {options} "$@"\n')
        (programs / name).chmod(0o755)
    count = 0
    for command in dict.fromkeys(commands(page)):
        if reason_not_to_run(page, command) or only not in command:
            continue
        script = f'export PATH="{programs}:$PATH" PYTHONPATH="{REPOSITORY}"\n{command}\nresult=$?; wait; exit $result'
        done = subprocess.run(["bash", "-c", script], cwd=folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{page}: {command}\n{done.stdout[-2000:]}\n{done.stderr[-3000:]}"
        count += 1
    return count


@pytest.mark.slow
def test_the_first_command_of_the_readme_runs(tmp_path):
    data = make_data(tmp_path / "data", 96)
    assert run_page("README.md", tmp_path / "work", data, only=" study/ -o denoised/") == 1


RUN = sorted({page for page, command in SHOWN if not reason_not_to_run(page, command)})


@pytest.mark.slow
@pytest.mark.parametrize("page", RUN)
def test_the_commands_of_a_page_run_as_shown(page, tmp_path, data):
    assert run_page(page, tmp_path, data) > 0
