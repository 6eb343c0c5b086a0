"""Do interacting proteins share a pole: gradient over scores, what is left beside co-expression, axis by axis."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.lines import Line2D

from opbench.figures import canvas
from opbench.figures import geometry_rows as geometry
from opbench.figures.style import DOUBLE, GREY, INK, MM, OKABE_ITO

#: Null -> title of its map, the matched ones first.
NULLS = {
    "degree": "Graph rewired, degrees kept",
    "strata": "Genes permuted within strata",
    "paper": "The paper's: genes permuted over all",
}
#: Colours, markers and lines of the channels of STRING, in the order of the table.
CHANNELS = (("blue", "o", "-"), ("vermillion", "s", "--"), ("green", "^", "-."), ("purple", "D", ":"))
TOP, MAP, FOOT, GAP = 46.0, 34.0, 34.0, 6.0  # mm
#: The maps' colours end at so many standard deviations.
LARGEST = 6.0


def draw(tables: dict[str, pd.DataFrame], scope: str) -> tuple[Figure, pd.DataFrame]:
    """Gradient, partial correlation and channels on top; maps of co-pole z by layer and axis below (GEOMETRY)."""
    rows, why = geometry.analysis_rows(tables, scope, "ppi", "ppi_model")
    if rows.empty:
        return canvas.note_figure(why), rows
    rows = geometry.primary_of_each(rows)
    channel = geometry.preferred(list(rows.loc[rows["quantity"] == "copole_rate", "term"]), "combined")
    maps = geometry.pick(rows, quantity="copole_rate", term=channel)
    maps = maps.assign(z=(maps["value"] - maps["null_mean"]) / maps["null_sd"].where(maps["null_sd"] > 0))
    spaces = [space for space in geometry.SPACES if space != "coexpression" and space in set(maps["space"])]
    height = TOP + MAP * max(len(spaces), 0) + FOOT + (GAP if spaces else 0)
    figure = Figure(figsize=(DOUBLE, height * MM))
    layers = geometry.layers_of(rows)
    axis = geometry.preferred(list(rows.loc[rows["quantity"] == "bin_mean_z", "axis"]), "SV2")
    boxes = [(13, 7, 44, 29), (75, 7, 44, 29), (136, 7, 44, 29)]
    panels = [figure.add_axes(geometry.box(*box, height)) for box in boxes]
    _gradient(panels[0], rows, axis)
    _partial(panels[1], rows, layers)
    channels = _channels(panels[2], rows, layers, axis or "SV2")
    image = None
    for line, space in enumerate(spaces):
        for column, (null, title) in enumerate(NULLS.items()):
            ax = figure.add_axes(geometry.box(13 + 56 * column, TOP + GAP + MAP * line, 50, MAP - 13, height))
            image = _map(ax, geometry.pick(maps, space=space, null=null), layers, column == 0) or image
            name = geometry.space_name(space).split(",")[0].capitalize()
            ax.set_title(title if line == 0 else "" if column else name)
            ax.set_xlabel("layer" if line == len(spaces) - 1 else "")
            if line == 0 and column == 0:
                ax.set_title(f"{name}. {title}")
    if channels:
        figure.legend(handles=[canvas.key("", "top right:"), *channels], loc="lower right", ncols=6,
                      bbox_to_anchor=(0.995, 27.5 / height), handlelength=1.4)  # fmt: skip
    if image is not None:
        _keys(figure, image, height)
    geometry.ticks_in_view(figure)
    geometry.foot_text(figure, _notes(rows, maps, axis, channel))
    return figure, rows


def _gradient(ax: Axes, rows: pd.DataFrame, axis: str) -> None:
    """z of the co-pole rate by bin of the score: layers as dots, their mean as a line; the exact p is in the title."""
    mine = geometry.pick(rows, quantity="bin_mean_z", axis=axis)
    bins = sorted(set(mine["term"]))
    if not bins:
        ax.text(0.5, 0.5, "not testable", transform=ax.transAxes, ha="center", color=GREY, style="italic")
        ax.set_title("Gradient over STRING scores")
        return
    for space, points in mine.groupby("space"):
        colour, marker, line = geometry.look(str(space))
        points = points.set_index("term").reindex(bins)
        ax.plot(range(len(bins)), points["value"], color=colour, ms=3, ls=line, lw=1.0, zorder=5,
                marker="" if space == "coexpression" else marker)  # fmt: skip
    dots = geometry.pick(rows, quantity="bin_rate", axis=axis, space="model", null="paper")
    dots = dots[(dots["layer"] >= 0) & (dots["null_sd"] > 0)]
    x = dots["term"].map({name: place for place, name in enumerate(bins)}).to_numpy(dtype=float)
    ax.scatter(x, (dots["value"] - dots["null_mean"]) / dots["null_sd"], s=4, color=geometry.look("model")[0],
               alpha=0.35, lw=0, zorder=3)  # fmt: skip
    ax.axhline(0, color=GREY, lw=0.6, zorder=1)
    ax.set_xticks(range(len(bins)), bins)
    ax.set_xlabel("bin of the STRING score")
    ax.set_ylabel("z, the paper's null")
    n = geometry.n_text(mine, "pairs a bin")
    ax.set_title(f"{axis}, mean over blocks\n{n}")
    if len(exact := geometry.pick(rows, quantity="gradient_spearman_published", axis=axis, space="model")):
        row = exact.iloc[0]
        said = f"model ρ = {geometry.signed(row['value'])}\nexact p {geometry.p_text(row['p'], row['p_floor'])}"
        ax.set_ylim(top=ax.get_ylim()[0] + 1.3 * np.ptp(ax.get_ylim()))
        ax.text(0.03, 0.98, said, transform=ax.transAxes, va="top", ha="left", zorder=6)


def _partial(ax: Axes, rows: pd.DataFrame, layers: list[float]) -> None:
    """Partial correlation of cosine and score given co-expression, degree and expression, over layers."""
    whole = geometry.pick(rows, analysis="ppi_model", quantity="partial_r")
    term = geometry.preferred(list(whole["term"]), "combined")
    axis = geometry.preferred(list(whole["axis"]), "SV2-7")
    whole = geometry.pick(whole, term=term, axis=axis)
    geometry.layer_axis(ax, layers or [0.0, 1.0])
    geometry.null_band(ax, geometry.pick(whole, space="model", null="strata"))
    for space, mine in whole.groupby("space"):
        geometry.curve(ax, geometry.once(mine), *geometry.look(str(space)))
    raw = geometry.pick(rows, quantity="raw_r", space="model", term=term, axis=axis)
    geometry.curve(ax, geometry.once(raw), INK, "x", ":")
    ax.axhline(0, color=GREY, lw=0.6, zorder=1)
    ax.set_ylabel("r of score and cosine")
    ax.set_title(f"Pair by pair, {axis or 'no value'}\n{geometry.n_text(whole, 'pairs')}")


def _channels(ax: Axes, rows: pd.DataFrame, layers: list[float], axis: str) -> list[Line2D]:
    """Co-pole rate by channel less its mean over rewired graphs, and less that of like non-pairs; gives its keys."""
    rates = geometry.pick(rows, quantity="copole_rate", space="model", axis=axis, null="degree")
    columns = ["value", "ci_low", "ci_high"]
    rates = rates.assign(**{name: rates[name] - rates["null_mean"] for name in columns})
    excess = geometry.pick(rows, quantity="copole_excess", space="model", axis=axis)
    geometry.layer_axis(ax, layers or [0.0, 1.0])
    handles = []
    names = geometry.ordered(list(rates["term"]), ["combined", "physical", "experiments", "experimental"])
    for index, (name, (tint, marker, line)) in enumerate(zip(names, CHANNELS, strict=False)):
        colour = OKABE_ITO[tint]
        mine = geometry.pick(rates, term=name)
        shift = 0.16 * (index - (min(len(names), len(CHANNELS)) - 1) / 2)
        geometry.curve(ax, mine.assign(layer=mine["layer"] + shift), colour, marker, line)
        label = f"{name.replace('_', ' ')} {geometry.n_text(mine, '').removeprefix('n = ').strip()}"
        handles.append(Line2D([], [], color=colour, marker=marker, ms=2.8, ls=line, label=label))
    like = geometry.pick(excess, term=geometry.preferred(list(excess["term"]), "combined"))
    if len(like):
        ax.vlines(like["layer"] + 0.32, like["ci_low"], like["ci_high"], color=INK, lw=0.6, zorder=3)
        ax.plot(like["layer"] + 0.32, like["value"], ls="", marker="D", ms=2.4, mfc="white", mec=INK, mew=0.6, zorder=4)
        handles.append(canvas.key("D", "combined, less like non-pairs", False, size=2.4))
    ax.axhline(0, color=GREY, lw=0.6, zorder=1)
    ax.set_ylabel("co-pole rate, excess")
    ax.set_title(f"{axis}, model, by channel (pairs):\nrate less that of rewired graphs")
    return handles


def _map(ax: Axes, rows: pd.DataFrame, layers: list[float], labelled: bool) -> AxesImage | None:
    """z by axis and layer; dots where max-T, or the cell alone, passes the level."""
    axes = sorted(set(rows["axis"]), key=lambda name: int("".join(c for c in name if c.isdigit()) or 0))
    if rows.empty:
        ax.set(xticks=[], yticks=[])
        ax.spines[["left", "bottom"]].set_visible(False)
        ax.text(0.5, 0.5, "not testable", transform=ax.transAxes, ha="center", color=GREY, style="italic")
        return None
    table = rows.drop_duplicates(["axis", "layer"]).pivot_table(index="axis", columns="layer", values="z")
    shown = table.reindex(index=axes, columns=layers).to_numpy(dtype=float)
    image = ax.imshow(shown, aspect="auto", cmap="PuOr_r", vmin=-LARGEST, vmax=LARGEST)
    x = rows["layer"].map({layer: place for place, layer in enumerate(layers)}).to_numpy()
    y = rows["axis"].map({name: place for place, name in enumerate(axes)}).to_numpy()
    single = (rows["p"] <= geometry.LEVEL).to_numpy()
    family = (rows["p_family"] <= geometry.LEVEL).to_numpy()
    for chosen, face in ((family, INK), (single & ~family, "white")):
        ax.scatter(x[chosen], y[chosen], s=6, facecolors=face, edgecolors=INK, linewidths=0.6, zorder=4)
    ax.set_yticks(range(len(axes)), axes if labelled else [""] * len(axes))
    geometry.layer_columns(ax, layers)
    return image


def _keys(figure: Figure, image: AxesImage, height: float) -> None:
    bar = figure.add_axes((13 / 183, 22.5 / height, 32 / 183, 2 / height))
    figure.colorbar(image, cax=bar, orientation="horizontal", ticks=[-LARGEST, 0, LARGEST])
    bar.set_title("z of the co-pole rate", pad=2)
    handles = [
        *geometry.space_keys(list(geometry.SPACES)),
        Line2D([], [], color=INK, marker="x", ms=2.8, ls=":", label="model, nothing given (raw r)"),
        geometry.band_key("matched null, middle 95 %"),
        canvas.key("o", "map: max-T p ≤ 0.05", size=2.8),
        canvas.key("o", "map: this cell's p ≤ 0.05", False, size=2.8),
    ]
    figure.legend(handles=handles, loc="lower right", ncols=3, bbox_to_anchor=(0.995, 15.5 / height))


def _notes(rows: pd.DataFrame, maps: pd.DataFrame, axis: str, channel: str) -> list[str]:
    slope = geometry.pick(rows, quantity="gradient_slope", axis=axis, space="model")
    said = ""
    if len(slope):
        row = slope.iloc[0]
        said = (
            f"Slope over all pairs under genes permuted within strata: p {geometry.p_text(row['p'], row['p_floor'])}. "
        )
    exact = geometry.pick(rows, quantity="gradient_spearman_published", space="model")
    if len(exact):
        said += f"So few bins cannot give an exact p below {geometry.p_text(exact['p_floor'].iloc[0])}. "
    pairs, models = geometry.n_text(maps, "pairs"), rows[rows["analysis"] == "ppi_model"]
    other = f" ({geometry.scope_name(geometry.primary(models))})" if len(models) else ""
    scope = geometry.scope_name(geometry.primary(maps if len(maps) else rows)).capitalize()
    return [
        f"{scope}; maps: channel {channel or '–'}, {pairs}, {geometry.permutations_text(maps)} "
        f"Dots of the first panel are blocks. {said}",
        f"Bars: 95 % interval, genes resampled. Given in the second panel{other}: co-expression, degree sum, mean "
        "expression. A rate is more than hubs and expression only where it passes both matched nulls.",
    ]
