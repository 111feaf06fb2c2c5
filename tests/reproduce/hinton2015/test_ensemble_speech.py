"""The speech experiment on a little set of tones, from the question to the verdict."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from data.sounds import write_recordings
from limbeck.data.loader import evaluation_batches
from limbeck.data.parts import Part
from limbeck.evaluate.predictions import predict
from limbeck.recipe.context import Context
from limbeck.reproduce.experiment import Experiment, Scale
from limbeck.reproduce.hinton2015.ensemble import EXPERIMENT as WHOLE
from limbeck.reproduce.hinton2015.ensemble_speech import EnsembleSpeech
from limbeck.reproduce.runner import conduct
from limbeck.sweep.finished import Finished

pytest.importorskip("datasets")
pytest.importorskip("transformers")
pytest.importorskip("matplotlib")


def _shares(one: Finished, part: Part) -> np.ndarray:
    return predict(one.network(), evaluation_batches(part, batch=50)).logits.double().softmax(1).numpy()


def _divergence(members: list[np.ndarray], student: np.ndarray) -> float:
    ensemble = np.mean(members, axis=0)
    return float((ensemble * np.log(ensemble / student)).sum(1).mean())


def test_no_two_networks_share_their_first_weights() -> None:
    experiment = EnsembleSpeech()
    assert isinstance(experiment, Experiment)
    for quick, members in ((False, 10), (True, 4)):
        single, *taught = experiment.runs(Scale((0, 1, 2), quick))
        assert len(single.seeds) == 3 * members
        seeds = [*single.seeds, *(seed for one in taught for seed in one.seeds)]
        assert len(set(seeds)) == len(seeds) == 3 * members + 3
        for own, one in enumerate(taught):
            listed = [form["from"]["seed"] for form in one.recipe["models"]["teacher"]["ensemble"]]
            assert listed == list(single.seeds[own * members : (own + 1) * members])


def test_it_is_a_part_of_the_ensemble_experiment() -> None:
    labels = [one.label for one in WHOLE.runs(Scale((0,), quick=True))]
    assert labels == ["member", "one", "speech-single", "speech-distilled-0"]


def test_from_recordings_to_a_verdict(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIMBECK_DATA", str(tmp_path))
    write_recordings(tmp_path / "spoken_digits", takes={"train": 2, "test": 1})
    small = EnsembleSpeech(members=2, overrides={"train.length": "60 steps", "train.schedule.warmup": "5 steps"})
    made = conduct("speech", small, Scale((0,), False), root=tmp_path / "runs", jobs=1, context=Context(progress=False))
    assert [run.run.seed for run in made.done.of("speech-single")] == [0, 1]
    assert [run.run.seed for run in made.done.of("speech-distilled-0")] == [2]
    lines = {line.what: line.ours for line in made.outcome.lines}
    # tones of ten frequencies are ten words, whoever utters them
    assert float(lines["one network: words wrong"].split()[0]) < 20
    assert float(lines["2 networks, geometric mean: frames right"].split()[0]) > 70
    members, (student,) = made.done.of("speech-single"), made.done.of("speech-distilled-0")
    apart = lines["nats from the ensemble to the network distilled from them: on training frames; on test frames"]
    assert apart == "; ".join(
        f"{_divergence([_shares(one, part) for one in members], _shares(student, part)):.3f}"
        for part in (student.data.train, student.data.test)
    )
    assert len(lines) == 11
    assert len(made.outcome.claims) == 2
    assert "speaker" in " ".join(made.outcome.notes)
    assert made.page.is_file()
    # the members of the ensemble are the networks that are tested alone
    assert len(list((tmp_path / "runs").glob("spoken_digits-teacher-*"))) == 2
