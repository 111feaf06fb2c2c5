"""Chains of generations, ensembles of them, and networks that a method takes to be like others."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from limbeck.cli.pipeline import experiment
from limbeck.core.errors import RecipeError
from limbeck.recipe.graph import GENERATION, Run
from limbeck.recipe.models import Ensemble, Network
from running import only, run, write

BAN = """\
data: {name: digits, batch: 64, subset: 300}
models: {student: {name: mlp, hidden: [8]}}
method: born_again
generations: 3
baseline: true
train: {length: 2 epochs, optimizer: {name: adamw, lr: 1e-2}}
evaluate: {latency: false}
report: false
"""
ENSEMBLE = """\
data: {name: digits, batch: 64, subset: 300}
models: {student: {from: {recipe: ban.yaml, part: generations}}}
method: as_is
export: [safetensors]
evaluate: {latency: false}
report: false
"""
PEERS = """\
extends: ban.yaml
method: {name: dml, peers: 3, delivers: ensemble}
generations: null
models: {peer2: {name: mlp, hidden: [12]}}
"""
RECIPES = {"ban.yaml": BAN, "ensemble.yaml": ENSEMBLE, "peers.yaml": PEERS}


@pytest.fixture
def lab(tmp_path: Path) -> Path:
    return write(tmp_path, RECIPES)


def planned(recipe: Path, *overrides: str) -> Run:
    return experiment(recipe, overrides, root=recipe.parent / "runs").runs[0]


def chain(run: Run) -> list[Run]:
    return [*(chain(run.upstream["teacher"]) if "teacher" in run.upstream else []), run]


def test_each_generation_is_taught_by_the_one_before_under_a_seed_of_its_own(lab: Path) -> None:
    alone, *students = chain(planned(lab / "ban.yaml"))
    assert [one.seed for one in (alone, *students)] == [0, GENERATION, 2 * GENERATION, 3 * GENERATION]
    assert [one.recipe.generations for one in students] == [1, 2, 3]
    assert alone.canonical["method"]["name"] == "supervised"
    assert len({one.hash for one in (alone, *students)}) == 4


def test_what_is_recorded_of_a_generation_plans_that_generation(lab: Path) -> None:
    for one in chain(planned(lab / "ban.yaml"))[1:]:
        (lab / "again.yaml").write_text(json.dumps(one.canonical))
        again = planned(lab / "again.yaml", f"seeds=[{one.seed}]")
        assert again.hash == one.hash
        assert again.upstream["teacher"].hash == one.upstream["teacher"].hash


def test_what_trains_nothing_has_no_baseline(lab: Path) -> None:
    with pytest.raises(RecipeError, match=r"baseline: as_is trains nothing.*set baseline: false"):
        planned(lab / "ensemble.yaml", "baseline=true")


def test_the_student_alone_is_both_the_first_teacher_and_what_is_compared_with(lab: Path) -> None:
    found = experiment(lab / "ban.yaml", root=lab / "runs")
    assert found.baselines[0].hash == chain(found.runs[0])[0].hash
    assert found.baselines[0].seed == 0


def test_one_generation_more_keeps_those_that_there_are(lab: Path) -> None:
    three, four = (chain(planned(lab / "ban.yaml", f"generations={count}")) for count in (3, 4))
    assert [one.hash for one in three] == [one.hash for one in four[:-1]]


def test_a_given_teacher_begins_the_chain(lab: Path) -> None:
    (lab / "teacher.yaml").write_text(BAN.replace("born_again", "supervised").replace("generations: 3\n", ""))
    first, *students = chain(planned(lab / "ban.yaml", f"models.teacher.from={lab}/teacher.yaml"))
    assert (first.name, len(students)) == ("teacher", 3)


def test_a_given_teacher_is_no_generation_in_the_figures(lab: Path) -> None:
    (lab / "teacher.yaml").write_text(BAN.replace("born_again", "supervised").replace("generations: 3\n", ""))
    other = f"models.teacher={{from: {{recipe: {lab}/teacher.yaml, set: {{models.student.hidden: [16]}}}}}}"
    (note,) = [n for n in run(lab / "ban.yaml", other, "generations=2").notes if n.startswith("test accuracy by")]
    assert ": 1: " in note
    assert "0: " not in note


def test_a_given_teacher_that_is_the_student_alone_of_one_seed_is_no_generation_of_the_other(lab: Path) -> None:
    (lab / "teacher.yaml").write_text(BAN.replace("born_again", "supervised").replace("generations: 3\n", ""))
    given = f"models.teacher.from={lab}/teacher.yaml"
    results = run(lab / "ban.yaml", given, "generations=2", "seeds=2")
    (note,) = [note for note in results.notes if note.startswith("test accuracy by generation")]
    assert ": 1: " in note
    assert "0: " not in note


def test_generations_that_do_not_begin_anew_are_said_to(lab: Path) -> None:
    (lab / "first.yaml").write_text(BAN.replace("born_again", "supervised").replace("generations: 3\n", ""))
    given = f"models.student={{from: {lab}/first.yaml}}"
    text = "each generation begins with the weights of the given student, and not with new ones"
    assert text in run(lab / "ban.yaml", given, "generations=2").notes
    assert text not in run(lab / "ban.yaml", "generations=2").notes


def test_a_recipe_without_generations_keeps_its_seed_and_needs_a_teacher(lab: Path) -> None:
    remedy = "give models.teacher, or set generations: 3"
    with pytest.raises(RecipeError, match=f"born_again needs a network for the role 'teacher': {remedy}"):
        planned(lab / "ban.yaml", "generations=null")
    with pytest.raises(
        RecipeError, match="generations: each is taught by the one before, but the method has no teacher"
    ):
        planned(lab / "ban.yaml", "method=supervised")


def test_all_generations_are_one_ensemble(lab: Path) -> None:
    found = planned(lab / "ensemble.yaml")
    assert isinstance(found.recipe.models["student"], Ensemble)
    one, two, three = (found.upstream[f"student.{number}"] for number in range(3))
    assert [run.hash for run in (one, two, three)] == [run.hash for run in chain(planned(lab / "ban.yaml"))[1:]]
    with pytest.raises(RecipeError, match=r"part: generations, but .* has no generations"):
        planned(lab / "ensemble.yaml", "models.student.from.set={generations: null, method: supervised}")
    inside = f"models={{student: {{ensemble: [{{from: {{recipe: {lab}/ban.yaml, part: generations}}}}]}}}}"
    with pytest.raises(RecipeError, match="not inside another one"):
        planned(lab / "ensemble.yaml", inside)


def test_a_chain_is_run_and_its_ensemble_delivered_exported_and_evaluated(lab: Path) -> None:
    results = run(lab / "ban.yaml")
    assert [entry.role for entry in results.entries] == ["teacher", "alone", "distilled"]
    (note,) = [note for note in results.notes if note.startswith("test accuracy by generation: 0: ")]
    assert f"3: {results.of('distilled')[0].metrics['accuracy']:.2%}" in note
    assert f"2: {results.of('teacher')[0].metrics['accuracy']:.2%}" in note
    assert f"0: {results.of('alone')[0].metrics['accuracy']:.2%}" in note
    together = run(lab / "ensemble.yaml")
    assert together.of("trained")[0].cost["parameters"] == 3 * (64 * 8 + 8 + 8 * 10 + 10)
    assert together.exports[0]["max_difference"] == 0.0


def test_each_seed_has_its_own_teacher_and_figures_are_means_over_all(lab: Path) -> None:
    results = run(lab / "ban.yaml", "seeds=2", "generations=2")
    rows = {row.role: row for row in results.rows()}
    assert [rows[role].count for role in ("teacher", "alone", "distilled")] == [2, 2, 2]
    assert [entry.seed for entry in results.of("teacher")] == [GENERATION, GENERATION + 1]
    assert f"the teacher reaches {rows['teacher'].mean['accuracy']:.2%} ± " in results.verdict()
    (note,) = [note for note in results.notes if note.startswith("test accuracy by generation")]
    for number, role in enumerate(("alone", "teacher", "distilled")):
        row = rows[role]
        assert f"{number}: {row.mean['accuracy']:.2%} ± {row.std['accuracy']:.2%}" in note
    for alone, teacher in zip(results.of("alone"), results.of("teacher"), strict=True):
        same = alone.predictions.logits.argmax(1) == teacher.predictions.logits.argmax(1)
        assert alone.metrics["agreement"] == pytest.approx(float(same.double().mean()))


def test_the_same_network_under_several_seeds_is_no_spread(lab: Path) -> None:
    text = "nothing is trained, and several seeds have the same network"
    fixed = run(lab / "ensemble.yaml", "seeds=2", "export=[]")
    assert any(note.startswith(text) for note in fixed.notes)
    own = run(lab / "ensemble.yaml", "seeds=2", "export=[]", "models.student.from.seed=inherit")
    assert not any(note.startswith(text) for note in own.notes)


def test_peers_that_a_recipe_does_not_give_are_like_the_student(lab: Path) -> None:
    models = planned(lab / "peers.yaml").recipe.models
    assert models["peer1"] == models["student"] == Network(name="mlp", arguments={"hidden": [8]})
    assert models["peer2"] == Network(name="mlp", arguments={"hidden": [12]})


def test_a_peer_with_the_student_s_own_weights_is_refused(lab: Path) -> None:
    with pytest.raises(RecipeError, match="'peer1' would start from the same weights as 'student'"):
        planned(lab / "peers.yaml", f"models.student={{from: {{recipe: {lab}/ban.yaml, set: {{generations: 1}}}}}}")


def test_an_ensemble_of_peers_says_that_it_is_not_the_student_alone(lab: Path) -> None:
    results = run(lab / "peers.yaml")
    sizes = [64 * width + width + width * 10 + 10 for width in (8, 8, 12)]
    assert results.of("trained")[0].cost["parameters"] == sum(sizes)
    (note,) = [note for note in results.notes if "different networks" in note]
    assert f"{sum(sizes):,} parameters and the student alone has {sizes[0]:,}" in note
    assert results.verdict().startswith("Another network than the student: ")
    again = run(lab / "peers.yaml")  # from files alone
    assert again.of("trained")[0].metrics == results.of("trained")[0].metrics
    assert only(lab / "runs", "peers").is_dir()


def test_a_peer_that_is_delivered_has_its_own_name_and_size(lab: Path) -> None:
    better = (
        "models={student: {name: mlp, hidden: [1]}, peer1: {name: cnn, width: 4}}",
        "method={name: dml, peers: 2}",
    )
    results = run(lab / "peers.yaml", *better)
    (delivered,) = results.of("trained")
    assert delivered.network == "cnn"
    assert "delivered: peer1" in results.notes
    assert results.of("alone")[0].network == "mlp"
    assert results.verdict().startswith("Another network than the student: ")


def test_a_network_that_the_method_makes_cannot_be_given_and_is_not_offered(lab: Path) -> None:
    aug = ["method=netaug", "generations=null", "baseline=false"]
    with pytest.raises(RecipeError, match=r"models\.wide: netaug makes the network of the role 'wide' itself"):
        planned(lab / "ban.yaml", *aug, "models.wide=cnn")
    with pytest.raises(RecipeError, match=r"netaug has no role 'teacher'; [^,]*student$"):
        planned(lab / "ban.yaml", *aug, "models.teacher=cnn")


def test_an_ensemble_that_is_trained_on_has_itself_as_its_baseline(lab: Path) -> None:
    members = ", ".join(f"{{from: {{recipe: ban.yaml, set: {{generations: {k}}}}}}}" for k in (1, 2))
    models = f"{{student: {{ensemble: [{members}]}}, teacher: {{from: ban.yaml}}}}"
    (lab / "more.yaml").write_text(f"extends: ban.yaml\ngenerations: null\nmodels: {models}\nmethod: kd\n")
    found = experiment(lab / "more.yaml", root=lab / "runs")
    (alone,) = found.baselines
    assert list(alone.upstream) == ["student.0", "student.1"]
    assert alone.hash != found.runs[0].hash
