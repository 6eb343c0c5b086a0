"""Do the nulls of the geometry keep their level and see what is planted: `python benchmarks/geometry_level.py`.

Options: repeats (default 200), permutations (default 199), names of analyses (default all). For each analysis and test
the table says how often p was at most 0.05 in empty worlds, where geometry and labels both follow detection, with the
exact 95 % interval, and in worlds where something is planted. A matched null must hold 0.05 in the first; the paper's
is there to compare. Two kinds of row are meant to be high in empty worlds: `degree` where neighbours are detected
alike, and, for edges, nulls that lose the genes' classes with the edges (spectral-geometry, F5).
"""

import os
import sys
import time

os.environ.setdefault("OMP_NUM_THREADS", "1")

from scipy.stats import binomtest

from opbench.geometry.planted import TRIALS, trials

LEVEL = 0.05


def main(repeats: int = 200, permutations: int = 199, *names: str) -> None:
    print("analysis\ttest\trepeats\trejected\trate\tlow\thigh\tpower\tseconds")
    for name in names or TRIALS:
        start = time.perf_counter()
        empty, planted = (trials(name, kind, repeats, permutations) for kind in (False, True))
        seconds = time.perf_counter() - start
        for test in empty:
            p = empty[test].dropna()
            rejected = int((p <= LEVEL).sum())
            ends = binomtest(rejected, len(p)).proportion_ci(0.95) if len(p) else (float("nan"),) * 2
            power = (planted[test].dropna() <= LEVEL).mean()
            rate = rejected / max(len(p), 1)
            print(
                f"{name}\t{test}\t{len(p)}\t{rejected}\t{rate:.3f}\t{ends[0]:.3f}\t{ends[1]:.3f}\t{power:.2f}"
                f"\t{seconds:.0f}",
                flush=True,
            )


if __name__ == "__main__":
    main(*map(int, sys.argv[1:3]), *sys.argv[3:])
