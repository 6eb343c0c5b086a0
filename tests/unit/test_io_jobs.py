"""Files appear whole; what the machine refuses is one sentence; nothing is written where nothing can be."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from opbench.io.atomic import HOST, atomic, remove_partial, write_text
from opbench.io.errors import InputError
from opbench.io.jobs import check_writable, refusal


def test_a_file_that_fails_half_way_leaves_the_old_one(tmp_path):
    target = tmp_path / "deep" / "t.tsv"
    write_text("old", target)

    def half() -> None:
        with atomic(target) as partial:
            assert partial.suffix == ".tsv"
            partial.write_text("ha")
            raise ValueError

    with pytest.raises(ValueError, match=r"^$"):
        half()
    assert target.read_text() == "old"
    assert os.listdir(target.parent) == ["t.tsv"]


def test_what_killed_processes_left_is_removed(tmp_path):
    (tmp_path / "a").mkdir()
    dead = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True)
    (tmp_path / "a" / f".partial-{HOST}-{dead.stdout.strip()}-x.parquet").write_text("half")
    (tmp_path / "a" / f".partial-{HOST}-{os.getpid()}-y.parquet").write_text("living")
    (tmp_path / "a" / "x.parquet").write_text("whole")
    remove_partial(tmp_path)
    assert sorted(path.name for path in tmp_path.rglob("*x.parquet")) == ["x.parquet"]
    assert len(list(tmp_path.rglob("*y.parquet"))) == 1


def run_job(tmp_path: Path, body: str, log: str = "job.log") -> subprocess.CompletedProcess:
    code = f"from opbench.io.jobs import job\nwith job({log!r}):\n    {body}\n"
    return subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ("from opbench.io.errors import InputError; raise InputError('x.h5ad: wrong; correct it.')", "x.h5ad: wrong"),
        ("raise OSError(28, 'No space left on device', 'big.parquet')", "big.parquet: the disk is full"),
        ("raise RuntimeError('HDF5: errno = 28, No space left on device')", "the disk is full"),
        ("raise OSError(30, 'Read-only file system', 'a b.h5ad')", "a b.h5ad: the file system is read-only"),
        ("raise MemoryError('Unable to allocate 9 TiB')", "memory is not enough (Unable to allocate 9 TiB)"),
    ],
)
def test_bad_input_and_full_machines_end_in_one_sentence(tmp_path, body, sentence):
    done = run_job(tmp_path, body)
    assert done.returncode == 1
    assert done.stderr.startswith(f"opbench: {sentence}")
    assert len(done.stderr.splitlines()) == 1
    assert sentence in (tmp_path / "job.log").read_text()


def test_our_own_errors_keep_their_traceback(tmp_path):
    done = run_job(tmp_path, "1 / 0")
    assert done.returncode == 1
    assert "ZeroDivisionError" in (tmp_path / "job.log").read_text()
    assert refusal(ZeroDivisionError()) is None


def test_a_log_that_cannot_be_written_is_one_sentence(tmp_path):
    (tmp_path / "logs").write_text("a file")
    done = run_job(tmp_path, "pass", log="logs/job.log")
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert "logs/job.log" in done.stderr


def test_a_results_folder_that_cannot_be_written_is_refused(tmp_path, monkeypatch):
    check_writable(tmp_path / "results" / "run")
    assert not (tmp_path / "results").exists()
    (tmp_path / "results").write_text("a file")
    with pytest.raises(InputError, match="is a file where the results folder"):
        check_writable(tmp_path / "results" / "run")
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(InputError, match="cannot be written to"):
        check_writable(tmp_path)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small file system")
def test_a_full_disk_is_one_sentence_and_leaves_nothing_half_written(tmp_path):
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(tmp_path)], check=False).returncode:
        pytest.skip("mounting is not allowed here")
    try:
        body = (
            "import numpy as np, pandas as pd\n"
            "    from opbench.io.tables import ROOTS, write_table\n"
            "    n = 400_000\n"
            "    noise = np.random.default_rng(0).random(n)\n"
            "    columns = {'split': range(n), 'donor': 'd', 'cell_id': noise.astype(str), 'score': noise}\n"
            "    write_table(pd.DataFrame(columns), 'results/t.parquet', ROOTS)"
        )
        done = run_job(tmp_path, body)
        assert done.returncode == 1
        assert "the disk is full" in done.stderr
        assert len(done.stderr.splitlines()) == 1
        assert list((tmp_path / "results").iterdir()) == []
        assert len(list(tmp_path.iterdir())) == 2
    finally:
        subprocess.run(["umount", str(tmp_path)], check=False)
