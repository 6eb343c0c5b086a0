"""Do a few axes separate transcription factors from targets, beyond what expression alone gives?"""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from opbench.figures import canvas
from opbench.figures import geometry_rows as geometry
from opbench.figures.style import DOUBLE, GREY, INK, OKABE_ITO

JOINT, COVARIATES, FULL = "SV2-7", "covariates", "all"
#: Subspace -> colour, marker and line; the joint one is bold.
LOOKS = {
    JOINT: (OKABE_ITO["blue"], "o", "-"),
    "SV5-7": (OKABE_ITO["vermillion"], "s", "--"),
    "SV2-4": (OKABE_ITO["green"], "^", "-."),
    FULL: (INK, "", (0, (5, 2))),
}
ROW, FOOT, HEAD = 47.0, 36.0, 6.0  # mm


def draw(tables: dict[str, pd.DataFrame], scope: str) -> tuple[Figure, pd.DataFrame]:
    """AUROC by layer and its gain over covariates, a column per space (GEOMETRY, run `scope`)."""
    rows, why = geometry.analysis_rows(tables, scope, "tf_target")
    if rows.empty:
        return canvas.note_figure(why), rows
    rows = rows[rows["scope"] == geometry.primary(rows)]
    # Classes by an independent list are a line of the notes.
    listed, rows = rows[rows["term"] != ""], rows[rows["term"] == ""]
    spaces = geometry.ordered(list(rows["space"]), list(geometry.SPACES))
    layers = geometry.layers_of(rows) or [0.0]
    height = 2 * ROW + FOOT + HEAD
    figure, grid = geometry.page(
        2, len(spaces), DOUBLE if len(spaces) > 1 else 0.7 * DOUBLE, height, FOOT, sharey="row",
        width_ratios=[1 if space != "coexpression" else 0.5 for space in spaces],
    )  # fmt: skip
    for (above, below), space in zip(grid.T, spaces, strict=True):
        mine = rows[rows["space"] == space]
        held = geometry.layers_of(mine) or layers
        _aurocs(above, mine, held)
        _gain(below, mine, held)
        name = geometry.space_name(space).split(",")[0]
        above.set_title(f"{name[:1].upper()}{name[1:]}\n{geometry.n_text(mine, 'genes')}")
    grid[0, 0].set_ylabel("AUROC, factors against targets")
    grid[1, 0].set_ylabel("gain over covariates alone")
    _legend(figure, rows, height)
    letters = geometry.PAGE if len(spaces) > 1 else round(0.7 * geometry.PAGE)
    geometry.ticks_in_view(figure)
    geometry.foot_text(figure, [*_notes(rows), *_listed(listed)], letters)
    return figure, pd.concat([rows, listed])


def _level(ax: Axes, layers: list[float]) -> None:
    geometry.layer_axis(ax, layers)
    if len(layers) == 1:
        ax.set_xticks([])
        ax.set_xlabel("no layers")


def _aurocs(ax: Axes, rows: pd.DataFrame, layers: list[float]) -> None:
    """Subspaces with intervals, the nulls as a band and an outline, and covariates as a level."""
    _level(ax, layers)
    aurocs = rows[rows["quantity"] == "auroc"]
    joint = geometry.pick(aurocs, axis=JOINT)
    geometry.null_band(ax, geometry.pick(joint, null="strata"))
    geometry.null_band(ax, geometry.pick(joint, null="random_subspaces"), OKABE_ITO["purple"], outline=True)
    if len(layers) == 1:
        _one_layer(ax, aurocs, layers[0])
    else:
        for index, (name, look) in enumerate(LOOKS.items()):
            mine = geometry.once(geometry.pick(aurocs, axis=name).dropna(subset=["layer"]))
            shift = 0.14 * (index - 1) if name != FULL else 0
            geometry.curve(ax, mine.assign(layer=mine["layer"] + shift), *look)
        grouped = geometry.pick(rows, quantity="auroc_grouped", axis=JOINT)
        ax.plot(grouped["layer"], grouped["value"], ls="", marker="o", ms=2.8, mfc="white", mec=LOOKS[JOINT][0],
                mew=0.6, zorder=6)  # fmt: skip
    for value in geometry.pick(aurocs, axis=COVARIATES)["value"]:
        ax.axhline(value, color=OKABE_ITO["orange"], lw=1.2, zorder=2)
    ax.axhline(0.5, color=GREY, lw=0.6, zorder=1)


def _one_layer(ax: Axes, rows: pd.DataFrame, layer: float) -> None:
    """Subspaces side by side where there is one layer."""
    for index, (name, (colour, marker, _)) in enumerate(LOOKS.items()):
        mine = geometry.once(geometry.pick(rows, axis=name))
        x = layer + 0.24 * (index - 1.5)
        for row in mine.to_dict("records"):
            ax.plot([x, x], [row["ci_low"], row["ci_high"]], color=colour, lw=0.8, zorder=4)
            ax.plot([x], [row["value"]], marker=marker or "_", color=colour, ms=3 if marker else 7, ls="", zorder=5)


def _gain(ax: Axes, rows: pd.DataFrame, layers: list[float]) -> None:
    """What the joint subspace adds to the covariates, under labels permuted within strata."""
    _level(ax, layers)
    mine = geometry.pick(rows, quantity="delta_auroc")
    geometry.null_band(ax, geometry.pick(mine, null="strata"))
    colour, marker, line = LOOKS[JOINT]
    found = mine[mine["p_family"] <= geometry.LEVEL]
    if len(layers) == 1:
        ax.plot(mine["layer"], mine["value"], marker=marker, ms=3, mfc="white", mec=colour, ls="", zorder=5)
    else:
        geometry.curve(ax, geometry.once(mine), colour, marker, line, hollow=True)
    ax.plot(found["layer"], found["value"], marker=marker, ms=2.8, color=colour, ls="", zorder=6)
    ax.axhline(0, color=GREY, lw=0.6, zorder=1)
    if mine.empty:
        ax.text(0.5, 0.5, "no value", transform=ax.transAxes, ha="center", color=GREY, style="italic")


def _legend(figure: Figure, rows: pd.DataFrame, height: float) -> None:
    held = set(rows["axis"])
    names = {JOINT: f"{JOINT}, the joint subspace", FULL: "all dimensions"}
    handles = [
        Line2D([], [], color=colour, marker=marker, ms=2.8, ls=line, label=names.get(name, name))
        for name, (colour, marker, line) in LOOKS.items()
        if name in held
    ]
    handles += [
        canvas.key("o", f"{JOINT}, folds keep gene families whole", False, LOOKS[JOINT][0], 2.8),
        Line2D([], [], color=OKABE_ITO["orange"], lw=1.2, label="covariates alone"),
        geometry.band_key("labels permuted within strata, mean to 95 %"),
        geometry.band_key("random 6-D subspaces, 95 % point", OKABE_ITO["purple"], outline=True),
        canvas.key("o", "gain with max-T p ≤ 0.05 (else hollow)", colour=LOOKS[JOINT][0], size=2.8),
    ]
    canvas.bottom_legend(figure, handles, 3, bottom=18 / height)


def _notes(rows: pd.DataFrame) -> list[str]:
    mean = geometry.pick(rows, quantity="mean_auroc", axis=JOINT, space="model")
    said = []
    for null, name in (("strata", "within strata"), ("paper", "over all genes, as published")):
        if len(mine := geometry.pick(mean, null=null)):
            row = mine.iloc[0]
            said.append(f"{name} p {geometry.p_text(row['p'], row['p_floor'])}")
    value = f" {geometry.number(geometry.first_value(mean), 3)}" if len(mean) else ""
    whole = f"Mean over blocks, model{value}: labels permuted {', '.join(said)}. " if said else ""
    return [
        f"{geometry.scope_name(geometry.primary(rows)).capitalize()}. Held-out AUROC of a logistic regression, mean "
        "over folds; bars: 95 % interval, genes resampled. Covariates: cells as token, mean, variance, detection.",
        f"{whole}{geometry.permutations_text(rows[rows['null'] == 'strata'])}",
    ]


def _listed(rows: pd.DataFrame) -> list[str]:
    """What the classes of an independent list of factors give, in one line."""
    rows = rows[(rows["space"] == "model") & (rows["null"] == "strata")]
    mean = geometry.pick(rows, quantity="mean_auroc", axis=JOINT)
    gain = geometry.pick(rows, quantity="delta_auroc")
    gain = gain[gain["layer"] >= 0]
    if mean.empty or gain["p_family"].isna().all():
        return []
    best = gain.loc[gain["p_family"].idxmin()]
    return [
        f"Factors of an independent list (n = {int(best['n']):,} genes): mean over blocks "
        f"{geometry.number(geometry.first_value(mean), 3)}, best gain {geometry.signed(best['value'], 3)}, max-T p "
        f"{geometry.p_text(best['p_family'], best['p_floor'])}."
    ]
