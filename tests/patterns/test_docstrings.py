"""Each exported name says in its docstring how it is used."""

import ast
import inspect
import re
import textwrap

import pytest

from perdure import patterns
from perdure.patterns import versioning


def docstring(name):
    found = getattr(patterns, name)
    if name == "version":  # an object, whose text stands below it
        [text] = re.findall(r'^version = [^\n]*\n"""(.*?)"""', inspect.getsource(versioning), re.MULTILINE | re.DOTALL)
        return text
    return inspect.cleandoc(found.__doc__ or "")


def examples(text):
    """The paragraphs behind the first that are Python, as it stands in functions."""
    for paragraph in text.split("\n\n")[1:]:
        code = textwrap.dedent(paragraph.removeprefix("Example:\n")).strip("\n")
        try:
            parsed = ast.parse("async def example():\n" + textwrap.indent(code, "    "))
        except SyntaxError:
            continue
        if any(isinstance(node, ast.Call | ast.Import | ast.ImportFrom | ast.FunctionDef) for node in ast.walk(parsed)):
            yield parsed


@pytest.mark.parametrize("name", patterns.__all__)
def test_an_exported_name_has_an_example(name):
    found = list(examples(docstring(name)))
    assert found, f"{name} has no example in its docstring"
