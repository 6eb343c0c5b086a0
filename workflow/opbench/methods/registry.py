"""Find the methods: every file of the plug-in folder, and of the user's own, that does not start with an underscore."""

import ast
import importlib.util
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from opbench.config.baselines import Baselines
from opbench.io.errors import InputError
from opbench.io.locate import locate
from opbench.methods.interface import PROTOCOLS, Method

FOLDER = Path(__file__).parent / "plugins"
Folders = Sequence[str]
#: Sections that a method may declare in `settings`.
SETTINGS = ("adaptor", *(f"baselines.{name}" for name in Baselines.model_fields))


def plugin_files(folders: Folders = ()) -> dict[str, Path]:
    """Method name -> file, sorted by name; `folders` are the user's, and may not take a name that is taken."""
    found: dict[str, Path] = {}
    for folder in [FOLDER, *map(_folder, folders)]:
        for path in sorted(folder.glob("*.py")):
            if path.stem.startswith("_"):
                continue
            if path.stem in found:
                raise InputError(f"{path}: a method of this name is in {found[path.stem]}; rename the file.")
            found[path.stem] = path
    return dict(sorted(found.items()))


def _folder(name: str) -> Path:
    folder = locate(name)
    if folder is None or not folder.is_dir():
        raise InputError(f"method_folders: '{name}' is no folder; correct the path, or make it and put methods there.")
    return folder


def chosen(names: str | Sequence[str], folders: Folders = ()) -> list[str]:
    """The methods that a configuration asks for: `all` but those that must be named, `core`, or a list.

    A name of the list that is unknown is an error.
    """
    if names == "all":
        return [name for name in plugin_files(folders) if not declared(name, folders).get("by_name", False)]
    if names == "core":
        return [name for name in plugin_files(folders) if declared(name, folders).get("core", False)]
    for name in names:
        find(name, folders)
    return list(names)


def find(name: str, folders: Folders = ()) -> Path:
    """File of a method; an unknown name is an error that lists the known ones."""
    files = plugin_files(folders)
    if name not in files:
        raise InputError(
            f"methods: '{name}' is none of {sorted(files)}; correct it, or put {name}.py into a folder that "
            "method_folders names."
        )
    return files[name]


def declared(name: str, folders: Folders = ()) -> dict[str, Any]:
    """Literal class attributes of a method, read without importing it (the Snakefile needs them quickly)."""
    path = find(name, folders)
    out: dict[str, Any] = {}
    try:
        classes = [n for n in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(n, ast.ClassDef)]
    except (SyntaxError, ValueError) as error:
        raise InputError(f"{path}: is no Python file ({error}); correct it.") from None
    for item in (item for node in classes if node.bases for item in node.body):
        target = item.targets[0] if isinstance(item, ast.Assign) else getattr(item, "target", None)
        if isinstance(item, ast.Assign | ast.AnnAssign) and isinstance(target, ast.Name) and target.id[0] != "_":
            key = target.id
            try:
                out[key] = ast.literal_eval(item.value)
            except ValueError:
                raise InputError(f"{path}: class attribute '{key}' is computed; write its value.") from None
    _check_attributes(path, out)
    return out


def _check_attributes(path: Path, found: dict[str, Any]) -> None:
    """A misspelt attribute would silently leave its default in force, under another protocol, say."""
    known = {name: value for name, value in vars(Method).items() if name in Method.__annotations__}
    for name, value in found.items():
        if name not in known:
            near = get_close_matches(name, known, 1)
            hint = f"did you mean '{near[0]}'?" if near else f"known are {sorted(known)}; start your own with '_'."
            raise InputError(f"{path}: class attribute '{name}' is unknown; {hint}")
        if type(value) is not type(known[name]):
            raise InputError(f"{path}: class attribute '{name}' is {value!r}; give a {type(known[name]).__name__}.")
    for name in ("label", "protocol"):
        if not found.get(name):
            raise InputError(f"{path}: the method has no class attribute '{name}'; add it.")
    if unknown := sorted(set(found.get("settings", ())) - set(SETTINGS)):
        raise InputError(f"{path}: settings {unknown} are none of {list(SETTINGS)}; correct them.")
    if found["protocol"] not in PROTOCOLS:
        raise InputError(f"{path}: protocol '{found['protocol']}' is none of {PROTOCOLS}; correct it.")


def load(name: str, folders: Folders = ()) -> Method:
    """Import a method's file and return its one `Method`."""
    path = find(name, folders)
    spec = importlib.util.spec_from_file_location(f"opbench.methods.plugins.{name}", path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    found = [
        item for item in vars(module).values()
        if isinstance(item, type) and issubclass(item, Method) and item.__module__ == module.__name__
    ]  # fmt: skip
    if len(found) != 1:
        raise InputError(f"{path}: holds {len(found)} methods; a plug-in file defines exactly one subclass of Method.")
    method, said = found[0](), declared(name, folders)
    for attribute in Method.__annotations__:
        value = said.get(attribute, getattr(Method, attribute))
        if getattr(method, attribute) != value:
            raise InputError(
                f"{path}: '{attribute}' is {getattr(method, attribute)!r} by inheritance or in __init__; write it into "
                "the class, where the workflow reads it."
            )
    return method
