"""Find the methods: every file of the plug-in folder that does not start with an underscore."""

import ast
import importlib.util
from pathlib import Path
from typing import Any

from opbench.io.errors import InputError
from opbench.methods.interface import PROTOCOLS, Method

FOLDER = Path(__file__).parent / "plugins"


def plugin_files() -> dict[str, Path]:
    """Method name -> file, sorted by name."""
    return {path.stem: path for path in sorted(FOLDER.glob("*.py")) if not path.stem.startswith("_")}


def find(name: str) -> Path:
    """File of a method; an unknown name is an error that lists the known ones."""
    files = plugin_files()
    if name not in files:
        raise InputError(f"methods: '{name}' is none of {sorted(files)}; correct it or add plugins/{name}.py.")
    return files[name]


def declared(name: str) -> dict[str, Any]:
    """Literal class attributes of a method, read without importing it (the Snakefile needs them quickly)."""
    out: dict[str, Any] = {}
    for node in ast.walk(ast.parse(find(name).read_text())):
        if isinstance(node, ast.ClassDef):
            for item in node.body:
                if isinstance(item, ast.Assign) and isinstance(item.targets[0], ast.Name):
                    out[item.targets[0].id] = ast.literal_eval(item.value)
    return out


def load(name: str) -> Method:
    """Import a method's file and return its one `Method`."""
    path = find(name)
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
    method = found[0]()
    if method.protocol not in PROTOCOLS:
        raise InputError(f"{path}: protocol '{method.protocol}' is none of {PROTOCOLS}.")
    return method
