"""The documentation site: `pip install ".[docs]"`, then `sphinx-build -W docs build/docs`."""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / "extensions"))

import omar  # noqa: E402

project = "omar"
author = "the authors of omar"
release = version = omar.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
    "breathe",
    "doxygen",
    "docstrings",
    "links",
    "mathml",
    "pictures",
    "tables",
]
exclude_patterns = ["extensions", "static"]

myst_enable_extensions = ["dollarmath", "colon_fence", "deflist"]
myst_heading_anchors = 3

# Docstrings use Markdown's single backticks for code.
default_role = "code"
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
autodoc_class_signature = "mixed"
napoleon_numpy_docstring = False
napoleon_use_ivar = True
python_maximum_signature_line_length = 88
cpp_maximum_signature_line_length = 100

breathe_default_project = "omar"
breathe_show_include = True

html_theme = "furo"
html_title = f"omar {release}"
html_static_path = ["static"]
html_css_files = ["omar.css"]
html_show_sphinx = False
html_copy_source = False
html_show_sourcelink = False
copybutton_exclude = ".linenos, .gp, .go"
