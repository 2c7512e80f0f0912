#!/usr/bin/env bash
# Install the wheel into a fresh environment and use it from an empty folder: demo, run, evaluate, train, export.
#   packaging/check_wheel.sh [PYTHON]
set -euo pipefail
cd "$(dirname "$0")/.."
python=$(command -v "${1:-python3}")
most_mb=95
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

rm -rf dist && "$python" -m venv "$work/build" && "$work/build/bin/python" -m pip wheel --quiet --no-deps --wheel-dir dist .
wheel=$(realpath dist/ctdenoise-*.whl)
mb=$(($(stat -c %s "$wheel" 2>/dev/null || stat -f %z "$wheel") / 1000000))
echo "$wheel: $mb MB"
[ "$mb" -lt "$most_mb" ]

"$python" -m venv "$work/fresh"
"$work/fresh/bin/python" -m pip install --quiet --constraint constraints.txt "$wheel"
PATH="$work/fresh/bin:$PATH"
cd "$work"
ctdenoise --version
ctdenoise demo -o demo --model ct-lowdose-lite
ctdenoise run demo/low-dose -o denoised --report
ctdenoise evaluate --reference demo/full-dose --noisy demo/low-dose --test denoised/* -o evaluation
python -c "from importlib.metadata import distributions; print(len({d.name.lower() for d in distributions()}) - 2, 'packages besides ctdenoise and pip')"

python -m pip install --quiet --constraint "$OLDPWD/constraints.txt" "$wheel[train]"
mkdir -p patients/a patients/b
cp demo/full-dose/* patients/a && python - <<'PYTHON'
from pathlib import Path

from pydicom import dcmread
from pydicom.uid import generate_uid

series, study = generate_uid(), generate_uid()
for path in Path("demo/truth").iterdir():
    image = dcmread(path)
    image.PatientID, image.SeriesInstanceUID, image.StudyInstanceUID = "b", series, study
    image.SOPInstanceUID = image.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    image.save_as(f"patients/b/{path.name}")
PYTHON
small=(--iterations 4 --iterations_per_epoch 2 --crop 32 --batch_size 2)
ctdenoise train ct_lowdose --dataset_dir patients --output_dir training "${small[@]}"
ctdenoise export ct_lowdose --dataset_dir patients --output_dir training --model_dir model "${small[@]}"
ctdenoise run demo/low-dose -o by-own-model --model model
echo "the wheel works on $("$python" --version)"
