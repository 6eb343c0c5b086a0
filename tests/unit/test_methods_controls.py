"""Methods that run control operators: which variants they make of a plan, and what the store knows of them."""

from dataclasses import replace
from itertools import groupby

import numpy as np
import pytest
import scipy.sparse as sp
import yaml

from opbench.config import merge, parse_config
from opbench.config.evidence import FIXED_ARMS, RANDOM_ARMS
from opbench.config.model import Adaptor
from opbench.io.locate import locate
from opbench.methods import registry
from opbench.methods.interface import Cells, Classes, Plan, Task, Variant
from opbench.readouts.run_chunk import make_plan

CONTROLS = {"shuffle": 2, "uniform": 1, "token_bag": 1, "label_lookup": 2}
PLAN = Plan(
    Adaptor(), ("fixed", "plateau"), 2, "halves", frozen=False, model="none", seeds=3, controls=CONTROLS
)  # fmt: skip


def variants(name: str, plan: Plan = PLAN) -> list[Variant]:
    method = registry.load(name)
    return method.variants(plan.shown_to(method))


def test_random_arms_have_one_seed_a_draw_and_fixed_ones_every_seed():
    found = variants("control_head")
    drawn = [(v.operator, v.draw, v.seed) for v in found if v.arm == "shuffle"]
    assert drawn == [("shuffle-0", 0, 0)] * 2 + [("shuffle-1", 1, 0)] * 2
    fixed = {(v.operator, v.draw, v.budget, v.seed) for v in found if v.arm == "uniform"}
    assert fixed == {("uniform", -1, budget, seed) for budget in PLAN.budgets for seed in range(3)}
    assert {v.width for v in found} == {PLAN.adaptor.width}
    assert "label_lookup" not in {v.arm for v in found}
    real = variants("extracted_head")
    assert {(v.operator, v.seed) for v in real} == {("drift", seed) for seed in range(3)}
    assert variants("extracted_head", replace(PLAN, seeds=1, budgets=("fixed",))) == [
        Variant("drift", "real", width=10, budget="fixed")
    ]
    assert [v.seed for v in variants("gaussian_head")] == [0] * 4


@pytest.mark.parametrize("name", ["control_head", "operator_probe", "lookup_head"])
def test_an_operator_s_variants_follow_each_other(name):
    runs = [operator for operator, _ in groupby(variants(name), key=lambda v: v.operator)]
    assert len(runs) == len(set(runs)) > 1


def test_full_width_has_every_operator_that_reads_no_label_once():
    found = variants("operator_probe")
    assert [v.operator for v in found] == [
        "drift", "gaussian-0", "gaussian-1", "shuffle-0", "shuffle-1", "uniform", "token_bag",
    ]  # fmt: skip
    assert {(v.width, v.budget, v.seed) for v in found} == {(0, "", 0)}
    assert found[0].arm == "real"
    assert found[1].arm == "gaussian_halves"
    assert [v.width for v in variants("lookup_head") if v.budget == ""] == [0, 0]


def test_without_controls_they_are_skipped():
    none, labels = replace(PLAN, controls={}), replace(PLAN, controls={"label_lookup": 1})
    for name in ("control_head", "operator_probe"):
        method = registry.load(name)
        assert method.skip(PLAN) is None
        assert "operators.controls" in method.skip(none)
        assert "operators.controls" in method.skip(labels)
    lookup = registry.load("lookup_head")
    assert lookup.skip(labels) is None
    assert "label_lookup" in lookup.skip(none)


def test_the_methods_declare_every_arm_and_only_one_reads_labels():
    arms = {*RANDOM_ARMS, *FIXED_ARMS} - {"label_lookup"}
    assert set(registry.declared("control_head")["operator_kinds"]) == arms
    assert set(registry.declared("operator_probe")["operator_kinds"]) == arms | {"drift", "gaussian"}
    lookup = registry.load("lookup_head")
    assert (lookup.operator_kinds, lookup.reads_test_labels, lookup.protocol) == (("label_lookup",), True, "oracle")


def test_a_linear_operator_is_a_projection_without_the_genes_it_never_writes_to():
    log1p = sp.random(6, 4, 0.5, "csr", np.float32, random_state=0)
    matrix = np.array([[1, 0, 2, 0], [0, 0, 1, 0], [3, 0, 0, 0], [0, 0, 1, 0]], np.float32)
    cells = Cells(np.arange(6), log1p, log1p, np.zeros(6), lambda name: log1p @ matrix, None, None, None)
    task = Task(cells, cells, Classes((), (), np.zeros((0, 0)), {}), 0, PLAN)
    method, variant = registry.load("operator_probe"), Variant("uniform", "uniform", width=0)
    output = method.run(replace(task, projection={"uniform": matrix}.get), variant)
    np.testing.assert_array_equal(output.projection, matrix[:, [0, 2]])
    np.testing.assert_array_equal(method.run(task, variant).representation[1], log1p @ matrix)


def test_a_campaign_s_seeds_cap_and_controls_are_in_the_plan():
    raw = yaml.safe_load(locate("config/config.yaml").read_text())
    raw["operators"] = {"controls": {"uniform": 1, "dense": 2}}
    raw["campaigns"]["lodo"] |= {"seeds": 4, "max_epochs": 300}
    plans = {name: make_plan(parse_config(raw), name) for name in ("lodo", "grouped")}
    assert (plans["lodo"].seeds, plans["lodo"].adaptor.max_epochs) == (4, 300)
    assert (plans["grouped"].seeds, plans["grouped"].adaptor.max_epochs) == (1, Adaptor().max_epochs)
    assert all(plan.controls == {"uniform": 1, "dense": 2} for plan in plans.values())


def test_the_battery_in_the_template_for_own_data_has_every_control_that_the_rule_asks_for():
    text = locate("config/own_data.yaml").read_text()
    battery = text[text.index("# operators:") :].replace("\n# ", "\n").removeprefix("# ")
    config = parse_config(merge(yaml.safe_load(text), yaml.safe_load(battery)))
    campaign = config.campaigns["evidence"]
    assert "control_head" in campaign.methods
    assert {*config.evidence.must_beat} <= {"gaussian", *config.operators.controls}
    assert {*config.evidence.trivial} <= {*campaign.methods, *config.operators.controls}
    shown = locate("docs/evidence.md").read_text().split("```yaml\n")[1].split("```")[0]
    named = yaml.safe_load(shown)
    assert named["operators"] == yaml.safe_load(battery)["operators"]
    assert named["campaigns"]["evidence"] == yaml.safe_load(battery)["campaigns"]["evidence"]
