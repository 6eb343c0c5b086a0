"""The internal part: donors that no campaign on their dataset tests, drawn alike on every panel of that dataset."""

from opbench.config import load_config, parse_config
from opbench.discovery.parts import internal_donors

DONORS = [f"D{i:02d}" for i in range(12)]


def divided(never: list[str], on: str = "a") -> dict[str, list[str]]:
    """Internal donors of two panels over dataset `a`, of which a campaign of the first alone never tests some."""
    raw = load_config("config/config.yaml").model_dump()
    raw["datasets"] |= dict.fromkeys("ab", next(iter(raw["datasets"].values())))
    panel = {"datasets": ["a", "b"], "genes": {"kind": "hvg", "n": 40, "corpus": raw["model"]["corpus"]}}
    raw["panels"] = {"one": panel, "other": panel}
    folds = {"panel": "one", "design": "folds", "train": on, "test": on, "splits": 2, "min_cells": 10}
    raw |= {"campaigns": {"c": folds | {"never_tested": never}}, "endpoints": {}}
    raw |= {"discovery": {"panels": {"one": {"internal": "a"}, "other": {"internal": "a"}}}}
    config = parse_config(raw)
    return {name: internal_donors(config, name, DONORS) for name in ("one", "other")}


def test_panels_with_the_same_donors_divide_them_alike():
    drawn = divided([])
    assert drawn["one"] == drawn["other"]
    left = [donor for donor in DONORS if donor not in drawn["one"]][:3]
    found = divided(left)
    assert found["one"] == found["other"]
    assert set(found["other"][:3]) == set(left)
    assert len(found["other"]) == len(drawn["other"]) == 5


def test_a_campaign_on_another_dataset_has_no_say():
    left = [donor for donor in DONORS if donor not in divided([])["one"]][:3]
    assert divided(left, on="b") == divided([])
