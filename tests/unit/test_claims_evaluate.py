"""Every claim on a made-up run whose numbers are known, and on runs that lack things."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from claims_tables import CLAIMS, MODEL, config, found, one, rows, world

from opbench.claims.evaluate import BETWEEN, genes_digest
from opbench.claims.write import write_claims
from opbench.config.claims_query import TABLES
from opbench.io import tables as contracts

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    return found()


# By hand: heights of claims_tables (extracted 0.10, raw 0.09, pca10 0.08, Gaussian 0.07, shuffle 0.06, …; donors 0.59).
@pytest.mark.parametrize(
    ("number", "case", "value", "verdict", "matches"),
    [
        (1, "p", 2e-6, "holds", "yes"), (2, "p", 580, "holds", "-"), (3, "p", 3e-7, "holds", "yes"),
        (4, "p", 0, "holds", "yes"), (13, "lead", 0.01, "model_specific", "yes"),
        (13, "level", 0.69, "model_specific", "-"), (14, "t_vs_ctl_auroc", 0.69, "model_specific", "no"),
        (15, "lodo", 1.0, "model_specific", "yes"), (16, "t_vs_ctl_auroc", 0.03, "model_specific", "yes"),
        (17, "as counted", 20, "holds", "yes"), (17, "with the operator's pass", 8, "fails", "no"),
        (18, "MLP", 2879, "not_testable", "no"), (18, "extracted", 24010, "fails", "no"),
        (26, "cell head, branch", 0.03, "contradicted", "-"), (26, "anchor head, width 20", -0.01, "holds", "-"),
        (27, "anchor head, 220", -0.01, "holds", "yes"), (27, "anchor head, 2,000", 0.01, "holds", "yes"),
        (27, "cell head, fixed budget, branch", 0.07, "contradicted", "no"),
        (27, "cell head, plateau, branch", 0.03, "holds", "yes"), (28, "stage", -1.0, "holds", "yes"),
        (29, "branch", (0.06 - 0.01) / (0.10 - 0.01), "holds", "yes"), (30, "branch", 0.001, "holds", "-"),
        (31, "cls", 0.035, "holds", "yes"), (31, "mean", 0.025, "holds", "yes"),
        (32, "another seed", 0.99, "holds", "yes"), (32, "the same seed", 1.0, "holds", "yes"),
    ],
)  # fmt: skip
def test_claims_on_known_numbers(table, number, case, value, verdict, matches):
    row = one(table, number, case)
    assert row["value"] == pytest.approx(value)
    assert (row["analogue"], row["matches"]) == (verdict, matches)
    assert bool(row["analogue_reason"]) == (verdict != "holds")


def test_every_number_names_the_rows_that_it_came_from(table):
    numbers = table[table["rows"] > 0]
    assert set(numbers["claim"]) == {*range(1, 5), *range(13, 19), *range(26, 33)}
    for row in numbers.itertuples():
        parts = zip(row.source_table.split(BETWEEN), row.where.split(BETWEEN), strict=True)
        assert sum(len(world()[source].query(where)) for source, where in parts) == row.rows, row.case


def test_controls_and_floors_stand_beside(table):
    assert one(table, 14, "t_vs_ctl")[["strongest_control", "control_value"]].tolist() == [
        "raw_log1p",
        pytest.approx(0.68),
    ]
    lead = one(table, 13, "lead")
    # Gaussian operators on average lie 0.07 above the donors, the best alternative, raw genes, 0.09.
    assert (lead["strongest_control"], lead["control_value"]) == ("random_operator_lead", pytest.approx(-0.02))
    assert one(table, 13, "level")["strongest_control"] == "random_value_per_cell_type"
    assert one(table, 17)["control_value"] == pytest.approx(21.7)
    # Five draws 0.001 apart: the 95 % point of their 10 differences is the largest, 0.004.
    assert one(table, 26)["null_floor"] == pytest.approx(0.004)


def test_a_lead_within_reach_of_a_control_is_not_separable_and_one_behind_is_contradicted():
    table = found(world(lead=-0.03))  # as high as the mean Gaussian, behind raw genes
    assert one(table, 16)["analogue"] == "not_separable"
    assert "is not above 0" in one(table, 16)["analogue_reason"]
    assert one(table, 13, "lead")["analogue"] == "contradicted"
    assert "is below 0" in one(table, 13, "lead")["analogue_reason"]
    assert one(table, 14)["analogue"] == "contradicted"  # raw genes are ahead, which the claim must beat
    assert "raw_log1p" in one(table, 14)["analogue_reason"]
    assert one(table, 26)["analogue"] == "holds"


@pytest.mark.parametrize("absent", ["gates", "heads", "compaction", "factors", "manifold2", *world()])
def test_a_missing_table_is_named(absent):
    tables = {name: frame for name, frame in world().items() if name != absent}
    table = found(tables)
    told = table[table["analogue_reason"].str.contains(f"table '{absent}' is not in this run", case=False)]
    assert (told["analogue"] == "not_testable").all()
    needing = {claim.id for claim in CLAIMS.claims if absent in claim.needs}
    assert set(told["claim"]) <= needing | {c.id for c in CLAIMS.claims if c.designs}  # splits and summary place cases
    assert len(told) > 0


def test_empty_tables_end_in_not_testable():
    empty = {name: getattr(contracts, name.upper()).empty_table().to_pandas() for name in world()}
    assert set(empty) <= set(TABLES)
    table = found(empty)
    assert set(table["analogue"]) == {"not_testable"}
    assert table["analogue_reason"].str.endswith(".").all()
    assert set(found({})["claim"]) == {claim.id for claim in CLAIMS.claims}


def test_too_few_donors_carry_no_verdict():
    few = {name: frame[~frame.get("donor", pd.Series("", frame.index)).isin([f"d0{i}" for i in range(3, 10)])]
           for name, frame in world().items()}  # fmt: skip
    few["comparisons"] = few["comparisons"].assign(n=3)
    table = found(few)
    assert "3 donors, fewer than the 8" in one(table, 16)["analogue_reason"]


def test_a_user_names_the_endpoints_that_stand_for_the_papers():
    endpoint = {"positive": {"cells": ["a"]}, "negative": {"cells": ["b"]}}
    named = dict.fromkeys(("t_vs_ctl", "mono_vs_dc"), endpoint)
    run = config(claims={"analogues": {"cd4_cd8": ["mono_vs_dc"]}}, endpoints={"binary": named})
    assert set(rows(found(run=run), 31)["endpoint"]) == {"mono_vs_dc_auroc"}
    nobody = dict.fromkeys(("helper_vs_killer",), endpoint)
    run = config(claims={"analogues": {"cd4_cd8": ["helper_vs_killer"]}}, endpoints={"binary": nobody})
    row = one(found(run=run), 31)
    assert row["analogue"] == "not_testable"
    assert "no donor has a value of helper_vs_killer_auroc" in row["analogue_reason"].lower()


def test_without_an_endpoint_for_a_role_the_key_to_set_is_named():
    summary = world()["summary"]
    tables = world() | {"summary": summary[~summary["endpoint"].str.startswith("t_vs_ctl")]}
    row = one(found(tables), 31)
    assert "name your endpoints in claims.analogues.cd4_cd8" in row["analogue_reason"]


def test_published_needs_the_papers_own_inputs(table):
    assert set(table["published"]) == {"not_testable"}
    reason = one(table, 14)["published_reason"]
    assert all(part in reason for part in ("checkpoint", "gene panel, whose digest is unknown", "cells", "CD4/CD8"))
    assert one(table, 4)["published_reason"] == "Needs the paper's checkpoint (this is m, 000000000000)."

    digest = genes_digest(["B", "A"])
    assert digest == genes_digest(["A", "B"]) != genes_digest(["A"])
    own = {"published": {"genes_sha256": digest, "panels": ["p"]}}
    whole = found(run=config(claims=own), model=MODEL | {"published": True}, genes={"p": digest})
    assert one(whole, 13)["published"] == one(whole, 13)["analogue"] == "model_specific"
    assert one(whole, 14)["published_reason"] == "Needs the endpoint CD4/CD8 itself."
    other = found(run=config(claims=own), model=MODEL | {"published": True}, genes={"p": genes_digest(["C"])})
    assert "another digest" in one(other, 13)["published_reason"]


def test_a_control_that_a_claim_names_must_be_beaten():
    better = world() | {"comparisons": world()["comparisons"].copy()}
    pairs = better["comparisons"]
    mine = pairs["method_a"].str.startswith("extracted_head [plateau]") & (pairs["method_b"] == "raw_log1p")
    pairs.loc[mine, ["ci_low", "p"]] = [-0.01, 0.4]
    row = one(found(better), 14)
    assert (row["analogue"], row["strongest_control"]) == ("not_separable", "raw_log1p")


def test_the_example_of_the_documentation_works():
    page = (ROOT / "docs" / "claims.md").read_text()
    blocks = [part.split("```")[0] for part in page.split("```yaml\n")[1:]]
    example = yaml.safe_load(next(block for block in blocks if "id: 101" in block))
    example["claims"][0]["cases"][0]["endpoint"] = "t_vs_ctl_auroc"
    from opbench.config.claims import ClaimFile

    table = found(claims=ClaimFile.model_validate(example))
    assert table["value"].tolist() == [pytest.approx(0.69)]
    assert table["analogue"].tolist() == ["model_specific"]


def test_stage_writes_table_and_page(tmp_path):
    paths = {}
    for name, frame in world().items():
        paths[name] = tmp_path / f"{name}.parquet"
        contracts.write_table(frame, paths[name], getattr(contracts, name.upper()))
    (tmp_path / "model.json").write_text('{"name": "m", "digest": "00", "published": false}')
    genes = pd.DataFrame({"gene": ["A"], "rank": [0], "score": [np.nan], "source": ["x"]})
    contracts.write_table(genes, tmp_path / "genes.parquet", contracts.GENES)
    out, page = tmp_path / "claims.parquet", tmp_path / "claims.html"
    given = (paths, tmp_path / "model.json", {"p": tmp_path / "genes.parquet"})
    write_claims(config(), ROOT / "config/claims.yaml", *given, out, page)
    written = contracts.read_table(out, contracts.CLAIMS)
    assert len(pd.read_csv(out.with_suffix(".tsv"), sep="\t")) == len(written) > 60
    text = page.read_text()
    assert text.count("<h3 ") == len(CLAIMS.claims)
    assert f"17 of {len(CLAIMS.claims)} claims can be tested" in text
    assert "0.69 [0.6" in text
    assert "<script" not in text
