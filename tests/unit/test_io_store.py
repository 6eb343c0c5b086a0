"""The content-addressed store: equal inputs are computed once, and nothing else is taken for equal."""

import numpy as np
import scipy.sparse as sp

from opbench.io.store import Store, digest


def test_digest_tells_contents_apart():
    a = np.arange(6)
    parts = [
        a, a.reshape(2, 3), a.astype(float), a[::-1], np.array(["0", "1"]), np.array(["01", ""]), sp.csr_matrix(a),
        sp.csc_matrix(a), "x", ("x",), 1, 1.0, None,
    ]  # fmt: skip
    assert len({digest(part) for part in parts}) == len(parts)
    assert digest("ab", "c") != digest("a", "bc")
    assert digest(a[::2]) == digest(a[::2].copy())
    assert digest(np.array(["a", "b"])) == digest(np.array(["a", "b"], dtype=object))


def test_computed_once_also_by_another_process(tmp_path):
    calls = []

    def compute():
        calls.append(1)
        return {"values": np.arange(3), "names": np.array(["a", "b"])}

    first, second = Store(tmp_path), Store(tmp_path)
    first.get("abcd", compute)
    again = second.get("abcd", compute)
    assert len(calls) == 1
    assert (first.computed, first.reused, second.computed, second.reused) == (1, 0, 0, 1)
    assert again["names"].tolist() == ["a", "b"]
    assert set(again) == {"values", "names"}
    assert second.saved_s > 0
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["abcd.npz"]


def test_a_torn_entry_is_computed_again(tmp_path):
    store = Store(tmp_path)
    store.put("abcd", {"x": np.arange(1000)})
    path = next(tmp_path.rglob("*.npz"))
    path.write_bytes(path.read_bytes()[:100])
    assert store.find("abcd") is None
    assert store.get("abcd", lambda: {"x": np.zeros(1)})["x"].tolist() == [0]


def test_in_memory_without_a_folder():
    store = Store()
    store.get("k", lambda: {"x": np.ones(1)})
    assert store.get("k", lambda: {"x": np.zeros(1)})["x"].tolist() == [1]


def test_a_store_that_cannot_be_written_does_not_lose_the_result(tmp_path, caplog):
    (tmp_path / "store").write_text("a file where the folder should be")
    store = Store(tmp_path / "store")
    made = store.get("abcd", lambda: {"x": np.arange(3)})
    assert made["x"].tolist() == [0, 1, 2]
    assert "nothing could be kept" in caplog.text
