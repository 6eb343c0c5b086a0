"""ReStructuredText of the landing page: escaped names, headings, tables."""

import re
from collections.abc import Iterable

_MARKUP = re.compile(r"([\\*`_|{}%#<>\[\]:])")


def escape(value: object) -> str:
    """Make a name safe for reStructuredText and for the template engine that reads the page first."""
    text = _MARKUP.sub(r"\\\1", " ".join(str(value).split()))
    # An escaped space prints nothing, and keeps a leading dash or number from becoming a list.
    return text if re.match(r"[A-Za-z]{2}", text) else "\\ " + text


def heading(text: str, mark: str) -> list[str]:
    """A heading; the underline is generous, since wide characters count double."""
    return [text, mark * (2 * len(text) + 2), ""]


def list_table(header: list[str], rows: Iterable[list[str]], title: str = "") -> list[str]:
    """A list-table directive; title and cells are escaped already."""
    lines = [f".. list-table:: {title}".rstrip(), "   :header-rows: 1", ""]
    for row in [header, *rows]:
        lines += [f"   {'* -' if index == 0 else '  -'} {cell}" for index, cell in enumerate(row)]
    return [*lines, ""]


def count(n: int, noun: str) -> str:
    """A number with its noun, in the plural where it is due."""
    return f"{n:,} {noun}{'' if n == 1 else 's'}"
