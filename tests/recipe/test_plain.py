from __future__ import annotations

import json
from typing import Any

from limbeck.methods.kd import KD
from limbeck.methods.supervised import Supervised
from limbeck.recipe.build import Builder
from limbeck.recipe.names import path_of
from limbeck.recipe.plain import plain
from limbeck.recipe.yaml import Mark, node_of

from .fakes import Fast, Inner, Loud, Outer


def test_names_are_found_for_what_is_chosen_and_only_for_that() -> None:
    data: Any = plain(Outer(needed=1, method=KD(), methods=(Supervised(), Loud())), names={})
    assert data["method"] == {"name": "kd", "temperature": 4.0, "hard_weight": 0.1}
    assert data["methods"] == [{"name": "supervised"}, {"name": path_of(Loud), "volume": 3}]
    assert data["inner"] == {"count": 1, "label": None}
    assert data["speed"] == {"name": "slow", "rate": 0.1}


def test_remembered_names_win() -> None:
    assert plain(Loud(), names={Loud: "elsewhere:Loud"}) == {"name": "elsewhere:Loud", "volume": 3}


def test_plain_data_builds_an_equal_object() -> None:
    value = Outer(
        needed=1,
        speed=Fast(betas=(0.5, 0.5)),
        auto=Inner(count=4),
        speeds={"a": Fast()},
        method=KD(),
        methods=(Loud(),),
    )
    data = json.loads(json.dumps(plain(value, names={})))
    builder = Builder()
    assert builder.settings(Outer, node_of(data, Mark()), ()) == value
    assert builder.problems == []
