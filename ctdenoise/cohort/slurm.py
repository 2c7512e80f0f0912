"""A batch script for Slurm: an array with one task for each part of a plan."""

from __future__ import annotations

import shlex
import sys
from dataclasses import dataclass
from pathlib import Path

from ctdenoise.cohort.stopping import EXIT_STOPPED

#: Seconds before the end of the wall time at which Slurm sends SIGTERM.
_NOTICE = 300

_SCRIPT = """\
#!/bin/bash
#SBATCH --job-name=ctdenoise
#SBATCH --array=1-{parts}%{at_once}
#SBATCH --ntasks=1
#SBATCH --cpus-per-task={cpus}
{gpus}#SBATCH --time={time}
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --signal=B:TERM@{notice}

# {notice} s before the end of the wall time, and when the task is preempted, Slurm sends SIGTERM: the process stops
# after the slice it is at and exits with {stopped}; the task is then queued again and goes on where it stopped.
export OMP_NUM_THREADS="${{SLURM_CPUS_PER_TASK:-{cpus}}}"
stopping=
trap 'stopping=1; kill -TERM "$worker"' TERM
{command} &
worker=$!
wait "$worker"
code=$?
if [ -n "$stopping" ]; then  # the first wait ended with the signal, this one with the process
    wait "$worker"
    code=$?
fi
if [ "$code" -eq {stopped} ]; then
    scontrol requeue "${{SLURM_ARRAY_JOB_ID}}_${{SLURM_ARRAY_TASK_ID}}"
fi
exit "$code"
"""


@dataclass(frozen=True)
class Array:
    """What is asked of Slurm.

    Attributes
    ----------
    parts, at_once
        Tasks of the array, and how many may run at the same time.
    cpus, gpus
        For each task.
    time
        Wall time of a task, as sbatch takes it.
    """

    parts: int
    at_once: int
    cpus: int
    gpus: int
    time: str


def batch_script(plan: Path, output: Path, array: Array) -> str:
    """Return the text of a batch script that runs the parts of a plan in the Python environment of this process."""
    command = [sys.executable, "-m", "ctdenoise", "cohort", "run", "--plan", str(plan.absolute())]
    command += ["-o", str(output.absolute()), "--part", "auto"]
    return _SCRIPT.format(
        parts=array.parts,
        at_once=array.at_once,
        cpus=array.cpus,
        gpus=f"#SBATCH --gpus-per-task={array.gpus}\n" if array.gpus else "",
        time=array.time,
        notice=_NOTICE,
        stopped=EXIT_STOPPED,
        command=shlex.join(command),
    )
