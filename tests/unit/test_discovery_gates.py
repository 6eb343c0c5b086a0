"""Gates on planted latents and on nulls: what passes, what cannot, and what a held-out anchor may not touch."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

from opbench.adaptors.let import angle_distances
from opbench.config import Config, parse_config
from opbench.discovery.anchor_heads import BUDGETS, divide, fit_heads
from opbench.discovery.distances import Pairs, geodesic_distances, pair_covariates, residualised
from opbench.discovery.gates import GATES, IN_SAMPLE, Anchors
from opbench.discovery.holdouts import frozen_latents, groups, holdout_gates, holdouts, refitted_latents
from opbench.discovery.parts import Part
from opbench.discovery.permutations import blocked_permutation, blocks_of, permute_inside
from opbench.discovery.rulers import null_rulers, random_maps, reassign_inside_branches
from opbench.discovery.score_gates import RULED, GateFiles, GateJob, score_gates, with_ruler_null
from opbench.discovery.trust import REFERENCES, Trust
from opbench.io.tables import GATES as SCHEMA
from opbench.io.tables import read_table
from opbench.operators.operator import Operator, write_operator
from opbench.panels.ontology import Ontology
from opbench.readouts.pseudotime import spearman

ONTOLOGY = Path(__file__).resolve().parents[2] / "resources/ontology"
STAGES = {
    "HSC": ("HSC", "stem_progenitor"), "MPP": ("MPP", "stem_progenitor"), "GMP": ("GMP", "stem_progenitor"),
    "Mono": ("Cl_Mono", "mono_dc"), "cDC": ("Dendritic", "mono_dc"), "Macro": ("Macrophage", "mono_dc"),
    "NK": ("NK", "nk_ilc"),
}  # fmt: skip
LABELS = list(STAGES)
RULER = Ontology.read(ONTOLOGY).set_distance([stages for stages, _ in STAGES.values()])
BRANCH_OF = np.unique([branch for _, branch in STAGES.values()], return_inverse=True)[1]
FEATURES, DONORS = 30, 6


def settings(**gates) -> Config:
    """A small configuration."""
    few = {"widths": [2, 4], "epochs": 20, "holdouts": 2, "permutations": 99, "p": 0.01, "rulers": 2, "maps": 20}
    return parse_config({
        "run": "toy",
        "datasets": {"a": {"path": "a.h5ad", "source": "toy", "columns": {}, "labels": "l.tsv", "corpus": "x"}},
        "panels": {"p": {"datasets": ["a"], "genes": {"kind": "hvg", "n": 40, "corpus": "a"}}},
        "model": {"name": "toy", "corpus": "a"},
        "operators": {"gaussian_draws": 2, "single_heads": ["L0H0"]},
        "adaptor": {"width": 4, "patience": 5, "max_epochs": 60, "validation_donors": 2},
        "campaigns": {"c": {"panel": "p", "design": "folds", "train": "a", "test": "a", "splits": 2, "min_cells": 10}},
        "endpoints": {"binary": {"mono": {"positive": {"a": ["Mono"]}, "negative": {"a": ["cDC"]}}}},
        "discovery": {"panels": {"p": {"internal": "a"}}, "seeds": 2, "gates": few | {"neighbours": 5} | gates},
    })  # fmt: skip


def part_of(donors: int = DONORS, seed: int = 0, name: str = "internal") -> Part:
    """One anchor per donor and label; x holds what a label looks like, with noise."""
    rng = np.random.default_rng(seed)
    label = np.tile(np.arange(len(LABELS)), donors)
    donor = np.repeat([f"{name[0]}{i}" for i in range(donors)], len(LABELS))
    means = np.random.default_rng(9).normal(size=(len(LABELS), FEATURES))
    x = means[label] + rng.normal(0, 0.5, (len(label), FEATURES))
    n = len(label)
    ids = np.array([f"{name}|{d}:{LABELS[k]}" for d, k in zip(donor, label, strict=True)])
    tissue, depth = np.full(n, "m"), RULER[0][label]
    return Part(name, ids, x.astype(np.float32), label, BRANCH_OF[label], donor, tissue, depth, np.full(n, 9))


def planted(part: Part, noise: float = 0.02, seed: int = 1) -> np.ndarray:
    """A latent whose angles are the ruler, as far as three directions allow."""
    values, vectors = np.linalg.eigh(np.cos(RULER / RULER.max() * 2.5))
    z = vectors[:, -3:] * np.sqrt(values[-3:])
    return z[part.label] + np.random.default_rng(seed).normal(0, noise, (len(part), 3))


def test_residualised_correlation_removes_a_planted_donor_effect():
    rng = np.random.default_rng(0)
    donor = np.repeat(np.arange(6), 8)
    label = np.where(rng.random(48) < 0.9, donor // 2, rng.integers(0, 3, 48))  # donors hold different cell types
    pairs = Pairs.of(label, np.abs(np.subtract.outer(np.arange(3.0), np.arange(3.0))))
    covariates = pair_covariates(donor, np.zeros(48))
    place = np.random.default_rng(1).normal(size=(6, 3))[donor]
    only_donor = np.linalg.norm((p := place + rng.normal(0, 0.1, (48, 3)))[:, None] - p[None], axis=2)
    assert pairs.correlation(only_donor) > 0.3
    assert abs(residualised(pairs, only_donor, covariates)) < 0.1
    both = only_donor + 2 * np.abs(np.subtract.outer(label, label)) + 0.01 * rng.random((48, 48))
    assert residualised(pairs, both, covariates) > 0.5


def test_geodesic_distances_of_a_known_graph():
    line = np.abs(np.subtract.outer(np.arange(6.0), np.arange(6.0)))
    np.testing.assert_allclose(geodesic_distances(np.minimum(line, 2.5), 2), line)
    apart = np.add.outer([0, 0, 0, 9, 9, 9], np.zeros(6))
    two = np.abs(np.subtract.outer(np.arange(6.0), np.arange(6.0))) + np.abs(apart - apart.T)
    found = geodesic_distances(two, 2)
    assert found[:3, 3:].tolist() == np.full((3, 3), 1.5 * 2).tolist()
    assert found[0, 2] == 2


def test_pairs_of_different_cell_types_alone_are_between():
    part = part_of()
    pairs = Pairs.of(part.label, RULER)
    same = (part.label[:, None] == part.label) * 1.0
    # A latent in which equal labels sit together and nothing else.
    distance = 1 - same + 1e-3 * np.abs(np.subtract.outer(rng := np.random.default_rng(3).random(len(part)), rng))
    assert pairs.correlation(distance) > 0.3
    assert abs(pairs.correlation(distance, between=True)) < 0.15


def test_permutations_stay_inside_blocks_and_give_the_correlations_of_permuted_labels():
    part = part_of(3)
    block, rng = blocks_of(part.donor, part.tissue), np.random.default_rng(0)
    permuted = permute_inside(part.label, block, 50, rng)
    assert all((np.sort(row.reshape(3, -1), axis=1) == np.arange(len(LABELS))).all() for row in permuted)
    assert len({tuple(row) for row in permuted}) > 45
    distance = angle_distances(planted(part, 0.5))
    found = blocked_permutation(distance, part.label, RULER, block, 50, np.random.default_rng(0))
    upper = np.triu_indices(len(part), 1)
    again = [spearman(distance[upper], RULER[row][:, row][upper]) for row in permuted]
    np.testing.assert_allclose(found.null, again)
    assert found.value == pytest.approx(Pairs.of(part.label, RULER).correlation(distance))


def test_blocked_permutation_finds_a_planted_latent_and_keeps_its_level():
    part = part_of(4)
    block = blocks_of(part.donor, part.tissue)
    good = blocked_permutation(angle_distances(planted(part)), part.label, RULER, block, 199, np.random.default_rng(0))
    assert good.p == good.p_floor == 1 / 200
    p = []
    for draw in range(200):
        z = np.random.default_rng(draw).normal(size=(len(part), 3))
        p.append(blocked_permutation(angle_distances(z), part.label, RULER, block, 99, np.random.default_rng(draw)).p)
    assert 0.01 <= np.mean(np.array(p) <= 0.05) <= 0.10
    assert 0.4 < np.mean(p) < 0.6


def test_branch_gate_is_a_mean_over_branches_plain_and_weighted():
    part = part_of(4)
    big = part.take(np.flatnonzero((part.branch != BRANCH_OF[0]) | (part.donor == "i0")))
    z = planted(big)
    latents = frozen_latents(z, groups("branch", big.branch))
    gates = holdout_gates(big, RULER, latents)
    by_branch, size = [], []
    for rows in (np.flatnonzero(big.branch == code) for code in np.unique(big.branch)):
        value = Pairs.of(big.label[rows], RULER).correlation(angle_distances(z[rows]))
        if np.isfinite(value):
            by_branch.append(value), size.append(len(rows))
    assert len(set(size)) == 2, "NK is one cell type, hence one distance"
    assert gates["branch"].value == pytest.approx(np.mean(by_branch))
    assert gates["branch_weighted"].value == pytest.approx(np.average(by_branch, weights=size))
    assert (gates["branch"].n, gates["branch"].total) == (2, 3)


@pytest.mark.parametrize("kind", ["random", "donor", "branch"])
def test_a_holdout_is_refitted_without_what_it_holds_out(kind):
    config, part = settings(min_anchors=10), part_of()
    one = next(h for h in holdouts(part, 2, 0) if h.kind == kind and len(h.rows) > 3)
    division = divide(part, one.rows, config)
    assert not set(one.rows) & {*division.fit, *division.stop}
    assert not set(part.donor[division.fit]) & set(part.donor[division.stop])

    def head(features: np.ndarray, budget: str) -> np.ndarray:
        return fit_heads(features, part, RULER, division, 4, 7, config)[budget].weight

    changed, trained = part.x.copy(), part.x.copy()
    changed[one.rows] += 5
    trained[division.fit[0]] += 5
    for budget in BUDGETS:
        np.testing.assert_array_equal(head(part.x, budget), head(changed, budget))
        assert not np.array_equal(head(part.x, budget), head(trained, budget))
    refitted = refitted_latents(part.x, part, RULER, [one], 7, config)["fixed"][0].z
    whole = fit_heads(part.x, part, RULER, divide(part, np.empty(0, int), config), 4, 7, config)["fixed"]
    assert not np.allclose(refitted, whole.transform(part.x[one.rows]))


def test_null_rulers_keep_branches_donors_and_cell_types():
    part = part_of()
    for null, ruler in filter(None, null_rulers("null_branch", part, RULER, BRANCH_OF, 5, 0)):
        assert null is part
        assert not np.array_equal(ruler, RULER)
        for a in np.unique(BRANCH_OF):
            for b in np.unique(BRANCH_OF):
                pick = np.ix_(np.isin(BRANCH_OF, a), np.isin(BRANCH_OF, b))
                assert sorted(ruler[pick].ravel()) == sorted(RULER[pick].ravel())
    for null, _ in filter(None, null_rulers("null_labels", part, RULER, BRANCH_OF, 5, 0)):
        assert (null.label != part.label).any()
        assert (null.branch == BRANCH_OF[null.label]).all()
        for donor in np.unique(part.donor):
            assert sorted(null.label[part.donor == donor]) == sorted(part.label[part.donor == donor])
    alone = reassign_inside_branches(RULER, np.arange(len(LABELS)), np.arange(len(LABELS)), np.random.default_rng(0))
    assert alone is None, "branches of one cell type have no other order"


def test_random_maps_give_a_cell_type_one_stage_of_its_branch():
    part, ontology = part_of(), Ontology.read(ONTOLOGY)
    for mapped, ruler in random_maps(part, ontology, 5, 0):
        assert all(len(set(mapped.branch[part.label == k])) == 1 for k in range(len(LABELS)))
        assert (np.diag(ruler) == 0).all()
    assert len({m.branch.tobytes() for m, _ in random_maps(part, ontology, 5, 0)}) > 1


def test_trust_is_one_for_the_features_themselves_and_has_a_reference_of_its_size():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(40, FEATURES)).astype(np.float32)
    trust = Trust(x, x.mean(0), x.std(0), 15, 0)
    assert trust.of((x - x.mean(0)) / x.std(0)) == 1
    reference = trust.reference(4)
    assert len(reference) == REFERENCES
    assert trust.of(rng.normal(size=(40, 4))) < reference.mean() < 1
    assert Trust(x[:9], x.mean(0), x.std(0), 15, 0).neighbours == 4


def test_a_planted_latent_passes_and_noise_does_not():
    config, part = settings(permutations=999), part_of()
    anchors = Anchors(part, RULER, config)
    found = {}
    for name, z in (("planted", planted(part)), ("noise", np.random.default_rng(0).normal(size=(len(part), 3)))):
        trust = Trust(z, z.mean(0), z.std(0), 5, 0)
        gates = [*anchors.whole(z, trust, IN_SAMPLE), *anchors.holdout_gates(frozen_latents(z, anchors.held))]
        assert {gate.gate for gate in gates} == set(GATES)
        found[name] = {gate.gate: gate.row(config) for gate in gates}
    tested = ("random", "donor", "branch", "blocked_permutation")
    assert all(found["planted"][gate]["passed"] for gate in tested)
    assert not any(found["noise"][gate]["passed"] for gate in tested)
    assert not found["planted"]["correlation"]["passed"], "a gate without threshold"
    for gates in found.values():
        trust, margin = gates["trustworthiness"], gates["trust_margin"]
        assert margin["value"] == pytest.approx(trust["value"] - gates["trust_reference"]["value"])
        assert margin["null_q95"] == pytest.approx(trust["null_q95"] - trust["null_mean"])
        assert not margin["passed"]


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> dict[str, str]:
    """Parts of a toy panel, an operator that copies genes and one on labels."""
    folder = tmp_path_factory.mktemp("gates")
    parts = [part_of(), part_of(5, 1, "external"), part_of(2, 2, "zero_shot").take(np.arange(9))]
    parts.append(replace(part_of(4, 3, "control"), name="control"))
    frames = []
    for part in parts:
        label = [LABELS[k] for k in part.label]
        frame = pd.DataFrame({"dataset": "c" if part.name == "control" else "a", "donor": part.donor, "label": label})
        frame = frame.assign(part=part.name, tissue="m", condition="healthy", depth=part.depth, n_cells=9)
        frame["stages"], frame["branch"] = [STAGES[k][0] for k in label], [STAGES[k][1] for k in label]
        frames.append(frame.set_axis(part.ids))
    genes = [f"g{i}" for i in range(FEATURES)]
    held = AnnData(np.concatenate([part.x for part in parts]), pd.concat(frames), pd.DataFrame(index=genes))
    held.uns["anchors"] = {"panel": "p", "min_cells": 5}
    held.write_h5ad(folder / "parts.h5ad")
    eye, genes = np.eye(FEATURES, dtype=np.float32), tuple(genes)
    write_operator(Operator(eye, eye > 0, genes, {"arm": "real"}), folder / "drift.safetensors")
    meta = {"arm": "label_lookup", "draw": 1, "encoding": "label", "noise_sd": 0.1, "seed": 0}
    meta["labels"] = [f"a:{name}" for name in LABELS]
    lookup = Operator(np.random.default_rng(0).normal(size=(len(LABELS), 8)).astype(np.float32), eye > 0, genes, meta)
    write_operator(lookup, folder / "label_lookup-1.safetensors")
    return {path.stem: str(path) for path in folder.iterdir()}


def scored(files: dict[str, str], arm: str, operator: str, output: Path, **gates) -> pd.DataFrame:
    score_gates(settings(**gates), "p", arm, GateFiles(files["parts"], ONTOLOGY, [files[operator]]), output)
    return read_table(output, SCHEMA)


def test_the_stage_writes_every_gate_of_every_part_once(files, tmp_path):
    table = scored(files, "drift", "drift", tmp_path / "gates.parquet", min_anchors=20)
    key = ["part", "head", "width", "budget", "arm", "draw", "seed", "gate"]
    assert not table.duplicated(key).any()
    real = table[table["arm"] == "real"]
    gates = real.groupby(["part", "budget", "draw"])["gate"].agg(set)
    for part in ("internal", "external", "zero_shot", "control", "null_branch", "null_labels", "dimension"):
        assert set(gates[part].index) == {(budget, draw) for budget in BUDGETS for draw in (0, 1)}
        wide = {f"{name}_{d}" for name in ("objective", "trust") for d in (2, 4)}
        assert all(found == (wide if part == "dimension" else {*GATES, "all"}) for found in gates[part])
    few = real[real["part"] == "zero_shot"]
    assert {*few["status"], *few["reason"]} == {"not_testable", "9 anchors, fewer than 20"}
    frozen = real[(real["part"] == "external") & (real["gate"] == "branch")]
    assert frozen["reason"].str.startswith("within-branch correlation: nothing is held out").all()
    ruled = real[(real["part"] == "internal") & real["gate"].isin(RULED) & real["value"].notna()]
    for row in ruled.itertuples():
        one = real[(real["part"] == "null_branch") & (real["budget"] == row.budget) & (real["gate"] == row.gate)]
        assert row.p == pytest.approx((1 + (one["value"] >= row.value).sum()) / (1 + one["value"].count()))
        assert (row.p_floor, row.null_mean) == (pytest.approx(1 / 3), pytest.approx(one["value"].mean()))
    assert {"correlation", "geodesic", "random", "donor", "donor_between"} <= set(ruled["gate"])
    blocked = real[(real["part"] == "internal") & (real["gate"] == "blocked_permutation")]
    assert set(blocked["p_floor"].round(6)) == {0.01}
    random = table[table["arm"] == "random_labels"]
    assert set(random["draw"]) == set(range(20))
    assert random.loc[random["gate"] == "branch", "value"].nunique() > 5
    again = scored(files, "drift", "drift", tmp_path / "again.parquet", min_anchors=20)
    pd.testing.assert_frame_equal(table, again)


def test_an_operator_on_labels_has_no_features_of_other_labels(files, tmp_path):
    table = scored(files, "label_lookup", "label_lookup-1", tmp_path / "gates.parquet")
    assert {*table["draw"], *table["seed"]} == {1, 15052}
    assert set(table.loc[table["part"] == "control", "status"]) == {"not_testable"}
    assert set(table.loc[table["part"] == "external", "status"]) <= {"ok", "cap"}


def test_too_few_anchors_to_train_on_make_rows_and_no_head(files, tmp_path):
    table = scored(files, "drift", "drift", tmp_path / "gates.parquet", min_anchors=30)
    assert set(table["status"]) == {"not_testable"}
    assert set(table["part"]) >= {"internal", "external", "dimension"}
    assert table["reason"].str.contains("28 anchors to train on").any()
    gates = table[table["arm"] == "real"].groupby(["part", "draw"])["gate"].agg(set)
    for part in ("null_branch", "null_labels"):
        assert gates[part].to_dict() == {0: {*GATES, "all"}}
    assert set(table.loc[table["arm"] == "random_labels", "gate"]) == {"trustworthiness", "branch"}
    assert table.loc[table["arm"] == "random_labels", "part"].eq("control").all()


def test_p_of_a_correlation_counts_the_null_rulers_of_its_budget_and_gate():
    null = [("null_branch", "donor", value) for value in (0.1, 0.2, 0.3, np.nan)]
    own = [("internal", "donor", 0.2), ("internal", "donor", 0.4), ("internal", "blocked_permutation", 0.2)]
    rows = pd.DataFrame([*null, *own, ("external", "donor", 0.4)], columns=["part", "gate", "value"])
    rows = rows.assign(arm="real", budget="fixed", p=np.nan, p_floor=np.nan, null_mean=np.nan, null_q95=np.nan)
    other = rows.assign(budget="plateau", value=9.0).query("part == 'null_branch'")
    found = with_ruler_null(pd.concat([rows, other], ignore_index=True))
    internal = found[(found["part"] == "internal") & (found["gate"] == "donor")]
    assert internal["p"].tolist() == [0.75, 0.25]
    assert internal["null_mean"].tolist() == pytest.approx([0.2, 0.2])
    assert found["p"].notna().sum() == 2


def test_null_rulers_are_read_on_a_fifth_of_the_random_holdouts(files):
    def job(count: int) -> GateJob:
        return GateJob(settings(holdouts=count), "p", "drift", GateFiles(files["parts"], ONTOLOGY, []))

    assert [job(count)._null_holdouts for count in (1, 2, 9, 20)] == [1, 2, 2, 4]
    part, config = part_of(), settings(holdouts=20)
    few, all_of_them = Anchors(part, RULER, config, 4).held, Anchors(part, RULER, config).held
    kinds = pd.Series([one.kind for one in few]).value_counts()
    assert kinds.to_dict() == {"random": 4, "donor": DONORS, "branch": 3}
    assert all((a.rows == b.rows).all() for a, b in zip(few[:4], all_of_them[:4], strict=True))
