"""Knowledge tables become tidy tables by symbol, and bad ones are named."""

import gzip
import json
import os
from pathlib import Path

import numpy as np
import pytest

from opbench.config import read_yaml
from opbench.geometry import knowledge
from opbench.io.errors import InputError
from opbench.panels.reading import check_sha256

ROOT = Path(__file__).resolve().parents[2]
FOLDER = Path(os.environ.get("OPBENCH_KNOWLEDGE", "absent"))
CHANNELS = dict.fromkeys(knowledge.CHANNELS.values(), 0)


def write(path, text):
    path.write_text(text)
    return path


def test_trrust_edges_are_unique_and_contradictions_ambiguous(tmp_path):
    path = write(
        tmp_path / "t.tsv",
        "A\tB\tActivation\t1\nA\tB\tUnknown\t2\nA\tC\tActivation\t3\nA\tC\tRepression\t4\nA\tA\tUnknown\t5\nB\tA\tUnknown\t6\n",
    )
    edges = knowledge.read_trrust(path)
    assert edges.to_numpy().tolist() == [["A", "B", "activation"], ["A", "C", "ambiguous"], ["B", "A", "unknown"]]
    assert knowledge.transcription_factors(edges) == ["A", "B"]
    with pytest.raises(InputError, match="'Aktivierung'"):
        knowledge.read_trrust(write(tmp_path / "u.tsv", "A\tB\tAktivierung\t1\n"))


def test_string_pairs_are_unordered_and_keep_their_channels(tmp_path):
    entry = {"preferredName_A": "B", "preferredName_B": "A", "score": 0.5, **CHANNELS, "escore": 0.4}
    again = {"preferredName_A": "A", "preferredName_B": "B", "score": 0.6, **CHANNELS, "tscore": 0.3}
    path = tmp_path / "s.json.gz"
    with gzip.open(path, "wt") as file:
        json.dump([entry, again], file)
    pairs = knowledge.read_string(path)
    assert pairs[["a", "b", "score", "experiments", "textmining"]].to_numpy().tolist() == [["A", "B", 0.6, 0.4, 0.3]]
    alone = knowledge.combined_score(pairs, ["experiments"])
    assert alone[0] == pytest.approx(0.4)  # one channel gives back itself
    assert knowledge.combined_score(pairs, ["fusion"])[0] == 0
    assert knowledge.combined_score(pairs, ["experiments", "textmining"])[0] > 0.55
    with pytest.raises(InputError, match="'gossip' is no STRING channel"):
        knowledge.combined_score(pairs, ["gossip"])
    with pytest.raises(InputError, match="outside 0 to 1"):
        knowledge.read_string(write(tmp_path / "k.json", json.dumps([entry | {"score": 700}])))


def test_localisation_and_markers(tmp_path):
    head = "Gene\tGene name\tReliability\tGO id\n"
    rows = "E1\tG1\tApproved\tCytosol (GO:0005829);Rods & Rings ()\nE2\tG2\tUncertain\tNucleus (GO:0005634)\n"
    hpa = knowledge.read_hpa(write(tmp_path / "h.tsv", head + rows))
    assert hpa[["symbol", "term", "go_id"]].to_numpy().tolist() == [
        ["G1", "Cytosol", "GO:0005829"],
        ["G1", "Rods & Rings", ""],
    ]
    head = "species\tofficial gene symbol\tcell type\tcanonical marker\n"
    rows = "Mm Hs\tCD3D\tT cells\t1\nMm\tTRY4\tAcinar cells\t1\nHs\tNAN\tB cells\tNA\n"
    rows += "Hs\tCD3E\tT cells\t1\nHs\tCD19\tB cells\t1\n"
    panglao = knowledge.read_panglao(write(tmp_path / "p.tsv", head + rows))
    assert panglao["symbol"].tolist() == ["CD19", "CD3D", "CD3E"]
    assert knowledge.marker_panel(panglao, {"CD3D", "CD3E", "CD19"}) == {"CD3D": "T cells", "CD3E": "T cells"}
    text = 'Tissue,CT,Gene\nBlood,B cell,"CD19, MS4A1,CD19"\nLung,B cell,CD79A\n'
    cellmarker = knowledge.read_cellmarker(write(tmp_path / "c.csv", text), ["Blood"])
    assert cellmarker["symbol"].tolist() == ["CD19", "MS4A1"]
    both = knowledge.membership(hpa, ["G0", "G1"], least=1)
    assert both.loc["Cytosol"].tolist() == [False, True]
    assert len(knowledge.membership(hpa, ["G0", "G1"], least=2)) == 0
    sets = knowledge.read_gene_sets(write(tmp_path / "s.gmt", "A\turl\tG1\tG2\nB\turl\tG2\n"))
    assert len(sets) == 3


def test_a_missing_or_wrong_file_is_named(tmp_path):
    with pytest.raises(InputError, match=r"none\.tsv: knowledge table not found"):
        knowledge.read_trrust(tmp_path / "none.tsv")
    with pytest.raises(InputError, match="'Gene name' is missing"):
        knowledge.read_hpa(write(tmp_path / "h.tsv", "Gene\tReliability\n1\t2\n"))
    with pytest.raises(InputError, match="not readable"):
        knowledge.read_string(write(tmp_path / "s.json", "{"))
    (tmp_path / "broken.json.gz").write_bytes(b"no gzip")
    with pytest.raises(InputError, match="not readable"):
        knowledge.read_string(tmp_path / "broken.json.gz")


def test_a_table_that_is_cut_off_is_refused(tmp_path):
    edges = write(tmp_path / "t.tsv", "A\tB\tActivation\t1\nA\tC\tActivation\t3\nA\tD\tRepression")
    with pytest.raises(InputError, match=r"t\.tsv: line 3 has 3 of 4 columns"):
        knowledge.read_trrust(edges)
    places = "Gene\tGene name\tReliability\tSupported\tGO id\nE1\tG1\tApproved\t\tCytosol (GO:0005829)\nE2\tG2\tAppr"
    with pytest.raises(InputError, match=r"h\.tsv: line 3 has 3 of 5 columns"):
        knowledge.read_hpa(write(tmp_path / "h.tsv", places))
    with pytest.raises(InputError, match=r"c\.csv: line 3 has 2 of 3 columns"):
        knowledge.read_cellmarker(write(tmp_path / "c.csv", 'Tissue,CT,Gene\nBlood,B cell,"CD19, MS4A1"\nLung,B cell'))


@pytest.mark.parametrize(
    "text",
    [
        "AATF\tBAX\tRepression\t22909821\nAATF\tKLK3\tUnknown\t23146908;23146909\nAATF\tMYC\tUnknown\t2\n",  # TRRUST
        "ENSG00000000003\tTSPAN6\tApproved\tCytosol (GO:0005829)\tCytosol:2\n",  # HPA
        "SET\turl\tENSG00000000003\tENSG00000000005.6\tCD19\n",  # sets by Ensembl id
        "SET\turl\t100\t2048\tCD19\n",  # sets by Entrez id
    ],
)
def test_gene_sets_are_by_symbol(text, tmp_path):
    with pytest.raises(InputError, match=r"s\.gmt: \d+ of \d+ members are no gene symbols"):
        knowledge.read_gene_sets(write(tmp_path / "s.gmt", text))
    mixed = "SET\turl\tHLA-DRA\tNKX2-5\tC1orf112\tENSG00000000003\t7SK\tAC005258.1\tMT-CO1\n"
    assert len(knowledge.read_gene_sets(write(tmp_path / "m.gmt", mixed))) == 7


@pytest.mark.parametrize("name", ["marrow_geometry", "marrow_discovery"])
def test_the_tables_of_the_marrow_runs_are_held_to_their_digests(name):
    entries = read_yaml(ROOT / "config" / f"{name}.yaml")["knowledge"]
    assert {key for key, entry in entries.items() if len(entry.get("sha256", "")) != 64} == set()
    for entry in entries.values():
        if (FOLDER / entry["path"]).is_file():
            check_sha256(FOLDER / entry["path"], entry["sha256"])


@pytest.mark.skipif(not FOLDER.is_dir(), reason="OPBENCH_KNOWLEDGE names no folder")
def test_the_published_tables_have_their_known_sizes():
    """Counts of spectral-geometry, sections 2 and 4."""
    trrust = knowledge.read_trrust(FOLDER / "trrust_rawdata.human.tsv")
    assert trrust["source"].nunique() <= 795
    assert 8427 - 50 < len(trrust) <= 8427  # unique pairs less self edges
    pairs = knowledge.read_string(FOLDER / "string_v12_209genes.json.gz")
    assert [len(pairs), (pairs["score"] >= 0.7).sum(), (pairs["score"] >= 0.4).sum()] == [9905, 1022, 3364]
    assert ((pairs["score"] >= 0.7) & (pairs["experiments"] >= 0.4)).sum() == 89
    combined = knowledge.combined_score(pairs, list(knowledge.CHANNELS))
    assert np.abs(combined - pairs["score"]).max() < 0.002
    assert len(knowledge.read_dorothea(FOLDER / "dorothea_hs.csv.gz", ["A"])) > 1000
    assert len(knowledge.read_hpa(FOLDER / "hpa_subcellular_location.tsv")) > 10_000
    assert len(knowledge.read_panglao(FOLDER / "PanglaoDB_markers_27_Mar_2020.tsv")) > 4000
    assert len(knowledge.read_cellmarker(FOLDER / "CellMarker2_Human_Aug.csv")) > 10_000
    assert len(knowledge.read_gene_sets(FOLDER / "h.all.v7.5.1.symbols.gmt")) == 7321
    for other in ("trrust_rawdata.human.tsv", "hpa_subcellular_location.tsv", "PanglaoDB_markers_27_Mar_2020.tsv"):
        with pytest.raises(InputError, match="no gene symbols"):
            knowledge.read_gene_sets(FOLDER / other)
