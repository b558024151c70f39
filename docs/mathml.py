"""Formulas as MathML, written into the pages when they are built.

Chromium, Firefox and Safari draw MathML themselves: a page shows its formulas without a network, without a
script, in print and to a screen reader. A formula that cannot be converted is a warning, hence an error of
`sphinx -W`. The font, a part of STIX Two Math, lies in `_static`.
"""

from __future__ import annotations

import html
import re

from docutils import nodes
from math_core import LatexError, LatexToMathML
from sphinx.application import Sphinx
from sphinx.util import logging

_log = logging.getLogger(__name__)
# arrows do not stretch, and the converter's overline is a combining line that hangs to the left
_MACROS = {"xrightarrow": r"\overset{#1}{\longrightarrow}", "overline": r"\bar{#1}"}
_converter = LatexToMathML(macros=_MACROS, fancy_error=False)
# a star behind a letter is a convolution, behind these a form of the command
_STARRED = ("operatorname", "tag", "hspace", "begin", "end")
_NEW_LINE = re.compile(r"\\\\[a-zA-Z]")  # of a command that was escaped twice
_STAR = re.compile(rf"(\\(?!(?:{'|'.join(_STARRED)})\b)[a-zA-Z]+)\*")


def mathml(latex: str, *, display: bool = False) -> str:
    """The `<math>` element of a formula; raises LatexError where it cannot be converted."""
    latex = _STAR.sub(r"\1 *", latex)
    if r"\tag" in latex:  # which stands in a numbered environment alone
        latex = rf"\begin{{equation}}{latex}\end{{equation}}"
    return _converter.convert_with_local_state(latex, displaystyle=display)


def _element(node: nodes.Element, display: bool) -> str:
    latex = node.astext()
    if _NEW_LINE.search(latex) and r"\begin" not in latex:
        _log.warning("a doubled backslash breaks the line in %r: write one", latex, location=node)
    try:
        return mathml(latex, display=display)
    except LatexError as error:
        _log.warning("no MathML for %r: %s", latex, error, location=node)
        return f"<code>{html.escape(latex)}</code>"


def _inline(self, node: nodes.math) -> None:
    self.body.append(f'<span class="math">{_element(node, False)}</span>')
    raise nodes.SkipNode


def _block(self, node: nodes.math_block) -> None:
    names = "".join(f' id="{name}"' for name in node.get("ids", ())[:1])
    # with the keyboard, too, one scrolls a formula that is wider than a telephone
    box = f'<div class="math" tabindex="0"{names}>{_element(node, True)}</div>\n'
    self.body.append(box)
    raise nodes.SkipNode


def setup(app: Sphinx) -> dict[str, object]:
    """Make this the renderer of formulas in pages of HTML."""
    app.add_html_math_renderer("mathml", (_inline, None), (_block, None))
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
