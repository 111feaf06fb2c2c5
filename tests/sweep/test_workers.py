"""Several processes: what happens when a run fails, and when somebody presses Ctrl-C."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from limbeck.core.errors import RunError
from limbeck.recipe.folder import RunFolder
from limbeck.reproduce.experiment import Scale
from limbeck.sweep.planning import Asked, planned
from limbeck.sweep.progress import RunsProgress, share_done
from limbeck.sweep.workers import cores, do_all
from reproduce.small import recipe

SCALE = Scale((0,), quick=True)

SCRIPT = """
import sys
from pathlib import Path
from limbeck.cli import main
from limbeck.recipe.context import Context
from limbeck.reproduce.experiment import Scale
from limbeck.reproduce.runner import conduct
from reproduce.small import Small

if __name__ == "__main__":
    experiment = Small(length="20000 epochs")
    conduct("long", experiment, Scale((0,), True), root=Path(sys.argv[1]), jobs=2, context=Context(progress=False))
"""


def test_cores_are_those_that_this_process_may_use() -> None:
    assert 1 <= cores() <= (os.cpu_count() or 1)


def test_a_run_that_fails_is_named_and_stops_the_others(tmp_path: Path) -> None:
    """The broken one diverges; the long one would take minutes, and is stopped with its state saved."""
    broken, long = recipe("30 epochs", 8), recipe("20000 epochs", 8)
    broken["train"]["optimizer"] = {"name": "sgd", "lr": 1e30}
    asked = [Asked("long", long), Asked("broken", broken), Asked("later", recipe("1 epochs", 9))]
    plan = planned(asked, seeds=SCALE.seeds, root=tmp_path / "runs", folder=tmp_path)
    with RunsProgress(3, finished=0, visible=False) as bar, pytest.raises(RunError, match=r"broken \(seed 0\): .*"):
        do_all(plan.ordered, plan, jobs=2, bar=bar)
    states = {run.name: RunFolder(run.folder).state for run in plan.ordered}
    assert states["long"] == "unfinished"
    assert states["broken"] == "absent"
    assert states["later"] == "absent"
    (run,) = plan.labelled["long"]
    assert 0 < share_done(run) < 1


def test_ctrl_c_saves_every_training_and_says_how_to_go_on(tmp_path: Path) -> None:
    script = tmp_path / "experiment.py"
    script.write_text(SCRIPT)
    path = os.pathsep.join([str(Path(__file__).parents[1]), *sys.path])
    environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(script), str(tmp_path / "runs")]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    process = subprocess.Popen(command, env=environment, start_new_session=True, **pipes)
    _wait_until(lambda: len(list((tmp_path / "runs").glob("*/metrics.jsonl"))) == 2, process)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: everybody gets it
    shown, _ = process.communicate(timeout=60)
    assert "Interrupted: stopped; everything is saved. Run the same command again" in shown
    assert len(list((tmp_path / "runs").glob("*/checkpoints/step-*.pt"))) >= 2
    assert shown.count("Traceback") == 1  # of this script, which does not catch it; none of the trainings


def _wait_until(happened: object, process: subprocess.Popen[str]) -> None:
    for _ in range(600):
        if callable(happened) and happened():
            return
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.1)
    raise AssertionError("nothing was trained within a minute")
