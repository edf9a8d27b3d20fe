"""Write the parts of the documents that are made from the code: `python -m docs.generate` (`make docs`)."""

from __future__ import annotations

import ast
import inspect
import itertools
import re
import sys
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import click

from perdure import config
from perdure.cli.up import up
from perdure.config import Dynamic, RetryDefaults
from perdure.rpc.api_doc import api_doc

DOCS = Path(__file__).parent


def settings_table() -> str:
    """The flags of `perdure up`."""
    rows = ["| setting | meaning |", "|---|---|"]
    for option in up.params:
        if isinstance(option, click.Option) and option.opts[0] not in ("--config", "--json"):
            rows.append(f"| `{option.opts[0].removeprefix('--')}` | {option.help} |")
    return "\n".join(rows)


def dynamic_table() -> str:
    """Each key of dynamic configuration with its default."""
    meanings = field_docs(Dynamic)
    rows = ["| key | default | meaning |", "|---|---|---|"]
    for field in fields(Dynamic):
        if field.metadata["key"]:
            default = shown(field.default, field.name)
            rows.append(f"| `{field.metadata['key']}` | {default} | {meanings[field.name]} |")
    return "\n".join(rows)


def field_docs(cls: type) -> dict[str, str]:
    """The text under each field of a class."""
    (body,) = (
        node.body
        for node in ast.parse(inspect.getsource(config)).body
        if isinstance(node, ast.ClassDef) and node.name == cls.__name__
    )
    docs = {}
    for field, text in itertools.pairwise(body):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and isinstance(text, ast.Expr):
            docs[field.target.id] = ast.literal_eval(text.value)
    return docs


def shown(value: object, name: str) -> str:
    """A default as one would write it, with its unit."""
    if isinstance(value, RetryDefaults):
        return f"from {value.initial_interval_s:g} s, times {value.backoff_coefficient:g}, no limit"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int) and name.endswith("_bytes"):
        for unit, size in (("MiB", config.MIB), ("KiB", config.KIB)):
            if value and value % size == 0:
                return f"{value // size} {unit}"
        return f"{value} bytes"
    if isinstance(value, float) and name.endswith("_s"):
        for unit, size in (("h", 3600), ("min", 60)):
            if value and value % size == 0:
                return f"{value / size:g} {unit}"
        return f"{value:g} s"
    return f"{value}"


SECTIONS: dict[str, dict[str, Callable[[], str]]] = {
    "OPERATIONS.md": {"settings": settings_table, "dynamic": dynamic_table},
}
"""Document -> the name between `<!-- name: begin -->` and `<!-- name: end -->` -> what stands there."""


def rendered(document: str) -> str:
    """A document as it ought to be."""
    text = (DOCS / document).read_text("utf-8")
    for name, content in SECTIONS[document].items():
        begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
        pattern = re.compile(f"{re.escape(begin)}.*{re.escape(end)}", re.DOTALL)
        assert pattern.search(text), f"{document} has no section {name}"
        before, after = pattern.split(text)
        text = f"{before}{begin}\n{content()}\n{end}{after}"
    return text


def main() -> None:
    for document in SECTIONS:
        (DOCS / document).write_text(rendered(document), "utf-8")
        sys.stdout.write(f"docs/{document}\n")
    (DOCS / "API.md").write_text(api_doc(), "utf-8")
    sys.stdout.write("docs/API.md\n")


if __name__ == "__main__":
    main()
