"""The stage: a broken table stops, an absent one is a row, and strata cross the token count."""

from pathlib import Path

import numpy as np
import pytest
import yaml

from opbench.config import parse_config
from opbench.geometry import planted, study
from opbench.geometry.compartments import compartment_rows
from opbench.geometry.nulls import make_strata
from opbench.geometry.ppi import gradient_rows
from opbench.geometry.scopes import spectral_coordinates
from opbench.geometry.tensor import write_tensor
from opbench.io.errors import InputError
from opbench.io.seeds import keyed_rng

TINY = yaml.safe_load((Path(__file__).parents[1] / "workflow" / "tiny.yaml").read_text())


def made(folder: Path, sets: str | None, **knowledge: object) -> study.Study:
    """A study of a planted tensor with this gene-set file as localisation (None: it is found nowhere)."""
    write_tensor(planted.draw_tensor(keyed_rng("study")), folder / "tensor.safetensors")
    raw = TINY | {"geometry": TINY["geometry"] | {"scopes": ["nonzero"]}}
    raw["knowledge"] = TINY["knowledge"] | {"sets": TINY["knowledge"]["sets"] | knowledge}
    if sets is not None:
        (folder / "sets.gmt").write_text(sets)
    found = {"localisation": folder / "sets.gmt" if sets is not None else None}
    files = study.Files(folder / "tensor.safetensors", folder / "corpus.h5ad", found)
    return study.Study(parse_config(raw), files)


SETS = "A\tx\t" + "\t".join(f"G{i:03d}" for i in range(30)) + "\n"


def test_a_table_that_is_there_and_wrong_stops_and_one_that_is_absent_is_a_row(tmp_path):
    assert set(made(tmp_path, SETS).rows("compartments")["status"]) == {"ok", "not_testable"}
    for name, sets, said in (("sha256", SETS, "sha256"), ("source", "no set at all", "sets.gmt")):
        with pytest.raises(InputError, match=said):
            made(tmp_path, sets, **({"sha256": "0" * 64} if name == "sha256" else {})).rows("compartments")
    absent = made(tmp_path, None).rows("compartments")
    assert absent["reason"].str.contains("is found nowhere").all()
    # An analysis that needs no table looks at none where no scope asks which genes are named.
    assert (made(tmp_path, "no set at all").rows("spectrum")["status"] == "ok").any()


def test_strata_cross_the_token_count(tmp_path):
    one = made(tmp_path, SETS)
    scene = one.scene("nonzero", set())
    wanted = make_strata(scene.covariates[:, [2, 0, 1]], one.s.bins)
    assert (scene.strata == wanted).all()


def test_compartments_in_parts_are_those_of_one_pass(monkeypatch):
    tensor = planted.draw_tensor(keyed_rng("parts"))
    spectral = spectral_coordinates(tensor, "nonzero", axes=7)
    rng, strata = keyed_rng("members"), np.arange(len(tensor.genes)) // 20
    member = planted.pd.DataFrame(rng.random((5, len(tensor.genes))) < 0.1, list("abcde"), tensor.genes)
    kept = {"permutations": 99, "bootstraps": 20}
    keys = ["null", "layer", "axis", "term"]
    whole = compartment_rows(spectral, member, strata, **kept).sort_values(keys, ignore_index=True)
    monkeypatch.setattr("opbench.geometry.compartments.TERMS", 2)
    parts = compartment_rows(spectral, member, strata, **kept).sort_values(keys, ignore_index=True)
    planted.pd.testing.assert_frame_equal(whole, parts)
    matched = whole[whole["null"] == "strata"]
    assert (matched["p_family"] >= matched["p"] - 1e-9).all()
    assert matched["p_opposite"].notna().all()


@pytest.mark.parametrize(("tied", "bins"), [(0.1, 5), (0.3, 4), (0.95, 2)])
def test_scores_that_tie_leave_no_empty_bin(tied, bins):
    rng = keyed_rng("ties")
    tensor = planted.draw_tensor(rng)
    spectral = spectral_coordinates(tensor, "nonzero", axes=7)
    pairs = planted.draw_graph(rng, tensor, 0.5)
    scores = np.where(rng.random(len(pairs)) < tied, 0.999, rng.uniform(0.4, 0.9, len(pairs)))
    rows = gradient_rows(spectral, pairs, scores, np.zeros(len(tensor.genes), int), permutations=19)
    if bins < 3:
        assert rows["status"].eq("not_testable").all()
        assert "tie" in rows["reason"].iloc[0]
        return
    published = rows[rows["quantity"] == "gradient_spearman_published"]
    assert 3 <= published["n"].item() <= 5
    assert published["p"].item() > 0
    assert rows["value"].notna().all()
