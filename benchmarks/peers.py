"""The same distillation through limbeck, through the package torchdistill, and through the loop that tutorials teach.

Each is a process of its own, timed from its start to its end: reading the data, training, the test. The same networks
with the same weights to start from, the same images in as many batches, the same loss, the same optimiser:

    limbeck, fp32 and bf16    a recipe and `limbeck run`, without report and timings
    limbeck, bf16, cached     the same with stored teacher outputs, which `limbeck cache` stored before
    torchdistill              its public interface; installed into an environment of its own (see `peers/`)
    tutorial loop             float32, a DataLoader of PIL images with 2 workers, `.item()` at every step

They take turns; the order is reversed from round to round. What each delivers is tested here, by one function. The
teacher is trained first, through limbeck, and kept for later runs; neither that nor the installation is timed. Storing
the teacher's outputs is timed apart: it is done once, whatever number of trainings follows, so the ratios of the cached
way are without it, and what they are with it stands below the table. torchdistill's teacher stays in training mode:
that is what it publishes, so it is reported and not repaired.

Results are written after every process. A quick run's are written too, below `runs/peers`.

    LIMBECK_DATA=... python benchmarks/peers.py [--quick] [--only mlp-mnist] [--way torchdistill] [--rounds 1]
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
import venv
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from machine import machine
from outcome import RESULTS, keep, kept, present_device, say, say_machine
from peer_jobs import BATCH, CASES, Case, Size, prepare, tested
from rich.console import Console
from rich.table import Table

from limbeck.data.dataset import Dataset

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
WORK = ROOT / "runs" / "peers"
PACKAGES = ("torchdistill==1.1.5", "torch==2.14.1", "torchvision==0.29.2", "jaxtyping", "pydantic", "safetensors")
"""Of torchdistill's environment; the last three are what limbeck's networks import."""
TORCHDISTILL = "torchdistill"


@dataclass(frozen=True)
class Way:
    """One of the ways to do the job.

    Args:
        name: in the table.
        command: folder of the job, case -> what is run.
        weights: folder of the job -> where it left the student.
        record: folder of the job -> the JSON file in which it left the `seconds` of the training alone.
        filling: folder of the job, case -> what stores the teacher's outputs before; absent = nothing is stored.
        clean: folder of the job -> what is removed before.
        environment: added to that of the process.
    """

    name: str
    command: Callable[[Path, Case], list[str]]
    weights: Callable[[Path], Path]
    record: Callable[[Path], Path]
    filling: Callable[[Path, Case], list[str]] | None = None
    clean: Callable[[Path], Path] | None = None
    environment: Mapping[str, str] = field(default_factory=dict)


def limbeck_way(precision: str, *, cached: bool = False) -> Way:
    """`limbeck run`."""
    name = f"limbeck, {precision}{', cached' if cached else ''}"

    def runs(folder: Path) -> Path:
        return folder / _slug(name)

    def command(verb: str) -> Callable[[Path, Case], list[str]]:
        def of(folder: Path, case: Case) -> list[str]:
            asked = {"train.precision": precision}
            if cached:
                asked |= {"train.teacher_outputs": f"{{name: cached, views: {case.views}}}"}
            sets = [word for key, value in asked.items() for word in ("--set", f"{key}={value}")]
            recipe, where = str(folder / "recipe.yaml"), str(runs(folder))
            return [sys.executable, "-m", "limbeck", verb, recipe, "--quiet", "--runs", where, *sets]

        return of

    def left(folder: Path, file: str) -> Path:
        (found,) = runs(folder).glob(f"*/{file}")
        return found

    return Way(
        name,
        command("run"),
        weights=lambda folder: left(folder, "student-last.safetensors"),
        record=lambda folder: left(folder, "run.json"),
        filling=command("cache") if cached else None,
        clean=runs,
    )


def script_way(name: str, script: str, python: Path, environment: Mapping[str, str]) -> Way:
    """A script of `peers/`."""
    return Way(
        name,
        lambda folder, _case: [str(python), str(HERE / "peers" / f"{script}.py"), str(folder)],
        weights=lambda folder: folder / f"{script}.pt",
        record=lambda folder: folder / f"{script}.json",
        environment=environment,
    )


WAYS = {
    way.name: way
    for way in (
        limbeck_way("fp32"),
        limbeck_way("bf16"),
        limbeck_way("bf16", cached=True),
        script_way(
            TORCHDISTILL,
            "through_torchdistill",
            WORK / "torchdistill" / "bin" / "python",
            {"PYTHONPATH": str(ROOT / "src")},
        ),
        script_way("tutorial loop", "tutorial_loop", Path(sys.executable), {}),
    )
}


def install_torchdistill() -> None:
    """Make torchdistill's own environment, if there is none."""
    folder = WORK / "torchdistill"
    if (folder / "ready").is_file():
        return
    shutil.rmtree(folder, ignore_errors=True)
    venv.create(folder, with_pip=True)
    pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "-c", str(ROOT / "constraints.txt")]
    done = subprocess.run([*pip, *PACKAGES], check=False, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"torchdistill cannot be installed:\n{done.stderr[-2000:]}")
    (folder / "ready").touch()


def measure(case: Case, size: Size, ways: list[Way], *, rounds: int, done: Callable[[dict[str, Any]], None]) -> None:
    """One case, every way, in turns; what there is by now is handed to `done` after each process."""
    folder, console = WORK / f"{case.name}-{size.images}-{size.teacher_epochs}", Console()
    with console.status(f"{case.name}: training the teacher, unless it is there"):
        dataset = prepare(case, size, folder)
    facts = {"case": case.name, "batch": BATCH, "rounds": rounds, "views": case.views, **asdict(size)}
    facts["teacher_accuracy"] = tested(case.teacher, folder / "teacher.safetensors", dataset)
    seconds: dict[str, list[dict[str, float]]] = {way.name: [] for way in ways}
    rows: dict[str, dict[str, Any]] = {}
    for number in range(rounds):
        for way in ways[:: -1 if number % 2 else 1]:
            with console.status(f"{case.name}, round {number + 1} of {rounds}: {way.name}"):
                seconds[way.name].append(timed(way, case, folder))
                rows[way.name] = _row(way, case, size, seconds[way.name], folder, dataset)
            if way.name == TORCHDISTILL:
                after = folder / "through_torchdistill-teacher.pt"
                facts["teacher_accuracy_after_torchdistill"] = tested(case.teacher, after, dataset)
            done({**facts, "ways": list(rows.values())})


def timed(way: Way, case: Case, folder: Path) -> dict[str, float]:
    """Seconds of storing the teacher's outputs, of the whole process, and of its training alone."""
    if way.clean is not None:
        shutil.rmtree(way.clean(folder), ignore_errors=True)
    filling = _process(way, way.filling(folder, case), folder) if way.filling is not None else 0.0
    process = _process(way, way.command(folder, case), folder)
    training = json.loads(way.record(folder).read_text(encoding="utf-8"))["seconds"]
    return {"filling": filling, "process": process, "training": training}


def _process(way: Way, command: list[str], folder: Path) -> float:
    """Its seconds; what it printed is kept in the job's folder."""
    log = folder / f"{_slug(way.name)}.log"
    with log.open("w", encoding="utf-8") as output:
        began = time.perf_counter()
        environment = {**os.environ, **way.environment}
        done = subprocess.run(command, check=False, stdout=output, stderr=subprocess.STDOUT, env=environment)
        seconds = time.perf_counter() - began
    if done.returncode:
        raise SystemExit(f"{way.name} failed:\n{log.read_text(encoding='utf-8')[-2000:]}")
    return seconds


def _slug(name: str) -> str:
    return name.replace(", ", "-").replace(" ", "-")


def _row(
    way: Way, case: Case, size: Size, seconds: list[dict[str, float]], folder: Path, dataset: Dataset
) -> dict[str, Any]:
    median = {key: statistics.median(one[key] for one in seconds) for key in seconds[0]}
    images = size.images // BATCH * BATCH * size.epochs
    return {
        "way": way.name,
        "filling_seconds": round(median["filling"], 2),
        "seconds": round(median["process"], 2),
        "all_seconds": [round(one["process"], 2) for one in seconds],
        "training_seconds": round(median["training"], 2),
        "images_per_second": round(images / median["process"], 1),
        "training_images_per_second": round(images / median["training"], 1),
        "accuracy": tested(case.student, way.weights(folder), dataset),
    }


def merged(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    """A case with the ways measured now in the place of those measured before, if it was of the same size then."""
    size = ("images", "epochs", "teacher_epochs", "batch", "views", "teacher_accuracy")
    if any(before.get(key) != after[key] for key in size):
        return dict(after)
    ways = {row["way"]: row for row in (*before["ways"], *after["ways"])}
    return {**before, **after, "ways": [ways[name] for name in WAYS if name in ways]}


def show(found: Mapping[str, Any]) -> None:
    """The table of a case."""
    title = f"{found['case']}: {found['images']} images, {found['epochs']} epochs, batch {found['batch']}"
    table = Table(title=title, title_justify="left", box=None, header_style="bold", pad_edge=False)
    table.add_column("", no_wrap=True)
    for heading in ("whole, s", "ratio", "train, s", "image/s", "ratio", "test", "fill, s"):
        table.add_column(heading, justify="right")
    whole, training = _fastest(found, "seconds"), _fastest(found, "training_seconds")
    for row in found["ways"]:
        cells = [f"{row['seconds']:.1f}", _ratio(whole, row["seconds"])]
        cells += [f"{row['training_seconds']:.1f}", f"{row['training_images_per_second']:.0f}"]
        cells += [_ratio(training, row["training_seconds"]), f"{row['accuracy']:.2%}"]
        table.add_row(row["way"], *cells, f"{row['filling_seconds']:.1f}" if row["filling_seconds"] else "")
    Console().print(table, highlight=False)
    for row in found["ways"]:
        if row["filling_seconds"]:
            say(_with_filling(row, found, whole))
    teacher = f"Ratios are to the faster of the two others. Teacher: {found['teacher_accuracy']:.2%}"
    after = found.get("teacher_accuracy_after_torchdistill")
    say(
        teacher + (f"; {after:.2%} after torchdistill, which leaves it in training mode." if after is not None else ".")
    )


def _fastest(found: Mapping[str, Any], key: str) -> float | None:
    return min((row[key] for row in found["ways"] if not row["way"].startswith("limbeck")), default=None)


def _ratio(fastest: float | None, seconds: float) -> str:
    return "–" if fastest is None else f"{fastest / seconds:.2f}"


def _with_filling(row: Mapping[str, Any], found: Mapping[str, Any], fastest: float | None) -> str:
    both = row["filling_seconds"] + row["seconds"]
    passes = f"{found['views']} views" if found["views"] else "each image once"
    line = f"{row['way']}: storing what the teacher gives for {passes} took {row['filling_seconds']:.1f} s, once; "
    line += f"with it the first training takes {both:.1f} s"
    return f"{line}, a ratio of {_ratio(fastest, both)}."


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description="The same job through limbeck, torchdistill and a tutorial's loop.")
    parser.add_argument("--only", choices=list(CASES), help="one case; it takes its place among the results")
    parser.add_argument("--way", choices=list(WAYS), help="one way; it takes its place among the results")
    parser.add_argument("--quick", action="store_true", help="on subsets; the accuracies only show that it runs")
    parser.add_argument("--rounds", type=int, default=1, help="of each way")
    asked = parser.parse_args()
    ways, device = [WAYS[asked.way]] if asked.way else list(WAYS.values()), present_device()
    if asked.way in (None, TORCHDISTILL):
        with Console().status("installing torchdistill into its own environment, unless it is there"):
            install_torchdistill()
    path = WORK / f"quick-{device.type}.json" if asked.quick else RESULTS / f"peers-{device.type}.json"
    facts = {**machine(device), "torchdistill": "1.1.5"}

    def known(name: str) -> dict[str, Any]:
        return next((row for row in kept(path, facts).get("cases", []) if row["case"] == name), {})

    def done(found: dict[str, Any]) -> None:
        keep(path, facts, merged(known(found["case"]), found), order=list(CASES))

    for name in [asked.only] if asked.only else CASES:
        case = CASES[name]
        measure(case, case.quick if asked.quick else case.full, ways, rounds=asked.rounds, done=done)
        show(known(name))
    say_machine(facts)


if __name__ == "__main__":
    main()
