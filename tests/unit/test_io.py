"""Contracts are checked at write and at read; seeds and digests do what they say."""

import hashlib
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from opbench.io.errors import InputError
from opbench.io.provenance import sha256_of
from opbench.io.seeds import derive_seed, keyed_rng
from opbench.io.source_digest import PACKAGE, closure, source_digest
from opbench.io.tables import GENES, ROOTS, read_table, read_tables, write_table

FRAME = pd.DataFrame({"gene": ["A", "B"], "rank": [0, 1], "score": [1.0, np.nan], "source": ["hvg", "hvg"]})


def test_table_goes_round_and_leaves_a_tsv(tmp_path):
    write_table(FRAME, tmp_path / "t.parquet", GENES, tsv=True)
    pd.testing.assert_frame_equal(read_table(tmp_path / "t.parquet", GENES), FRAME)
    assert (tmp_path / "t.tsv").read_text().splitlines()[0] == "gene\trank\tscore\tsource"
    assert len(read_tables([tmp_path / "t.parquet"] * 2, GENES)) == 4
    assert read_tables([], GENES).columns.tolist() == GENES.names


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (FRAME.drop(columns="score"), "columns missing"),
        (FRAME.assign(more=1), "not declared"),
        (FRAME.assign(gene=["A", None]), "non-nullable"),
        (FRAME.assign(rank=["x", "y"]), "contract"),
    ],
)
def test_a_broken_table_is_not_written(tmp_path, broken, message):
    with pytest.raises(InputError, match=message):
        write_table(broken, tmp_path / "t.parquet", GENES)
    assert not (tmp_path / "t.parquet").exists()


def test_a_table_of_another_contract_or_a_torn_file_is_refused(tmp_path):
    write_table(FRAME, tmp_path / "t.parquet", GENES)
    with pytest.raises(InputError, match="columns missing"):
        read_table(tmp_path / "t.parquet", ROOTS)
    (tmp_path / "t.parquet").write_bytes((tmp_path / "t.parquet").read_bytes()[:100])
    with pytest.raises(InputError, match="not a readable parquet"):
        read_table(tmp_path / "t.parquet", GENES)


def test_streams_depend_on_their_keys_alone():
    first = [keyed_rng(0, "cell", i).random() for i in range(5)]
    assert first[::-1] == [keyed_rng(0, "cell", i).random() for i in reversed(range(5))]
    assert len(set(first)) == 5
    assert derive_seed("a", "bc") != derive_seed("ab", "c")
    assert 0 <= derive_seed("x") < 2**63


def test_digest_follows_the_import_closure(tmp_path):
    script = PACKAGE.parent / "scripts" / "compare_methods.py"
    names = {path.name for path in closure(script)}
    assert {"compare_methods.py", "compare.py", "tables.py"} <= names
    assert "cell_head.py" not in names
    before = source_digest(script)
    subprocess.run(["touch", script], check=True)
    assert source_digest(script) == before
    copy = tmp_path / "compare_methods.py"
    copy.write_text(script.read_text() + "# edited\n")
    assert source_digest(copy) != before


def test_input_error_in_a_job_is_one_sentence_without_traceback(tmp_path):
    code = (
        "from opbench.io.jobs import job\nfrom opbench.io.errors import InputError\n"
        f"with job(r'{tmp_path}/log'):\n    raise InputError('x.h5ad: column donor is missing; name it.')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == "opbench: x.h5ad: column donor is missing; name it.\n"
    assert "column donor is missing" in (tmp_path / "log").read_text()


def test_digests_of_files_and_folders_depend_on_content_and_names_alone(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name / "c").mkdir(parents=True)
        (tmp_path / name / "c" / "0").write_text("x")
    assert sha256_of(tmp_path / "a" / "c" / "0") == hashlib.sha256(b"x").hexdigest()
    assert sha256_of(tmp_path / "a") == sha256_of(tmp_path / "b")
    (tmp_path / "b" / "c" / "0").rename(tmp_path / "b" / "c" / "1")
    assert sha256_of(tmp_path / "a") != sha256_of(tmp_path / "b")
