"""Sphinx configuration: these pages, the API from docstrings, and the examples run for the gallery."""

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import jko

project = "jko"
author = "The jko authors"
copyright = "2026, The jko authors"
version = release = jko.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.mathjax",
    "sphinx.ext.viewcode",
    "myst_parser",
    "sphinxcontrib.bibtex",
    "sphinx_gallery.gen_gallery",
]
myst_enable_extensions = ["dollarmath", "amsmath", "deflist"]
myst_heading_anchors = 3
exclude_patterns = ["_build"]
bibtex_bibfiles = ["references.bib"]
bibtex_default_style = "alpha"
autodoc_member_order = "bysource"
autodoc_typehints = "none"
autodoc_default_options = {"members": True, "show-inheritance": True}
suppress_warnings = ["config.cache"]

html_theme = "pydata_sphinx_theme"
html_title = "jko"
html_theme_options = {
    "show_toc_level": 2,
    "navigation_with_keys": False,
    "secondary_sidebar_items": ["page-toc"],
}
html_show_sourcelink = False

sphinx_gallery_conf = {
    "examples_dirs": ["../examples"],
    "gallery_dirs": ["gallery"],
    "filename_pattern": r".*\.py$",
    # JKO_GALLERY=0 leaves the examples unrun: where the tests have just run them
    "plot_gallery": os.environ.get("JKO_GALLERY", "1") != "0",
    "image_scrapers": ("saved_pictures.scrape",),
    "download_all_examples": False,
    "show_signature": False,
    "show_memory": False,
    "abort_on_example_error": True,
    "copyfile_regex": r".*\.(csv|toml)$",
    "min_reported_time": 0,
}


def keep_bars(app, what, name, obj, options, lines):
    """|x| in a docstring is an absolute value, not a substitution."""
    lines[:] = [line.replace("|", r"\|") for line in lines]


def setup(app):
    app.connect("autodoc-process-docstring", keep_bars)
