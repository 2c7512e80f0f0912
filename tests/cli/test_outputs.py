"""No command writes into its input."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from ctdenoise.cli import app
from ctdenoise.errors import InputError
from tests.conftest import contents, make_series

runner = CliRunner()


@pytest.mark.parametrize(
    "command",
    [
        "evaluate --reference a --noisy b --test c",
        "evaluate --reference b --noisy a --test c",
        "evaluate --noisy b --test ours=a",
        "evaluate --suite natural-ood --data a",
        "audit a b",
        "audit b a",
        "features b a",
        "simulate a --dose 0.25",
    ],
)
@pytest.mark.parametrize("output", ["a", "a/new/out"])
def test_an_output_inside_an_input_is_refused_before_anything_is_written(command, output, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in "abc":
        make_series(tmp_path / name, slices=2)
    before = contents(tmp_path)
    done = runner.invoke(app, [*command.split(), "-o", output])
    assert isinstance(done.exception, InputError)
    assert "the output must not be inside the input" in str(done.exception)
    assert contents(tmp_path) == before
