"""Which of several files gives a wrong key, and names that stand for nothing."""

from pathlib import Path

import pytest
import yaml
from check_cohort import ROOT, edited, put

from opbench.check.findings import Findings
from opbench.check.references import idle_controls, reference_problems
from opbench.check.settings import campaign_arms, read_settings
from opbench.config import load_config, parse_config
from opbench.io.errors import InputError

CLAIMS = yaml.safe_load((ROOT / "config/claims.yaml").read_text())


def merged() -> dict:
    """Two files: the cohort's, and one that adds a campaign."""
    second = {"campaigns": {"more": edited()["campaigns"]["lodo"] | {"seed": 1}}}
    return {"first.yaml": edited(), "second.yaml": second}


@pytest.mark.parametrize(
    ("file", "path", "value", "blamed"),
    [
        ("first.yaml", "operators.cell", 9, "first.yaml"),
        ("second.yaml", "campaigns.more.pannel", "mine", "second.yaml"),
        ("first.yaml", "campaigns.lodo.panel", "none", "first.yaml"),  # found by a check that crosses sections
        ("second.yaml", "campaigns.more.gaussian_draws", 99, "second.yaml"),
        ("second.yaml", "methods", ["a name"], "second.yaml"),
        ("first.yaml", "methods", ["a name"], "first.yaml"),
    ],
)
def test_the_file_that_gives_a_wrong_key_is_named(file, path, value, blamed, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    files = merged()
    _set(files[file], path, value)
    for name, raw in files.items():
        Path(name).write_text(yaml.safe_dump(raw))
    with pytest.raises(InputError) as error:
        load_config(*files)
    assert str(error.value).startswith(f"{blamed}: ")
    findings = Findings()
    assert read_settings(list(files), findings) is None
    assert findings.problems
    assert all(sentence.startswith(f"{blamed}: ") for sentence in findings.problems)


def _set(raw: dict, path: str, value: object) -> None:
    *parents, key = path.split(".")
    for parent in parents:
        raw = raw.setdefault(parent, {})
    raw[key] = value


def test_a_value_that_a_later_file_replaces_is_not_blamed():
    files = {"first.yaml": edited(put("methods", ["pca10"])), "second.yaml": {"methods": ["a name"]}}
    with pytest.raises(InputError, match=r"^second\.yaml: methods"):
        parse_config({**files["first.yaml"], **files["second.yaml"]}, files)
    both = {"first.yaml": edited(put("nothing", {"a": 1})), "second.yaml": {"nothing": {"b": 2}}}
    with pytest.raises(InputError, match=r"^first\.yaml and second\.yaml: nothing is no known key"):
        parse_config({**both["first.yaml"], "nothing": {"a": 1, "b": 2}}, both)


def problems(tmp_path: Path, content: object = CLAIMS, **sections: dict) -> list[str]:
    """Problems of the cohort's run with this claims file and these sections."""
    (tmp_path / "claims.yaml").write_text(content if isinstance(content, str) else yaml.safe_dump(content))
    sections["claims"] = {"file": str(tmp_path / "claims.yaml")} | sections.get("claims", {})
    return reference_problems(parse_config(edited() | sections))


def claim(**fields: object) -> dict:
    """The shipped roles with one shipped claim after changes."""
    fifth = next(item for item in CLAIMS["claims"] if item["id"] == 5)
    return {"roles": CLAIMS["roles"], "claims": [fifth | fields]}


def test_the_shipped_claims_name_nothing_unknown(tmp_path):
    assert problems(tmp_path) == problems(tmp_path, claim()) == []
    assert problems(tmp_path, evidence={"trivial": ["identity", "gaussian", "floor_mean"]}) == []


@pytest.mark.parametrize(
    ("content", "sections", "parts"),
    [
        (CLAIMS, {"claims": {"analogues": {"cd4cd8": ["t_vs_ctl"]}}}, ("claims.analogues", "'cd4cd8'", "cd4_cd8")),
        (CLAIMS, {"evidence": {"trivial": ["identiti"]}}, ("evidence.trivial", "'identiti'", "'identity'")),
        (CLAIMS, {"claims": {"file": "none.yaml"}}, ("claims.file", "'none.yaml'")),
        ("roles: {}\nclaims: []\n", {}, ("claims.yaml", "claims")),
        ("claims: [", {}, ("claims.yaml", "YAML")),
        (claim(controls={"arms": ["shufle"]}), {}, ("claim 5", "controls.arms", "'shufle'", "'shuffle'")),
        (claim(controls={"methods": ["pca11"]}), {}, ("claim 5", "controls.methods", "'pca11'", "'pca10'")),
        (claim(judged=["stage_acuracy"]), {}, ("claim 5", "'stage_acuracy' is no endpoint")),
        (claim(judged=["t_vs_clt_auroc"]), {}, ("claim 5", "'t_vs_clt_auroc'", "'t_vs_ctl_auroc'")),
        (claim(judged=["cd4_cd8/aurok"]), {}, ("claim 5", "'cd4_cd8/aurok'", "cd4_cd8/auroc")),
    ],
)
def test_a_name_that_stands_for_nothing_is_one_sentence(content, sections, parts, tmp_path):
    (found,) = problems(tmp_path, content, **sections)
    assert all(part in found for part in parts), found
    assert found.endswith(".")


def test_controls_that_no_campaign_runs_are_told():
    def told(methods: list[str], **sections: object) -> list[str]:
        raw = edited(put("methods", methods), put("operators.controls", {"shuffle": 2, "label_lookup": 1})) | sections
        config = parse_config(raw)
        return idle_controls(config, campaign_arms(config, Findings()))

    first, second = told(["pca10"])
    assert "operators.controls names arms that no campaign runs (shuffle); name control_head" in first
    assert "(label_lookup); name lookup_head" in second
    assert told(["pca10", "control_head", "lookup_head"]) == []
    assert told(["lookup_head"], sweeps={"panels": ["mine"], "arms": ["shuffle"]}) == []


def test_heads_of_a_recipe_are_checked_when_it_is_read():
    model = {"name": "new", "corpus": "mine", "pretrain": {"layers": 3, "heads": 4}}
    parse_config(edited(put("model", model), put("sweeps", {"single_heads": ["L2H3"]})))
    for section in ("operators", "sweeps"):
        with pytest.raises(InputError, match=rf"{section}.single_heads: 'L3H0' is outside .* 3 layers x 4 heads"):
            parse_config(edited(put("model", model), put(section, {"single_heads": ["L3H0"]})))
