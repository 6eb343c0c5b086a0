"""Cost of summing all heads' attention, against the plain forward pass: `python benchmarks/attention.py`.

Random weights of the released size, whole cells of as many tokens as genes; both passes run the same encoder on the
same cells, in turn, and the ratio is the median over the turns. `--genes` above `--tokens` measures cells that hold
a part of the panel, whose maps are scattered into the sums. To be run alone on the machine: waiting threads spin,
which on a busy one costs several times the work (OMP_WAIT_POLICY=PASSIVE makes them sleep instead).
"""

import argparse
import os
import resource
import time
from statistics import median

#: Argument of the model by option.
SHAPE = {"nlayers": "layers", "nheads": "heads", "embsize": "width", "d_hid": "feedforward"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    defaults = {"layers": 12, "heads": 8, "width": 512, "feedforward": 512, "tokens": 1200, "cells": 2, "repeats": 9}
    for name, value in {**defaults, "threads": 2}.items():
        parser.add_argument(f"--{name}", type=int, default=value, help=f"default {value}")
    parser.add_argument("--genes", type=int, help="genes of the panel (default: as many as tokens)")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    options = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = str(options.threads)
    measure(options)


def measure(options: argparse.Namespace) -> None:
    """Time both passes and print one row; torch is imported here, after its threads are set."""
    import numpy as np
    import torch

    from opbench.models.accumulate import AttentionAccumulator
    from opbench.models.attention import BATCH_TOKENS
    from opbench.models.device import choose_device
    from opbench.models.tokens import TokenTable, packed
    from opbench.models.transformer import ScGPT

    torch.set_num_threads(options.threads)
    device, tokens, genes = choose_device(options.device), options.tokens, options.genes or options.tokens
    rng = np.random.default_rng(0)
    columns = np.sort([rng.choice(genes, tokens, replace=False) for _ in range(options.cells)]).astype(np.int32)
    values = rng.gamma(2.0, 1.0, columns.shape).astype(np.float32)
    table = TokenTable(np.arange(options.cells + 1) * tokens, columns.ravel(), values.ravel())
    batches = list(packed(table, np.arange(genes), genes + 1, BATCH_TOKENS))
    args = {key: getattr(options, option) for key, option in SHAPE.items()}
    model = ScGPT(args, genes + 3).initialise(0).eval().requires_grad_(False).to(device)
    accumulator = AttentionAccumulator(model, genes, tokens)

    def plain() -> None:
        for batch in batches:
            shape = (len(batch.rows), tokens)
            inputs = (torch.as_tensor(a.reshape(shape), device=device) for a in (batch.gene_ids, batch.values))
            model.encode(*inputs)

    def summed() -> None:
        for batch in batches:
            accumulator.add(batch)

    def seconds(work: object) -> float:
        start = time.perf_counter()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize()
        return (time.perf_counter() - start) / options.cells

    with torch.no_grad():
        seconds(plain), seconds(summed)  # the first calls set up buffers and are not counted
        turns = [(seconds(plain), seconds(summed)) for _ in range(options.repeats)]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    ratios = [with_sums / without for without, with_sums in turns]
    row = {
        "device": device.type,
        "threads": torch.get_num_threads(),
        **{name: getattr(options, name) for name in ("layers", "heads", "width", "tokens", "cells", "repeats")},
        "genes": genes,
        "plain s/cell": f"{median(plain for plain, _ in turns):.4f}",
        "summed s/cell": f"{median(with_sums for _, with_sums in turns):.4f}",
        "ratio": f"{median(ratios):.3f}",
        "lowest-highest": f"{min(ratios):.3f}-{max(ratios):.3f}",
        "peak MB": f"{peak:.0f}",
    }
    print(*row, sep="\t")
    print(*row.values(), sep="\t")


if __name__ == "__main__":
    main()
