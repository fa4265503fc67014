"""Formulas as MathML, which browsers draw by themselves: no script, no server.

An extension of Sphinx.
"""

from docutils import nodes
from latex2mathml.converter import convert
from sphinx.util.math import get_node_equation_number


def setup(app):
    inline, block = (visit_inline, None), (visit_block, None)
    app.add_html_math_renderer("mathml", inline, block)
    return {"parallel_read_safe": True}


def visit_inline(writer, node):
    writer.body.append(convert(node.astext()))
    raise nodes.SkipNode


def visit_block(writer, node):
    writer.body.append(writer.starttag(node, "div", CLASS="formula"))
    if node["number"]:
        number = get_node_equation_number(writer, node)
        writer.body.append(f'<span class="eqno">({number})</span>')
    writer.body.append(convert(node.astext(), display="block"))
    writer.body.append("</div>\n")
    raise nodes.SkipNode
