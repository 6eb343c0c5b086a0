"""Do the nulls of the geometry keep their level and see what is planted: `python benchmarks/geometry_level.py`.

Options: repeats (default 200), permutations (default 199), names of analyses, or `intervals` (default all). For each
analysis and test the table says how often p was at most 0.05 in empty worlds, where geometry and labels both follow
the token count, which departs from detection, with the exact 95 % interval, and in worlds where something is planted. A
matched null must hold 0.05 in the first; the paper's is there to compare. Meant to be high in empty worlds are also
those `without count` (matched by detection and mean alone), `degree` where neighbours are alike, permuted labels where
markers are (`markers, counted`), and, for edges, nulls that lose the genes' classes with the edges (spectral-geometry,
F5). Rows of `intervals` say how often a 95 % interval missed the true value; coverage of the others is not studied.

Fifths of a covariate are wide: what varies within them is left. Of 200 worlds `attention`, whose pairs follow the count
of both genes, was rejected in 27 (13.5 %); with tenths (`planted_worlds.BINS`) in 3 of 60.
"""

import os
import sys
import time

os.environ.setdefault("OMP_NUM_THREADS", "1")

from scipy.stats import binomtest

from opbench.geometry.planted import TRIALS, trials
from opbench.geometry.planted_intervals import INTERVALS, intervals

LEVEL = 0.05


def main(repeats: int = 200, permutations: int = 199, *names: str) -> None:
    print("analysis\ttest\trepeats\trejected\trate\tlow\thigh\tpower\tseconds")
    for name in names or (*TRIALS, "intervals"):
        start = time.perf_counter()
        if name == "intervals":
            for test in INTERVALS:
                missed = intervals(test, repeats)["misses"]
                report(name, test, int(missed.sum()), repeats, float("nan"), time.perf_counter() - start)
            continue
        empty, planted = (trials(name, kind, repeats, permutations) for kind in (False, True))
        seconds = time.perf_counter() - start
        for test in empty:
            p = empty[test].dropna()
            report(name, test, int((p <= LEVEL).sum()), len(p), (planted[test].dropna() <= LEVEL).mean(), seconds)


def report(name: str, test: str, rejected: int, n: int, power: float, seconds: float) -> None:
    """Print one row; `seconds` are those of all tests of the name."""
    low, high = binomtest(rejected, n).proportion_ci(0.95) if n else (float("nan"),) * 2
    rate = rejected / max(n, 1)
    row = f"{name}\t{test}\t{n}\t{rejected}\t{rate:.3f}\t{low:.3f}\t{high:.3f}\t{power:.2f}\t{seconds:.0f}"
    print(row, flush=True)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:3]), *sys.argv[3:])
