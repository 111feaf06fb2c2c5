from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from limbeck.core.files import write_json
from limbeck.recipe.graph import Run, plan
from limbeck.recipe.resolve import resolve
from limbeck.sweep.progress import RunsProgress, share_done


def run(folder: Path, length: str = "10 epochs") -> Run:
    return plan(resolve("digits/mlp-teacher", {"train.length": length}), seed=0, root=folder)


def logged(made: Run, *lines: dict[str, float], rest: str = "") -> None:
    made.folder.mkdir(parents=True, exist_ok=True)
    text = "".join(f"{json.dumps(line)}\n" for line in lines)
    (made.folder / "metrics.jsonl").write_text(text + rest)


@pytest.mark.parametrize(("length", "share"), [("10 epochs", 0.25), ("200 steps", 0.5)])
def test_the_share_is_read_from_the_last_line(tmp_path: Path, length: str, share: float) -> None:
    made = run(tmp_path, length)
    assert share_done(made) == 0.0
    logged(made, {"step": 10, "epoch": 0.5}, {"step": 100, "epoch": 2.5})
    assert share_done(made) == share


def test_half_a_line_is_no_news(tmp_path: Path) -> None:
    made = run(tmp_path)
    logged(made, {"step": 10, "epoch": 1.0}, rest='{"step": 20, "ep')
    assert share_done(made) == 0.0


def test_without_a_terminal_each_finished_run_is_a_line(tmp_path: Path) -> None:
    made, shown = run(tmp_path), io.StringIO()
    write_json(made.folder / "evaluation.json", {"last": {"errors": 1234}})
    write_json(made.folder / "run.json", {"state": "finished", "seconds": 12.4})
    with RunsProgress(4, finished=2, console=Console(file=shown)) as bar:
        bar.look([made])
        bar.finished(made)
    assert shown.getvalue() == "3 of 4  digits-mlp-teacher, seed 0: 1,234 test errors, 12 s of training\n"


def test_on_a_terminal_there_is_a_bar(tmp_path: Path) -> None:
    made, shown = run(tmp_path), io.StringIO()
    logged(made, {"step": 10, "epoch": 5.0})
    with RunsProgress(4, finished=1, console=Console(file=shown, force_terminal=True, width=120)) as bar:
        bar.look([made])
    assert "1 of 4 runs" in shown.getvalue()
    assert "digits-mlp-teacher 50%" in shown.getvalue()


def test_nothing_is_shown_to_nobody(tmp_path: Path) -> None:
    shown = io.StringIO()
    with RunsProgress(1, finished=0, visible=False, console=Console(file=shown)) as bar:
        bar.finished(run(tmp_path))
    assert shown.getvalue() == ""
