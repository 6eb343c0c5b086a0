"""The standalone algorithm as one file: operator, cell head, linear readouts, genes, ontology and provenance.

The file is safetensors, so that opening it runs no code; names and numbers beside the tensors are JSON in its header.
Nothing here needs the libraries that the algorithm was trained with.
"""

import json
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from opbench.discovery.latent import Folded
from opbench.discovery.reduce import Reduced
from opbench.io.atomic import atomic
from opbench.io.errors import InputError

#: Version of the format; a file of a later one is refused.
VERSION = 1
#: The one key of the header; several would be written in no fixed order.
HEADER = "opbench_artifact"
#: Readouts that every artifact has, and the one of depth, which has no classes.
CLASSES, PSEUDOTIME = ("branch", "stage"), "supervised_pseudotime"
#: Tensors beside those of the operator and of the readouts.
TENSORS = ("head_weight", "head_mean", "head_scale", "latent_mean", "latent_scale")


@dataclass(frozen=True)
class Head:
    """The cell head z = W (f - mean) / scale of features f: weight (d, F), mean and scale (F,); beta scales angles."""

    weight: np.ndarray
    mean: np.ndarray
    scale: np.ndarray
    beta: float


@dataclass(frozen=True)
class Readout:
    """Decision scores z' @ weight + bias of standardised latents z': weight (d, C), bias (C,).

    Column c is the score of `classes[c]`. A two-class task has the negative side, then the positive one, whose score
    is above 0 where it is called; the depth readout has one column and no classes.
    """

    weight: np.ndarray
    bias: np.ndarray
    classes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Ontology:
    """Stages with their branches, edges between stages, and label -> stages joined by `|`."""

    stages: dict[str, str]
    edges: tuple[tuple[str, str], ...]
    labels: dict[str, str]


@dataclass(frozen=True)
class Artifact:
    """A standalone algorithm on G genes with a latent of d dimensions.

    latent_mean, latent_scale (d,): of the training cells, what readouts standardise by. readouts: `branch` and `stage`
    (its classes are the labels of `ontology`), two-class tasks, and `supervised_pseudotime` where depth was trained.
    genes: symbols; ensembl: ids without version joined by `|`, '' where none is known. provenance: what it was made
    from. min_coverage: least share of the genes that cells must have.
    """

    operator: Reduced
    head: Head
    latent_mean: np.ndarray
    latent_scale: np.ndarray
    readouts: dict[str, Readout]
    genes: tuple[str, ...]
    ensembl: tuple[str, ...]
    ontology: Ontology
    provenance: dict[str, object] = field(default_factory=dict)
    min_coverage: float = 0.6

    @property
    def tasks(self) -> list[str]:
        """Names of the two-class tasks."""
        return [name for name in self.readouts if name not in (*CLASSES, PSEUDOTIME)]

    @cached_property
    def folded(self) -> Folded:
        """Operator and head as one map from log1p(CP10k) of the genes to the latent."""
        weight = (self.head.weight.astype(np.float64) / self.head.scale).T
        return Folded(np.asarray(self.operator.times(weight)), -self.head.mean.astype(np.float64) @ weight)

    @property
    def support(self) -> np.ndarray:
        """Which genes the map reads at all, (G,) bool."""
        return self.folded.weight.any(axis=1)

    def scores(self, z: np.ndarray, name: str) -> np.ndarray:
        """Decision scores (n, C) of a readout on latents (n, d); of depth, (n, 1) in graph steps from the root."""
        readout = self.readouts[name]
        return ((z - self.latent_mean) / self.latent_scale) @ readout.weight + readout.bias


def write_artifact(artifact: Artifact, path: str | Path) -> None:
    """Write as one safetensors file, after its contract was checked (ValueError)."""
    if wrong := _broken(artifact):
        raise ValueError(f"artifact {wrong}")
    head = artifact.head
    tensors = dict(
        zip(TENSORS, (head.weight, head.mean, head.scale, artifact.latent_mean, artifact.latent_scale), strict=True)
    )
    tensors |= {f"operator_{name}": array for name, array in artifact.operator.arrays().items()}
    for name, readout in artifact.readouts.items():
        tensors |= {f"readout_weight:{name}": readout.weight, f"readout_bias:{name}": readout.bias}
    record = {
        "version": VERSION,
        "beta": head.beta,
        "classes": {name: readout.classes for name, readout in artifact.readouts.items()},
        "genes": artifact.genes,
        "ensembl": artifact.ensembl,
        "ontology": vars(artifact.ontology),
        "provenance": artifact.provenance,
        "min_coverage": artifact.min_coverage,
    }
    with atomic(path) as partial:
        contiguous = {name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}
        save_file(contiguous, str(partial), metadata={HEADER: json.dumps(record)})


def read_artifact(path: str | Path) -> Artifact:
    """Read an artifact and check its contract; InputError for a file that is none, is torn or of a later version."""
    try:
        with safe_open(str(path), framework="np") as file:
            text = (file.metadata() or {}).get(HEADER)
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise InputError(f"{path}: is no readable artifact ({error}); correct the path, or pack it again.") from error
    if text is None:
        raise InputError(f"{path}: is a safetensors file but no opbench artifact; give one that pack_artifact wrote.")
    try:
        record = json.loads(text)
        version = int(record["version"])
        artifact = _assembled(tensors, record) if version <= VERSION else None
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        said = " ".join(str(error).split())
        raise InputError(f"{path}: is a damaged artifact ({type(error).__name__}: {said}); pack it again.") from error
    if artifact is None:
        raise InputError(f"{path}: has format version {version}, later than {VERSION}; update opbench to apply it.")
    if wrong := _broken(artifact):
        raise InputError(f"{path}: {wrong}, so the artifact is damaged; pack it again.")
    return artifact


def _assembled(tensors: dict[str, np.ndarray], record: dict) -> Artifact:
    weight, mean, scale, latent_mean, latent_scale = (tensors[name] for name in TENSORS)
    held = {
        name.removeprefix("operator_"): tensor for name, tensor in tensors.items() if name.startswith("operator_")
    }  # fmt: skip
    readouts = {
        name: Readout(tensors[f"readout_weight:{name}"], tensors[f"readout_bias:{name}"], tuple(classes))
        for name, classes in record["classes"].items()
    }
    about = record["ontology"]
    return Artifact(
        Reduced.from_arrays(held),
        Head(weight, mean, scale, float(record["beta"])),
        latent_mean,
        latent_scale,
        readouts,
        tuple(record["genes"]),
        tuple(record["ensembl"]),
        Ontology(dict(about["stages"]), tuple((a, b) for a, b in about["edges"]), dict(about["labels"])),
        dict(record["provenance"]),
        float(record["min_coverage"]),
    )


def _broken(artifact: Artifact) -> str:
    """The first part of the contract that does not hold, '' if all do."""
    head, n_genes = artifact.head, len(artifact.genes)
    if head.weight.ndim != 2:
        return f"has a head of shape {head.weight.shape}"
    width, features = head.weight.shape
    if artifact.operator.shape != (n_genes, features):
        return f"has an operator {artifact.operator.shape} for {n_genes} genes and a head on {features} features"
    expected = {"head_mean": (features,), "head_scale": (features,), "latent_mean": (width,), "latent_scale": (width,)}
    arrays = dict(
        zip(TENSORS, (head.weight, head.mean, head.scale, artifact.latent_mean, artifact.latent_scale), strict=True)
    )
    for name, readout in artifact.readouts.items():
        columns = len(readout.classes) or 1
        expected |= {f"readout_weight:{name}": (width, columns), f"readout_bias:{name}": (columns,)}
        arrays |= {f"readout_weight:{name}": readout.weight, f"readout_bias:{name}": readout.bias}
    arrays |= {key: value for key, value in artifact.operator.arrays().items() if value.dtype.kind == "f"}
    for name, array in arrays.items():
        if array.shape != expected.get(name, array.shape):
            return f"has '{name}' of shape {array.shape} instead of {expected[name]}"
        if array.dtype != np.float32 or not np.isfinite(array).all():
            return f"has '{name}' that is not float32 and finite"
    if (head.scale <= 0).any() or (artifact.latent_scale <= 0).any():
        return "has a scale that is not positive"
    return _broken_names(artifact)


def _broken_names(artifact: Artifact) -> str:
    if not artifact.genes or len(set(artifact.genes)) < len(artifact.genes):
        return "has no genes or a gene twice"
    if len(artifact.ensembl) != len(artifact.genes):
        return f"has {len(artifact.ensembl)} Ensembl ids for {len(artifact.genes)} genes"
    if missing := [name for name in CLASSES if not getattr(artifact.readouts.get(name), "classes", ())]:
        return f"has no readout '{missing[0]}'"
    for name in artifact.tasks:
        if len(artifact.readouts[name].classes) != 2:
            return f"has a two-class readout '{name}' of {len(artifact.readouts[name].classes)} classes"
    if lost := sorted(set(artifact.readouts["stage"].classes) - set(artifact.ontology.labels)):
        return f"has a label '{lost[0]}' without stages"
    if not 0 <= artifact.min_coverage <= 1:
        return f"has min_coverage {artifact.min_coverage}, which is no share"
    return ""
