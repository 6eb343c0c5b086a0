"""A run that is killed again and again ends with the tables of one that is not."""

from checkout import Checkout
from interrupt import KINDS, differing_tables, interrupted_run


def test_killed_runs_resume_without_loss(run, tmp_path):
    checkout = Checkout(tmp_path)
    for name in ("broken.py", "unloadable.py"):
        source = run.folder / "workflow/opbench/methods/plugins" / name
        (tmp_path / "workflow/opbench/methods/plugins" / name).write_text(source.read_text())
    records = interrupted_run(checkout, points=len(KINDS), seed=0, most_jobs=20)
    assert [record.kind for record in records] == [*KINDS, "none"]
    assert [record.ran_again for record in records] == [[]] * len(records)
    assert records[-1].finished > 50
    assert differing_tables(run.results, checkout.results) == []
    assert list(checkout.results.rglob(".partial-*")) == []
    assert (checkout.results / "report.zip").stat().st_size > 0
