"""One look for all figures: sizes, fonts, colours, and the order and names of methods and endpoints."""

import re
from dataclasses import dataclass
from zlib import crc32

MM = 1 / 25.4
#: Column widths of a two-column journal page, in inches (89 and 183 mm).
SINGLE, DOUBLE = 89 * MM, 183 * MM
#: Smallest type in any figure, in points at print size.
SMALL = 7

#: Okabe and Ito's palette, told apart under the common colour-vision deficiencies.
OKABE_ITO = {
    "orange": "#E69F00", "sky": "#56B4E9", "green": "#009E73", "yellow": "#F0E442",
    "blue": "#0072B2", "vermillion": "#D55E00", "purple": "#CC79A7", "black": "#000000",
}  # fmt: skip
GREY, PALE, INK = "#8C8C8C", "#D9D9D9", "#262626"

#: DejaVu Sans ships with matplotlib; text becomes paths in SVG, and in PDF text with the font in the file, so that a
#: figure is the same on every machine.
RC = {
    "font.family": "DejaVu Sans", "font.size": SMALL, "axes.titlesize": SMALL, "axes.labelsize": SMALL,
    "xtick.labelsize": SMALL, "ytick.labelsize": SMALL, "legend.fontsize": SMALL, "figure.titlesize": 8,
    "axes.linewidth": 0.6, "xtick.major.width": 0.6, "ytick.major.width": 0.6, "xtick.major.size": 2.5,
    "ytick.major.size": 2.5, "lines.linewidth": 0.8, "hatch.linewidth": 0.4, "patch.linewidth": 0.5,
    "axes.spines.top": False, "axes.spines.right": False, "axes.titlelocation": "left", "axes.titlepad": 4,
    "axes.edgecolor": INK, "text.color": INK, "axes.labelcolor": INK, "xtick.color": INK, "ytick.color": INK,
    "legend.frameon": False, "legend.handletextpad": 0.4, "legend.columnspacing": 1.2,
    "figure.facecolor": "white", "savefig.facecolor": "white", "savefig.dpi": 200,
    "svg.fonttype": "path", "svg.hashsalt": "opbench", "pdf.fonttype": 42, "path.simplify": False,
}  # fmt: skip

#: Methods in the order of rows: the extracted head, its random control, the baselines, the brackets.
METHODS = {
    "extracted_head": ("Extracted head", OKABE_ITO["blue"]),
    "gaussian_head": ("Gaussian control", OKABE_ITO["sky"]),
    "raw_log1p": ("Raw log1p", OKABE_ITO["orange"]),
    "pca10": ("PCA-10", OKABE_ITO["green"]),
    "svd10": ("SVD-10", OKABE_ITO["purple"]),
    "random_projection": ("Random projection", "#B8A900"),  # the palette's yellow, darkened to show on white
    "extracted_mlp2": ("Extracted head + MLP2", "#4C9ED9"),
    "gaussian_mlp2": ("Gaussian control + MLP2", "#9AD3F2"),
    "pca512": ("PCA-512", "#66C2A5"),
    "rp512": ("Random projection 512", "#D8CB4E"),
    "direct_mlp": ("MLP on raw log1p", "#C77E00"),
    "frozen_embedding": ("Frozen embedding", "#8A4FA0"),
    "frozen_embedding_mlp": ("Frozen embedding + MLP", "#A97BBE"),
    "scvi": ("scVI-10D", "#7F4F24"),
    "scvi_scarches": ("scVI-10D, scArches", "#B08A63"),
    "celltypist_native": ("CellTypist", "#A3123A"),
    "celltypist_panel": ("CellTypist, panel genes", "#C65B78"),
    "celltypist_released": ("CellTypist, released", "#E09CAE"),
    "dpt": ("DPT", "#3B6E5E"),
    "palantir": ("Palantir", "#5FA08C"),
    "leaking_head": ("All-donor head", OKABE_ITO["vermillion"]),
    "floor_library": ("Floor: library size", "#555555"),
    "floor_detection": ("Floor: detected genes", "#555555"),
    "floor_mean": ("Floor: mean expression", "#555555"),
    "majority_class": ("Floor: majority class", "#555555"),
    "oracle": ("Oracle", GREY),
    "chance": ("Chance", GREY),
}
#: For methods of the user's own.
_OWN = ("#000000", "#5D3A9B", "#994F00", "#0C7BDC", "#006C5B")
REAL, CONTROL, REFERENCES = "extracted_head", "gaussian_head", ("oracle", "chance")
_KNOWN = list(METHODS)
_OTHER = _KNOWN.index("leaking_head") - 0.5

_ENDPOINTS = {
    "branch_balanced_accuracy": "Branch, balanced accuracy",
    "branch_macro_f1": "Branch, macro-F1",
    "stage_balanced_accuracy": "Stage, balanced accuracy",
    "stage_macro_f1": "Stage, macro-F1",
    "pseudotime_spearman": "Pseudotime, Spearman",
    "pseudotime_spearman_abs": "Pseudotime, |Spearman|",
    "pseudotime_within_lineage": "Pseudotime, within lineage",
    "depth_ridge_spearman": "Depth by ridge, supervised",
}
#: Cell types and markers as they are written in print, in names of two-class endpoints.
_TOKENS = {
    **{name: name.upper() for name in ("t", "b", "nk", "ctl", "gmp", "hsc", "cd4", "cd8", "cd14", "fcgr3a")},
    "dc": "DC", "cdc": "cDC", "pdc": "pDC", "mono": "Mono", "hscprog": "HSC+Prog",
}  # fmt: skip
_SUFFIXES = {"_auroc": "AUROC", "_balanced_accuracy": "balanced accuracy"}
#: Supervised, so never ranked or drawn on one axis with unsupervised pseudotime.
SUPERVISED = ("depth_ridge_spearman",)

#: Branches of the hematopoietic ontology (resources/ontology/stages.tsv), the same colour in every figure.
_BRANCHES = {
    "stem_progenitor": INK, "erythroid_mk": OKABE_ITO["vermillion"], "granulocytic": OKABE_ITO["orange"],
    "mono_dc": "#B8A900", "b_plasma": OKABE_ITO["green"], "t": OKABE_ITO["blue"], "nk_ilc": OKABE_ITO["sky"],
}  # fmt: skip
_SPARE = (OKABE_ITO["purple"], GREY, OKABE_ITO["yellow"], "#7F4F24", "#B5B5FF")


@dataclass(frozen=True)
class Label:
    """A method as tables write it, `name (arm) [budget]` with either part left out, taken apart."""

    name: str
    budget: str
    arm: str = ""

    @classmethod
    def parse(cls, text: str) -> "Label":
        """Split `text` into method, arm and budget."""
        match = re.fullmatch(r"(.*?)(?: \((.*)\))?(?: \[(.*)\])?", text)
        name, arm, budget = match.groups("") if match else (text, "", "")
        return cls(name, budget, arm)


def method_order(labels: list[str]) -> list[str]:
    """Order method labels: by budget within the heads, unknown methods after the known baselines."""

    def key(text: str) -> tuple[float, str, float, str]:
        label = Label.parse(text)
        rank = _KNOWN.index(label.name) if label.name in _KNOWN else _OTHER
        # A head and its control stay neighbours: both share rank 0 and are ordered by budget first.
        return (0 if rank < 2 else rank, label.budget, rank, text)

    return sorted(set(labels), key=key)


def method_name(text: str, leaking: bool = False) -> str:
    """The printed name of a method label."""
    label = Label.parse(text)
    name = METHODS[label.name][0] if label.name in METHODS else label.name.replace("_", " ")
    name += f", {label.arm}" if label.arm else ""
    return name + (f" [{label.budget}]" if label.budget else "") + (" (leaking)" if leaking else "")


def method_colour(text: str) -> str:
    """The colour of a method label; one that is not built in gets one of a few dark colours by its name."""
    name = Label.parse(text).name
    return METHODS[name][1] if name in METHODS else _OWN[crc32(name.encode()) % len(_OWN)]


def is_null(endpoint: str) -> bool:
    """Whether an endpoint is a null of pseudotime, which is never scored as a method's merit."""
    return endpoint.startswith("null_") or "_null_" in endpoint


def endpoint_order(endpoints: list[str]) -> list[str]:
    """Order endpoints: branch, stage, subtypes by name, pseudotime, and the supervised ones last."""
    known = list(_ENDPOINTS)

    def key(name: str) -> tuple[float, str]:
        return (known.index(name) if name in known else known.index("stage_macro_f1") + 0.5, name)

    return sorted(set(endpoints), key=key)


def endpoint_name(endpoint: str) -> str:
    """The printed name of an endpoint."""
    if endpoint in _ENDPOINTS:
        return _ENDPOINTS[endpoint]
    for suffix, text in _SUFFIXES.items():
        if endpoint.endswith(suffix):
            words = endpoint.removesuffix(suffix).split("_")
            return f"{' '.join(_TOKENS.get(word, word) for word in words)}, {text}"
    return endpoint.replace("_", " ")


def branch_colours(branches: list[str]) -> dict[str, str]:
    """Colours of branches: fixed for those of the shipped ontology, spare colours by name for others."""
    others = sorted(set(branches) - set(_BRANCHES))
    spare = {name: _SPARE[index % len(_SPARE)] for index, name in enumerate(others)}
    return {name: _BRANCHES.get(name) or spare[name] for name in sorted(set(branches))}


def text_width(text: str) -> float:
    """Width of `text` in mm at the smallest type, a little generous, for margins that no engine lays out."""
    return 1.45 * len(text)


def number(value: float, digits: int = 2) -> str:
    """A fixed-point number with a true minus sign; a dash where there is none."""
    if value != value:
        return "–"
    text = f"{value:.{digits}f}"
    return (text.lstrip("-") if float(text) == 0 else text).replace("-", "−")
