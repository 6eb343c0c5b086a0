"""Null rulers, other targets for the same pipeline, and random maps from cell type to stage (spec E; decision 21)."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from opbench.discovery.parts import Part
from opbench.discovery.permutations import blocks_of, movable, permute_inside
from opbench.io.seeds import keyed_rng
from opbench.panels.ontology import Ontology

NULL_BRANCH, NULL_LABELS = "null_branch", "null_labels"
#: Draws after which no other ruler is taken to exist.
ATTEMPTS = 200


def reassign_inside_branches(
    ruler: np.ndarray, branch_of: np.ndarray, present: np.ndarray, rng: np.random.Generator
) -> np.ndarray | None:
    """Give the stages of each branch to its cell types in another order, (K, K) -> (K, K): the hard null.

    branch_of (K,) is the branch of each label; present (codes) are the labels of the part, others keep their stages.
    Branches, cell types and anchors stay as they are. None when every order gives the same ruler.
    """
    inside = np.ix_(present, present)
    for _ in range(ATTEMPTS):
        stage = np.arange(len(ruler))
        for branch in np.unique(branch_of[present]):
            members = present[branch_of[present] == branch]
            stage[members] = rng.permutation(members)
        made = ruler[stage][:, stage]
        if not np.array_equal(made[inside], ruler[inside]):
            return made
    return None


def shuffle_inside_blocks(part: Part, branch_of: np.ndarray, rng: np.random.Generator) -> Part | None:
    """Permute labels, and branches with them, among the anchors of a donor and tissue: the weak null.

    None when no donor and tissue has two labels.
    """
    block = blocks_of(part.donor, part.tissue)
    if not movable(part.label, block):
        return None
    label = permute_inside(part.label, block, 1, rng)[0]
    return replace(part, label=label, branch=branch_of[label])


def null_rulers(
    kind: str, part: Part, ruler: np.ndarray, branch_of: np.ndarray, count: int, seed: int
) -> Iterator[tuple[Part, np.ndarray] | None]:
    """Part and ruler of each draw of a kind of null, `null_branch` or `null_labels`; None where there is none."""
    for index in range(count):
        rng = keyed_rng(seed, kind, index)
        if kind == NULL_BRANCH:
            made = reassign_inside_branches(ruler, branch_of, np.unique(part.label), rng)
            yield None if made is None else (part, made)
        else:
            shuffled = shuffle_inside_blocks(part, branch_of, rng)
            yield None if shuffled is None else (shuffled, ruler)


def random_maps(part: Part, ontology: Ontology, count: int, seed: int) -> Iterator[tuple[Part, np.ndarray]]:
    """Part and ruler under random maps from cell type to a stage of the graph; a stage may be drawn twice.

    The anchors of a cell type share its stage: random labels per anchor would fail for any representation (spec E).
    """
    branches = np.unique(ontology.branches, return_inverse=True)[1]
    size = int(part.label.max()) + 1
    for index in range(count):
        stage = keyed_rng(seed, "random-map", index).integers(len(ontology.stages), size=size)
        yield replace(part, branch=branches[stage[part.label]]), ontology.distance[stage][:, stage].astype(float)
