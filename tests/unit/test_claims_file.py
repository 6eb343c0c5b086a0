"""The file of claims: complete, checked when read, described by generated files, and nothing in it is executed."""

from pathlib import Path

import pytest
import yaml

from opbench.claims.read import read_claims
from opbench.config import document, load_config
from opbench.config.claims import ClaimFile, Tolerance
from opbench.io.errors import InputError

ROOT = Path(__file__).resolve().parents[2]
SHIPPED = ROOT / "config" / "claims.yaml"


def claim(**changes: object) -> dict:
    about = {"id": 1, "title": "t", "paper": "critique", "place": "p", "wording": "w", "family": "operator",
             "kind": "exact", "statistic": "s"}  # fmt: skip
    query = {"table": "summary", "column": "mean", "where": {"endpoint": "$endpoint"}}
    return about | {"quantities": {"a": query}, "cases": [{"value": "a"}]} | changes


def write(folder: Path, *claims: dict, **more: object) -> Path:
    path = folder / "claims.yaml"
    path.write_text(yaml.safe_dump({"claims": list(claims), **more}))
    return path


def test_all_claims_are_there_with_what_was_reported():
    found = read_claims(SHIPPED)
    assert [one.id for one in found.claims] == list(range(1, 43))
    assert all(case.reported for one in found.claims for case in one.cases)
    assert all(one.wording.endswith(".") and one.place for one in found.claims)
    performance = {one.id for one in found.claims if one.kind == "performance"}
    assert performance == {*range(5, 10), *range(13, 17), 19, 20, 22}  # those that the rule is written for
    later = {
        one.id for one in found.claims if set(one.needs) & {"gates", "heads", "compaction", "factors", "manifold2"}
    }
    assert later == {*range(5, 13), *range(19, 26)}


def test_the_endpoints_of_shipped_runs_have_roles():
    roles = read_claims(SHIPPED).roles
    known = {name for role in roles.values() for name in (*role.paper, *role.analogues)}
    assert {name for role in roles.values() for name in role.paper} == set(
        load_config(ROOT / "config/paper.yaml").endpoints.binary
    )
    marrow = set(load_config(ROOT / "config/marrow.yaml").endpoints.binary)
    assert {"t_vs_ctl", "mono_vs_dc", "cd4_vs_cd8", "cd14_vs_fcgr3a"} <= marrow & known
    assert "gmp_vs_mono" not in known  # a progenitor is no macrophage


def test_blood_runs_what_its_claims_compare():
    """Marrow's labels do not tell CD4 from CD8 T cells; the claims on them are tested on blood."""
    config = load_config(ROOT / "config/marrow.yaml")
    blood = {name: one for name, one in config.campaigns.items() if one.test == "kang" and one.methods != "core"}
    assert list(blood) == ["kang_lodo"]
    campaign = blood["kang_lodo"]
    claims = [one for one in read_claims(SHIPPED).claims if one.id in (14, 15, 16, 31)]
    for one in claims:
        asked = [query.where.get(key) for query in one.quantities.values() for key in ("a", "b", "method")]
        assert {name for name in asked if name} | set(one.controls.methods) <= set(campaign.methods)
        assert campaign.design in one.designs
    assert "frozen" in claims[0].designs
    sides = config.endpoints.binary["cd4_vs_cd8"]
    assert set(sides.positive) == set(sides.negative) == {"kang"}


def test_generated_files_are_current():
    assert document.CLAIMS_SCHEMA.read_text() == document.schema(ClaimFile), "run `make docs`"
    assert document.CLAIMS_PAGE.read_text() == document.claims_page(), "run `make docs`"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"cases": [{"value": "__import__('os').system('true')"}]}, "is none of its quantities, a"),
        ({"cases": [{"value": {"eval": ["a"]}}]}, "eval is no known key"),
        ({"cases": [{"value": {"ratio": ["a", {"power": 2}]}}]}, "power is no known key"),
        ({"cases": [{"value": {"difference": ["a", "a"], "ratio": ["a", "a"]}}]}, "exactly one of difference"),
        ({"cases": [{"value": "a", "holds": [{"value": "a"}]}]}, "exactly one of above"),
        ({"cases": [{"value": "a", "tolerance": {"within": 0.1}}]}, "needs 'reported_value'"),
        ({"quantities": {"a": {"table": "../../etc/passwd", "column": "x"}}}, "is '../../etc/passwd', but"),
        ({"quantities": {"a": {"table": "summary", "column": "__class__"}}}, "summary has no column '__class__'"),
        (
            {"quantities": {"a": {"table": "pairs", "column": "effect", "where": {"method_a": "x"}}}},
            "no column 'method_a'",
        ),
        (
            {"quantities": {"a": {"table": "summary", "column": "mean", "where": {"endpoint": "$home"}}}},
            "no placeholder",
        ),
        ({"quantities": {"a": {"table": "summary", "column": "mean", "query": "@x"}}}, "query is no known key"),
        ({"quantities": {"a": {"table": "summary", "column": "mean", "when": {"mean": 1}}}}, "'when' belongs to"),
        ({"quantitys": {}}, "did you mean 'quantities'"),
        ({"kind": "nice"}, "is 'nice', but"),
        ({"cases": [{"valeu": "a"}]}, "valeu is no known key; did you mean 'value'"),
        ({"cases": [{"value": "a", "endpoint": "cd9/auroc"}]}, "'cd9' is none of the roles"),
        ({"control": "b"}, "'b' is none of its quantities"),
        ({"needs_control": True}, "a case has no 'control'"),
        ({"quantities": {"alpha": {"table": "summary", "column": "mean"}}, "cases": [{"value": "alpha"}]}, "a setting"),
        ({"quantities": {"a": {"table": "pairs", "column": "effect", "each": "b"}}}, "no list of values"),
    ],
)
def test_what_is_wrong_is_one_sentence(tmp_path, changes, message):
    with pytest.raises(InputError) as error:
        read_claims(write(tmp_path, claim(**changes)))
    text = str(error.value)
    assert message in text
    assert text.endswith(".")
    assert "\n" not in text
    assert "function-after" not in text


def test_a_number_given_twice_is_refused(tmp_path):
    with pytest.raises(InputError, match="claim 1 is given twice"):
        read_claims(write(tmp_path, claim(), claim()))


def test_tolerances_compare_and_print():
    assert Tolerance(within=0.03).holds(0.897, 0.867) is True  # the edge counts, whatever floating point makes of it
    assert Tolerance(within=0.03).holds(0.9, 0.867) is False
    assert Tolerance(at_least=0.3, at_most=1).holds(0.3, None) is True
    assert Tolerance(above=10).holds(10, 34.5) is False
    assert Tolerance().holds(1.0, 1.0) is None
    texts = [Tolerance(within=0.03).text(), Tolerance(within=0).text(), Tolerance(at_least=0.3, at_most=1).text()]
    assert texts == ["± 0.03", "exact", "≥ 0.3, ≤ 1"]
