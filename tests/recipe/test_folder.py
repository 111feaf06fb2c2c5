from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from torch import nn

from limbeck.core.errors import RunError
from limbeck.models.weights import save_weights
from limbeck.recipe.folder import RunFolder


def test_states(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    assert folder.state == "absent"
    folder.update(state="unfinished", seed=1)
    assert folder.state == "unfinished"
    folder.update(state="finished")
    assert folder.state == "finished"
    assert folder.read("run.json") == {"state": "finished", "seed": 1}


def test_a_missing_file_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(
        RunError, match=r"evaluation.json does not exist: the run is not finished; run its recipe first"
    ):
        RunFolder(tmp_path).read("evaluation.json")


def test_a_damaged_file_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text('{"state": "fini')
    with pytest.raises(RunError, match=r"run.json is damaged .*--fresh"):
        _ = RunFolder(tmp_path).state


def test_curves_are_the_lines_of_the_metrics(tmp_path: Path) -> None:
    assert RunFolder(tmp_path).curves == []
    (tmp_path / "metrics.jsonl").write_text('{"step": 1}\n{"step": 2}\n')
    assert RunFolder(tmp_path).curves == [{"step": 1}, {"step": 2}]


HOLD = """
import sys
from pathlib import Path
from limbeck.recipe.folder import RunFolder
with RunFolder(Path(sys.argv[1])).locked():
    print("held", flush=True)
    sys.stdin.read()
"""


def test_one_process_at_a_time_and_a_killed_one_lets_go(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "-c", HOLD, str(folder.path)], **pipes) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with (
            pytest.raises(RunError, match=r"another process is training .*run; wait for it, or stop it"),
            folder.locked(),
        ):
            pass
        other.kill()
        other.wait()
    with folder.locked():
        pass


def test_half_files_of_a_killed_process_are_swept_when_the_folder_is_locked(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    half, whole = folder / "checkpoints/.step-000000003.pt.abcd.part", folder / "metrics.jsonl"
    half.parent.mkdir(parents=True)
    for path in (half, whole):
        path.write_text("kept?")
    with folder.locked():
        assert not half.exists()
    assert whole.exists()


@pytest.mark.parametrize("text", ["[]", "3", "null"])
def test_another_document_than_an_object_is_damaged(tmp_path: Path, text: str) -> None:
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(RunError, match=r"run.json is damaged \(expected a JSON object, got .*--fresh"):
        _ = RunFolder(tmp_path).state


def test_keys_that_are_asked_for_must_be_there(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text('{"seed": 1}')
    assert RunFolder(tmp_path).read("run.json", keys=("seed",)) == {"seed": 1}
    with pytest.raises(RunError, match=r"run.json is damaged \(it has no 'notes'\); run the recipe again with --fresh"):
        RunFolder(tmp_path).read("run.json", keys=("seed", "notes"))


@pytest.mark.parametrize("line", ['{"step": 2', "[2]", "\x00"])
def test_a_damaged_line_of_the_metrics_says_what_to_do(tmp_path: Path, line: str) -> None:
    (tmp_path / "metrics.jsonl").write_text(f'{{"step": 1}}\n{line}\n')
    with pytest.raises(RunError, match=r"metrics.jsonl is damaged .*--fresh"):
        _ = RunFolder(tmp_path).curves


def test_weights_that_are_missing_or_damaged_say_what_to_do(tmp_path: Path) -> None:
    network = nn.Linear(2, 2)
    with pytest.raises(RunError, match=r"student-best.safetensors is damaged .*does not exist.*--fresh"):
        RunFolder(tmp_path).load_weights(network, "best")
    (tmp_path / "student-last.safetensors").write_bytes(b"cut")
    with pytest.raises(RunError, match=r"student-last.safetensors is damaged .*--fresh"):
        RunFolder(tmp_path).load_weights(network, "last")
    save_weights(nn.Linear(2, 2), tmp_path / "student-last.safetensors")
    RunFolder(tmp_path).load_weights(network, "last")


def test_a_folder_that_cannot_be_made_or_written_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    for path in (tmp_path / "file", tmp_path / "file" / "run", Path("/proc/limbeck/run")):
        with (
            pytest.raises(RunError, match=f"cannot write {path}: .*make the folder writable, or choose another one"),
            RunFolder(path).locked(),
        ):
            pass


def test_errors_of_what_is_done_in_a_locked_folder_stay_as_they_are(tmp_path: Path) -> None:
    with pytest.raises(PermissionError, match="mine"), RunFolder(tmp_path).locked():
        raise PermissionError(13, "mine")
