"""The entry for orchestrators: their variables, flat output, exit codes, and a container without rights."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread

from ctdenoise.cli import main
from ctdenoise.container import ContainerSettings, Folders
from ctdenoise.errors import InputError
from ctdenoise.inference import Denoiser, RunOptions, denoise
from ctdenoise.models import NetworkConfig, build_network, zoo
from tests.conftest import REPOSITORY, make_series
from tests.models.test_zoo import DESCRIPTION

CONTAINER = REPOSITORY / "container"


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("zoo") / "small"
    zoo.save_model(build_network(NetworkConfig(**DESCRIPTION["network"]), seed=0), folder, **DESCRIPTION)
    return folder


@pytest.fixture
def folders(tmp_path, monkeypatch, model) -> Folders:
    """Input and output as mercure gives them."""
    found = Folders(tmp_path / "data", tmp_path / "output")
    found.output.mkdir()
    monkeypatch.setenv("USER", "somebody")
    monkeypatch.setenv("MERCURE_IN_DIR", str(found.source))
    monkeypatch.setenv("MERCURE_OUT_DIR", str(found.output))
    monkeypatch.setenv("CTDENOISE_MODEL", str(model))
    return found


@pytest.fixture
def call(monkeypatch, capsys) -> Callable[..., tuple[int, str]]:
    """Run the command in this process; return exit code and standard error."""

    def run(*arguments: object) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["ctdenoise", "container", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        return int(ended.value.code or 0), capsys.readouterr().err

    return run


def as_mercure_does(folder: Path, settings: dict[str, object], slices: int = 3) -> None:
    """Write a series and a task as mercure does: flat, named by UIDs."""
    for path in make_series(folder, slices=slices).iterdir():
        image = dcmread(path)
        name = f"{image.SeriesInstanceUID}#{image.SOPInstanceUID}"
        path.rename(folder / f"{name}.dcm")
        (folder / f"{name}.tags").write_text("{}")
    process = {"module_name": "ctdenoise", "settings": settings, "retain_input_images": False, "output": None}
    (folder / "task.json").write_text(json.dumps({"id": "1", "info": {"mrn": "4711"}, "process": process}))


def result(folders: Folders) -> dict:
    return json.loads((folders.output / "result.json").read_text())


def test_mercure_gets_flat_files_a_result_and_the_pixels_of_run(folders, call, model, tmp_path):
    as_mercure_does(folders.source, {"strength": 0.6})
    code, _ = call()
    assert code == 0
    document = result(folders)
    (series,) = document["series"]
    assert document["status"] == "complete"
    assert (series["slices"], series["strength"]) == (3, 0.6)
    assert document["__mercure_notification"] == {"text": "ctdenoise: 1 series denoised, 3 slices", "requested": False}
    assert "SECRET" not in json.dumps(document)
    name = series["name"]
    files = [f"{name}-{number:04d}.dcm" for number in (1, 2, 3)]
    assert sorted(path.name for path in folders.output.iterdir()) == [*files, f"{name}.manifest.json", "result.json"]
    manifest = json.loads((folders.output / f"{name}.manifest.json").read_text())
    assert [record["file"] for record in manifest["slices"]] == files
    denoiser, options = Denoiser.from_pretrained(model), RunOptions(strength=0.6)
    (expected,) = denoise(folders.source, tmp_path / "by-run", model=denoiser, options=options).results
    for number in (1, 2, 3):
        one, other = (
            dcmread(folders.output / f"{name}-{number:04d}.dcm"),
            dcmread(expected.folder / f"{number:04d}.dcm"),
        )
        assert one.SOPInstanceUID == other.SOPInstanceUID
        np.testing.assert_array_equal(one.pixel_array, other.pixel_array)


@pytest.mark.parametrize(("partial", "code"), [("ok", 0), ("fail", 1), (None, 1)])
def test_a_slice_that_fails_costs_what_was_asked_for(partial, code, folders, call):
    as_mercure_does(folders.source, {"partial": partial} if partial else {})
    path = next(folders.source.glob("*.dcm"))
    path.write_bytes(path.read_bytes()[:-500])
    assert call()[0] == code
    document = result(folders)
    assert document["status"] == "incomplete"
    assert document["series"][0]["failed_slices"] == 1
    assert any("PixelData (7FE0,0010)" in problem for problem in document["problems"])
    assert document["__mercure_notification"]["requested"]
    assert len(list(folders.output.glob("*.dcm"))) == 2


def test_nothing_to_denoise_is_exit_code_1_whatever_was_asked_for(folders, call):
    folders.source.mkdir()
    (folders.source / "notes.txt").write_text("hello")
    code, stderr = call("--partial", "ok")
    assert code == 1
    assert "expected a CT slice" in stderr
    assert result(folders)["status"] == "failed"


def test_a_killed_run_goes_on_in_the_same_output(folders, call, model):
    as_mercure_does(folders.source, {"strength": 1})
    denoise(folders.source, folders.output / ".ctdenoise", model=model, options=RunOptions(strength=1))
    begun = {path.stat().st_mtime_ns for path in folders.output.rglob("[0-9]*.dcm")}
    assert call()[0] == 0
    assert {path.stat().st_mtime_ns for path in folders.output.glob("*.dcm")} == begun


def test_two_series_do_not_get_into_each_others_way(folders, call):
    for name in "ab":
        make_series(folders.source / name)
    assert call("--strength", "1")[0] == 0
    assert len(list(folders.output.glob("*.dcm"))) == 6
    assert len(result(folders)["series"]) == 2


@pytest.mark.parametrize("variables", [("MONAI_INPUTPATH", "MONAI_OUTPUTPATH"), ("MERCURE_IN_DIR", "MERCURE_OUT_DIR")])
def test_folders_come_from_options_or_the_orchestrators_variables(variables, tmp_path):
    environment = dict(zip(variables, (str(tmp_path), str(tmp_path)), strict=True))
    assert Folders.of(None, None, environment) == Folders(tmp_path, tmp_path)
    (tmp_path / "other").mkdir()
    assert Folders.of(tmp_path / "other", None, environment).source == tmp_path / "other"
    with pytest.raises(InputError, match="MERCURE_IN_DIR and MERCURE_OUT_DIR"):
        Folders.of(tmp_path, None, {})
    with pytest.raises(InputError, match="expected a folder, found none"):
        Folders.of(tmp_path / "absent", tmp_path, {})


def test_options_come_before_the_task_and_the_task_before_the_environment(tmp_path):
    (tmp_path / "task.json").write_text('{"process": {"settings": {"strength": 0.5, "classic": true}}}')
    environment = {"CTDENOISE_STRENGTH": "0.1", "CTDENOISE_MODEL": "ct-lowdose-lite", "CTDENOISE_PARTIAL": ""}
    settings = ContainerSettings.of({"strength": None, "classic": False}, tmp_path, environment)
    assert (settings.strength, settings.model, settings.classic) == (0.5, "ct-lowdose-lite", False)
    assert settings.partial == "fail"
    assert ContainerSettings.of({"strength": "auto"}, tmp_path, environment).strength is None


@pytest.mark.parametrize(
    ("task", "message"),
    [
        ('{"process": {"settings": {"strenght": 1}}}', "found strenght"),
        ('{"process": {"settings": {"strength": 2}}}', "strength: .* found 2"),
        ('{"process": []}', "expected a task of mercure"),
        ("{", "expected a task of mercure"),
    ],
)
def test_settings_that_make_no_sense_are_refused(task, message, tmp_path):
    (tmp_path / "task.json").write_text(task)
    with pytest.raises(InputError, match=message):
        ContainerSettings.of({}, tmp_path, {})


@pytest.fixture
def sandbox(folders) -> list[str]:
    """What runs a command as a user without name, home, network, capabilities and writable root but for the output."""
    if not shutil.which("bwrap"):
        pytest.skip("bubblewrap is not installed")
    output = str(folders.output)
    command = ["bwrap", "--ro-bind", "/", "/", "--dev", "/dev", "--bind", output, output, "--chdir", "/"]
    command += ["--unshare-all", "--uid", "54321", "--gid", "54321", "--cap-drop", "ALL", "--clearenv"]
    tried = subprocess.run([*command, "/bin/true"], capture_output=True, text=True, check=False)
    if tried.returncode:
        pytest.skip(f"bubblewrap cannot make namespaces here: {tried.stderr.strip()}")
    return command


@pytest.mark.slow
def test_it_runs_as_any_user_without_home_network_and_writable_root(sandbox, folders, model):
    make_series(folders.source, slices=2)
    environment = {
        "PATH": "/usr/bin:/bin",
        "PYTHONPATH": REPOSITORY,
        "OMP_NUM_THREADS": "1",
        "MONAI_INPUTPATH": folders.source,
        "MONAI_OUTPUTPATH": folders.output,
        "CTDENOISE_MODEL": model,
    }
    variables = [text for name, value in environment.items() for text in ("--setenv", name, str(value))]
    command = [*sandbox, *variables, sys.executable]
    proof = "import os, socket, tempfile; assert os.getuid() == 54321; print(tempfile.gettempdir())"
    denied = subprocess.run([*command, "-c", proof], capture_output=True, text=True, check=False)
    assert "No usable temporary directory" in denied.stderr  # so the sandbox is what it should be
    done = subprocess.run([*command, "-m", "ctdenoise", "container"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert len(list(folders.output.glob("*.dcm"))) == 2
    assert not [path for path in folders.output.iterdir() if path.is_dir()]


def test_the_files_for_orchestrators_name_settings_that_exist():
    names = set(ContainerSettings.model_fields)
    module = json.loads((CONTAINER / "module.json").read_text())
    ContainerSettings(**module["settings"])
    assert json.loads(module["docker_arguments"]) == {"read_only": True}
    kaapana = json.loads((CONTAINER / "processing-container.json").read_text())
    (template,) = kaapana["templates"]
    for variable in template["env"]:
        name = variable["name"].removeprefix("CTDENOISE_").lower()
        assert name in names
        ContainerSettings(**{name: variable["value"]})
    xnat = json.loads((CONTAINER / "xnat-command.json").read_text())
    keys = {entry["replacement-key"] for entry in xnat["inputs"]}
    assert set(re.findall(r"#\w+#", xnat["command-line"])) == keys
    mounts = {mount["name"] for mount in xnat["mounts"]}
    assert {output["mount"] for output in xnat["outputs"]} <= mounts
    (wrapper,) = xnat["xnat"]
    assert {entry["provides-files-for-command-mount"] for entry in wrapper["derived-inputs"]} <= mounts
    outputs = {output["name"] for output in xnat["outputs"]}
    assert {handler["accepts-command-output"] for handler in wrapper["output-handlers"]} == outputs


def test_the_command_lines_in_the_files_for_orchestrators_are_understood(call, folders):
    """Each ends with the complaint that there is no such input folder, not with one about an option."""
    xnat = json.loads((CONTAINER / "xnat-command.json").read_text())
    line = xnat["command-line"]
    for entry in xnat["inputs"]:
        line = line.replace(entry["replacement-key"], entry["default-value"])
    kaapana = json.loads((CONTAINER / "processing-container.json").read_text())["templates"][0]["command"]
    for command in (line.split(), kaapana):
        assert command[:2] == ["ctdenoise", "container"]
        arguments = [str(folders.source / "absent") if text == "/input" else text for text in command[2:]]
        code, stderr = call(*arguments)
        assert code == 1
        assert "expected a folder, found none" in stderr


def test_the_containerfile_passes_its_linter():
    linter = shutil.which("hadolint") or shutil.which("hadolint", path=str(Path(sys.executable).parent))
    if not linter:
        pytest.skip("hadolint is not installed")
    checked = subprocess.run([linter, CONTAINER / "Containerfile"], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout
    text = (CONTAINER / "Containerfile").read_text()
    copied = re.findall(r"^COPY (?!--)(.*) \S+$", text, re.MULTILINE)
    assert all((REPOSITORY / name).exists() for names in copied for name in names.split())
    assert "/etc/monai/app.json" not in text  # with it, mercure runs an image as root
