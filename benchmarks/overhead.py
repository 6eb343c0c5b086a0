"""What the workflow itself takes of a campaign's wall time: everything but methods, probes and scores.

    python benchmarks/overhead.py results/marrow --cores 2

Reads the costs table of a finished run and its jobs' benchmark files. A job's own overhead is its wall time less what
its variants took: start of the interpreter, imports, opening the panel, addressing and writing results. What cores
stand idle between jobs is the scheduler's, from the first start of a run_method job to the last end (file times).
"""

import argparse
from pathlib import Path

import pandas as pd

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("results", type=Path, help="results folder of a run")
parser.add_argument("--cores", type=int, default=2)
options = parser.parse_args()

costs = pd.read_parquet(options.results / "tables" / "costs.parquet")
jobs = []
for file in sorted((options.results / "benchmarks" / "run_method").rglob("*.tsv")):
    campaign, method, chunk = file.parts[-3], file.parts[-2], int(file.stem)
    seconds = float(pd.read_csv(file, sep="\t")["s"].iloc[-1])
    jobs.append((campaign, method, chunk, seconds, file.stat().st_mtime - seconds, file.stat().st_mtime))
jobs = pd.DataFrame(jobs, columns=["campaign", "method", "chunk", "job_s", "start", "end"])
inside = costs.groupby(["campaign", "method", "chunk"])["wall_s"].sum().reset_index()
jobs = jobs.merge(inside, on=["campaign", "method", "chunk"], validate="one_to_one")
jobs["own_s"] = jobs["job_s"] - jobs["wall_s"]
span = jobs["end"].max() - jobs["start"].min()
idle = span * options.cores - jobs["job_s"].sum()
print(f"{len(jobs)} jobs, {span:.0f} s from first start to last end on {options.cores} cores")
print(f"methods, probes, scores {jobs['wall_s'].sum():8.0f} s")
print(f"start, imports, files   {jobs['own_s'].sum():8.0f} s, {jobs['own_s'].mean():.1f} s a job")
print(f"idle cores              {idle:8.0f} s (other rules run there too)")
share = span * options.cores
print(f"overhead: jobs {jobs['own_s'].sum() / share:.1%} of the cores' time, idle {idle / share:.1%}")
print(
    jobs.groupby("method")[["job_s", "wall_s", "own_s"]]
    .sum()
    .sort_values("job_s", ascending=False)
    .round(1)
    .to_string()
)
