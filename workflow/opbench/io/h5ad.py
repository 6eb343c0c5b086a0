"""Opens `.h5ad` files and zarr folders of foreign origin, and reads their tables without loading a matrix."""

import os
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from opbench.io.errors import InputError

if TYPE_CHECKING:
    import h5py
    import pandas as pd


@contextmanager
def open_store(path: str | Path) -> Iterator[Any]:
    """Open an `.h5ad` file or a zarr folder (formats 2 and 3) for reading; yields its root group.

    Nothing in it is unpickled, and nothing outside it is read: links that lead out are refused.
    Raises InputError when the file is neither, is truncated, or holds such a link.
    """
    if not Path(path).is_dir():
        with open_h5ad(path) as file:
            yield file
        return
    import zarr

    _refuse_symlinks(Path(path))
    try:
        # Consolidated metadata would be a second, possibly outdated, description of the arrays.
        group = zarr.open_group(path, mode="r", use_consolidated=False)
    except Exception as error:  # zarr raises many kinds for a folder that is none of its own
        raise InputError(
            f"{path}: is a folder but no readable zarr group ({_said(error)}); correct the path."
        ) from error
    yield group


@contextmanager
def open_h5ad(path: str | Path) -> Iterator["h5py.File"]:
    """Open an `.h5ad` file alone, as `open_store`."""
    import h5py

    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise InputError(
            f"{path}: is not a readable h5ad file ({error}); correct the path, or get the file again."
        ) from error
    with file:
        _refuse_links(file, path)
        yield file


def read_obs(path: str | Path, columns: Collection[str] = ()) -> "pd.DataFrame":
    """Read the per-cell table `obs` alone; `columns` must be among its columns.

    Raises `InputError` when the file is not readable as h5ad or zarr or a column is missing.
    """
    with open_store(path) as root:
        obs = read_frame(root, "obs", path)
    if missing := sorted(set(columns) - set(obs.columns)):
        raise InputError(f"{path}: 'obs' lacks the columns {missing}; write them, or name others.")
    return obs


def read_frame(root: Any, name: str, path: str | Path) -> "pd.DataFrame":
    """Read the table `name` (`obs`, `var`, `raw/var`) of an open store; InputError when it is absent or broken."""
    import pandas as pd
    from anndata.io import read_elem

    try:
        frame = read_elem(root[name])
    except Exception as error:  # a broken table makes h5py, zarr, anndata and pandas raise many kinds
        raise InputError(
            f"{path}: holds no readable '{name}' ({_said(error)}); correct the path, or delete the file if this "
            "workflow made it."
        ) from error
    if not isinstance(frame, pd.DataFrame):
        raise InputError(f"{path}: '{name}' is no table; write the file with anndata.")
    return frame


def _said(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _refuse_links(file: "h5py.File", path: str | Path) -> None:
    """HDF5 can name other files in three ways: external links, virtual datasets and external raw storage."""
    import h5py

    # What a visitor returns ends the visit; an exception in it would not come out whole.
    def link(name: str, target: object) -> tuple[str, str] | None:
        return (name, target.filename) if isinstance(target, h5py.ExternalLink) else None

    def item(name: str, node: object) -> tuple[str, str] | None:
        if not isinstance(node, h5py.Dataset):
            return None
        others = [source.file_name for source in node.virtual_sources()] if node.is_virtual else []
        others += [source[0] for source in node.external or ()]
        return next(((name, other) for other in others if other != "."), None)

    try:
        found = file.visititems_links(link) or file.visititems(item)
    except (OSError, RuntimeError, KeyError) as error:
        raise InputError(f"{path}: is a damaged h5ad file ({_said(error)}); get it again.") from error
    if found:
        raise InputError(
            f"{path}: '{found[0]}' leads to another file, '{found[1]}'; copy the data into the file itself."
        )


def _refuse_symlinks(folder: Path) -> None:
    root = folder.resolve()
    pending = [str(folder)]
    while pending:
        with os.scandir(pending.pop()) as entries:
            for entry in entries:
                if entry.is_symlink() and not (target := Path(entry.path).resolve()).is_relative_to(root):
                    raise InputError(
                        f"{folder}: '{os.path.relpath(entry.path, folder)}' leads to another place, '{target}'; copy "
                        "the data into the folder itself."
                    )
                if entry.is_dir(follow_symlinks=False):
                    pending.append(entry.path)
