"""Digest of the package sources that a rule depends on: the static import closure of its script."""

import ast
import hashlib
from collections.abc import Iterable
from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1]


def _file_of(module: str) -> Path | None:
    base = PACKAGE.parent.joinpath(*module.split("."))
    for candidate in (base.with_suffix(".py"), base / "__init__.py"):
        if candidate.is_file():
            return candidate
    return None


@cache
def _imports(path: Path) -> frozenset[Path]:
    found: set[Path] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        for name in (n for n in names if n.split(".")[0] == PACKAGE.name):
            parts = name.split(".")
            files = (_file_of(".".join(parts[:end])) for end in range(1, len(parts) + 1))
            found.update(file for file in files if file)
    return frozenset(found)


def closure(*starts: Path) -> list[Path]:
    """Every package file reached by imports from `starts`, and `starts` themselves, sorted."""
    seen: set[Path] = set()
    queue = [Path(start).resolve() for start in starts]
    while queue:
        path = queue.pop()
        if path not in seen:
            seen.add(path)
            queue.extend(_imports(path))
    return sorted(seen)


def content_digest(paths: Iterable[Path]) -> str:
    """Digest of the names and contents of files: an edit changes it, a touch does not."""
    digest = hashlib.sha256()
    for path in paths:
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


def source_digest(*starts: Path) -> str:
    """Digest of the contents of the import closure."""
    return content_digest(closure(*starts))
