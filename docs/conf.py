"""The documentation site: Sphinx, with these pages as they are. `make docs` builds it; a warning is an error."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx import addnodes

project = "SpeculatoViz"
extensions = ["myst_parser", "sphinx.ext.autodoc"]
root_doc = "index"

myst_heading_anchors = 6  # as GitHub makes them, so that links between the pages lead to the same headings there

default_role = "code"  # docstrings have code in single backticks
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
python_use_unqualified_type_names = True

html_theme = "furo"
html_title = project
html_copy_source = False
html_show_copyright = False


def _folders_as_text(app: Any, doctree: nodes.document) -> None:
    """A link to a folder of the repository becomes its text: a page of the site cannot show a folder."""
    here = Path(app.env.doc2path(app.env.docname)).parent
    for link in list(doctree.findall(addnodes.pending_xref)):
        if link.get("reftype") == "myst" and (here / link["reftarget"]).is_dir():
            link.replace_self(link.children)


def setup(app: Any) -> None:
    """Called by Sphinx."""
    app.connect("doctree-read", _folders_as_text)
