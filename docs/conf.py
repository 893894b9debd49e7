"""How the documents become a site: `sphinx-build -n -W docs FOLDER`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

from prosper_ng import __version__

project, author, version = "prosper_ng", "The prosper_ng developers", __version__
root_doc, exclude_patterns = "index", ["_ext"]
extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx_copybutton",
    "sphinx_design",
    "sphinxarg.ext",
    "plain_docstrings",
    "settings_reference",
]

myst_enable_extensions, myst_heading_anchors = ["colon_fence"], 4
nb_execution_mode = "off"  # the tests run them
autodoc_typehints, autodoc_member_order, autodoc_class_signature = "none", "bysource", "mixed"

html_theme, html_title = "pydata_sphinx_theme", f"prosper_ng {version}"
html_theme_options = {
    "navbar_align": "left",
    "header_links_before_dropdown": 7,
    "show_prev_next": False,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": [],
    "footer_end": [],
}
html_show_copyright = html_show_sphinx = html_copy_source = False
