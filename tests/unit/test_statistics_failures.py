"""The lines that a run ends with when methods failed."""

import pandas as pd

from opbench.statistics.failures import failure_lines


def test_a_failed_method_is_named_with_its_share_and_reason(tmp_path):
    rows = [
        {"campaign": "c", "method": method, "split": split, "donor": f"d{split}", "endpoint": endpoint,
         "status": "failed" if method == "bad" and split < 2 else "not_applicable" if method == "other" else "ok",
         "reason": "no memory for 3 cells" if method == "bad" else ""}
        for method in ("bad", "good", "other") for split in range(5) for endpoint in ("a", "b")
    ]  # fmt: skip
    path = tmp_path / "scores.parquet"
    pd.DataFrame(rows).to_parquet(path)
    assert failure_lines(path) == ["c: bad failed on 2 of 5 tested donors: no memory for 3 cells"]
    pd.DataFrame(rows)[lambda f: f["method"] != "bad"].to_parquet(path)
    assert failure_lines(path) == []
