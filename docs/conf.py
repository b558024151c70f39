"""Sphinx configuration: these pages, the API from docstrings, and the examples run for the gallery."""

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from sphinx_gallery import gen_gallery

import jko

project = "jko"
author = "The jko authors"
copyright = "2026, The jko authors"
version = release = jko.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.viewcode",
    "myst_parser",
    "sphinx_design",
    "sphinxcontrib.bibtex",
    "sphinx_gallery.gen_gallery",
    "mathml",
]
html_math_renderer = "mathml"
myst_enable_extensions = ["dollarmath", "amsmath", "deflist", "colon_fence"]
myst_heading_anchors = 3
exclude_patterns = ["_build", "sg_execution_times.rst"]
bibtex_bibfiles = ["references.bib"]
bibtex_default_style = "alpha"
autodoc_member_order = "bysource"
autodoc_typehints = "none"
autodoc_default_options = {"members": True, "show-inheritance": True}
suppress_warnings = ["config.cache"]

html_theme = "pydata_sphinx_theme"
html_title = "jko"
html_static_path = ["_static"]
html_css_files = ["jko.css"]
html_sidebars = {"index": [], "gallery/index": []}
html_theme_options = {
    "show_toc_level": 2,
    "navigation_with_keys": False,
    "secondary_sidebar_items": ["page-toc"],
}
html_show_sourcelink = False
html_context = {"default_mode": "auto"}
html_show_search_summary = False  # a page opened from a disk may not read others

# the examples have no sections: the folder of their pictures would be taken for one
gen_gallery.get_subsections = lambda *_, **__: []

# JKO_GALLERY=0 leaves the examples unrun: where the tests have just run them
runs_examples = os.environ.get("JKO_GALLERY", "1") != "0"
sphinx_gallery_conf = {
    "examples_dirs": ["../examples"],
    "gallery_dirs": ["gallery"],
    "backreferences_dir": "gallery/backreferences",
    "filename_pattern": r".*\.py$",
    "plot_gallery": runs_examples,
    "parallel": 2 if runs_examples else False,
    "image_scrapers": ("saved_pictures.scrape",),
    "download_all_examples": False,
    "show_signature": False,
    "show_memory": False,
    "abort_on_example_error": True,
    "copyfile_regex": r"(index\.rst|.*\.(csv|toml))$",
    "min_reported_time": 0,
    "write_computation_times": False,  # a page that fetches scripts from elsewhere
}


def keep_bars(app, what, name, obj, options, lines):
    """|x| in a docstring is an absolute value, not a substitution."""
    lines[:] = [line.replace("|", r"\|") for line in lines]


def setup(app):
    app.connect("autodoc-process-docstring", keep_bars)
