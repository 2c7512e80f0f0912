"""The commands of README and site that the tests do not run as shown, each with its reason."""

from __future__ import annotations

#: Whole pages: what ran once, for hours and on data that cannot be shipped; their options are checked all the same.
PAGES_NOT_RUN = {
    "ctdenoise/models/pretrained/*": "cards tell what ran, on real data and for hours",
    "pipelines/*": "trainings and exports, which tests/training runs with small values",
    "docs/speed.md": "minutes of measurement; tests/test_benchmark.py runs the command with small values",
    "docs/strength.md": "tests on real data, for minutes",
}
#: Single commands: page and beginning of the command, by reason; the whole command where it ends in $.
COMMANDS_NOT_RUN = {
    "installs": [
        ("README.md", "source .venv/bin/activate"),
        ("README.md", "make "),
        ("docs/index.md", "make install"),
        ("docs/cohort.md", "pip install"),
        ("docs/how-to/monai.md", "pip install"),
        ("docs/how-to/pacs.md", "pip install"),
        ("docs/how-to/train.md", "pip install"),
        ("docs/start.md", "pip install"),
        ("docs/start.md", "ctdenoise --install-completion"),
        ("docs/start.md", "make install"),
        ("docs/start.md", "source .venv/bin/activate"),
    ],
    "trains for hours": [
        ("README.md", "ctdenoise train ct_lowdose"),
        ("README.md", "ctdenoise export ct_lowdose"),
        ("README.md", "ctdenoise run study/ -o denoised/ --model my-model"),
        ("docs/how-to/train.md", "ctdenoise train ct_lowdose --datalist own.json --output_dir mine"),
        ("docs/how-to/train.md", "ctdenoise export ct_lowdose --output_dir mine"),
        ("docs/how-to/clip-weights.md", "ctdenoise train ct_lowdose"),
    ],
    "needs data of others, or a download": [
        ("datasets/README.md", "ctdenoise datasets prepare aapm-mayo-2016"),
        ("datasets/README.md", "ctdenoise train"),
        ("docs/audit.md", "ctdenoise audit study/ denoised/ -o audit/ --phantom"),
        ("docs/evaluation.md", "ctdenoise evaluate --suite"),
        ("docs/features.md", "ctdenoise features"),
        ("docs/how-to/clip-weights.md", "ctdenoise models"),
        ("docs/how-to/clip-weights.md", "ctdenoise features"),
        ("docs/how-to/clip-weights.md", "ctdenoise run study/ -o denoised/ --model theirs/"),
        ("docs/how-to/photographs.md", "ctdenoise evaluate --suite"),
    ],
    "needs a cluster": [
        ("docs/cohort.md", "sbatch"),
        ("docs/cohort.md", "ctdenoise cohort run --plan plan.jsonl -o /shared/out"),
    ],
    "needs a PACS": [
        ("docs/how-to/pacs.md", "ctdenoise serve node.toml$"),
        ("docs/how-to/pacs.md", "movescu"),
        ("docs/how-to/pacs.md", "storescu"),
        ("docs/node.md", "ctdenoise serve node.toml$"),
        ("docs/node.md", "storescu"),
        ("docs/node.md", "time storescu"),
        ("docs/node.md", "storescp"),
    ],
    "needs a DICOMweb service": [("docs/node.md", "ctdenoise run --from")],
    "needs a container engine": [("docs/container.md", "podman")],
}


def reason_not_to_run(page: str, command: str) -> str | None:
    """Return why a command is not run; None if it is run."""
    for start, reason in PAGES_NOT_RUN.items():
        if page == start or (start.endswith("*") and page.startswith(start[:-1])):
            return reason
    for reason, commands in COMMANDS_NOT_RUN.items():
        if any(page == where and f"{command}$".startswith(start) for where, start in commands):
            return reason
    return None
