"""Compiled inner loops."""

from numba import njit
from numpy.typing import NDArray


@njit
def swap_edges(edges: NDArray, present: NDArray, draws: NDArray, coins: NDArray, n: int, directed: bool) -> None:
    """Try one double-edge swap for each row of `draws`, in place; loops and doubled edges are refused."""
    for step in range(len(draws)):
        e, f = draws[step, 0], draws[step, 1]
        a, b, c, d = edges[e, 0], edges[e, 1], edges[f, 0], edges[f, 1]
        if not directed and coins[step]:
            c, d = d, c
        # (a, b), (c, d) become (a, d), (c, b).
        if a in (c, d) or b in (c, d) or present[a * n + d] or present[c * n + b]:
            continue
        present[a * n + b] = present[c * n + d] = False
        present[a * n + d] = present[c * n + b] = True
        if not directed:
            present[b * n + a] = present[d * n + c] = False
            present[d * n + a] = present[b * n + c] = True
        edges[e, 0], edges[e, 1], edges[f, 0], edges[f, 1] = a, d, c, b
