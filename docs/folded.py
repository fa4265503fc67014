"""Imports and helper functions at the head of an example are folded out of sight.

An extension of Sphinx. The pages of the gallery show them on a click.
"""

import ast

from docutils import nodes

HELPERS = ast.Import, ast.ImportFrom, ast.FunctionDef, ast.ClassDef


def setup(app):
    app.connect("doctree-read", fold)
    return {"parallel_read_safe": True}


def fold(app, doctree):
    """Split blocks of code that begin with imports into a folded one and the rest."""
    if not app.env.docname.startswith("gallery/"):
        return
    for block in list(doctree.findall(nodes.literal_block)):
        if block.get("language") != "Python":
            continue
        end = _end_of_helpers(block.astext())
        if end:
            block.replace_self(list(_folded(block, end)))


def _end_of_helpers(code):
    """Return the number of lines up to the first statement that is none of HELPERS."""
    end = 0
    statements = ast.parse(code).body
    if not isinstance(statements[0], HELPERS[:2]):
        return 0
    for statement in statements:
        if not isinstance(statement, HELPERS):
            break
        end = statement.end_lineno
    return end


def _folded(block, end):
    """Return the nodes of a block whose first lines are folded."""
    lines = block.astext().split("\n")
    head, rest = "\n".join(lines[:end]), "\n".join(lines[end:]).strip("\n")
    has_helpers = any(line.startswith(("def ", "class ")) for line in lines[:end])
    title = "Imports and helpers" if has_helpers else "Imports"
    opening = f'<details class="imports"><summary>{title}</summary>'
    yield nodes.raw("", opening, format="html")
    yield _with_text(block, head)
    yield nodes.raw("", "</details>", format="html")
    if rest:
        yield _with_text(block, rest)


def _with_text(block, text):
    """Return a copy of a block with another text, without numbers of lines."""
    copy = nodes.literal_block(text, text, **block.attributes)
    copy["highlight_args"] = {}
    return copy
