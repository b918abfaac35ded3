"""Settings of Sphinx: `make docs` builds these pages, and fails at a warning."""

import os
import warnings
from pathlib import Path

from sphinx_gallery.sorting import ExplicitOrder

import skdgam

project = "skdgam"
copyright = "the skdgam developers"
version = release = skdgam.__version__
extensions = [
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.intersphinx",
    "sphinx.ext.mathjax",
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
    "sphinx_gallery.gen_gallery",
]
# Links to other projects need the network, and their absence is no fault of these pages.
intersphinx_mapping = (
    {
        "python": ("https://docs.python.org/3", None),
        "numpy": ("https://numpy.org/doc/stable", None),
        "sklearn": ("https://scikit-learn.org/stable", None),
    }
    if os.environ.get("DOCS_ONLINE")
    else {}
)
exclude_patterns = ["_build", "auto_examples/**/*.ipynb", "auto_examples/**/*.py"]
myst_enable_extensions = ["dollarmath", "amsmath", "colon_fence", "deflist"]
myst_heading_anchors = 3
numpydoc_show_class_members = False
numpydoc_xref_param_type = False
autosummary_generate = True
autodoc_typehints = "none"
suppress_warnings = ["config.cache"]

templates_path = ["_templates"]
html_theme = "pydata_sphinx_theme"
html_title = "skdgam"
html_show_sourcelink = False
html_theme_options = {
    "show_toc_level": 2,
    "header_links_before_dropdown": 7,
    "navigation_with_keys": False,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
}
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True

ORDER = [
    "plot_quick_start.py",
    "plot_context_confusion.py",
    "plot_videos.py",
    "plot_sound_events.py",
    "plot_sensor_tables.py",
    "plot_two_streams.py",
    "plot_ablation.py",
    "plot_hapt.py",
    "plot_grid_search.py",
    "plot_own_method.py",
    "plot_released_checkpoint.py",
]
sphinx_gallery_conf = {
    "examples_dirs": str(Path(__file__).parents[1] / "examples"),
    "gallery_dirs": "auto_examples",
    "filename_pattern": "/plot_",
    "ignore_pattern": "demo",
    "within_subsection_order": ExplicitOrder(ORDER),
    "abort_on_example_error": True,
    "download_all_examples": False,
    "show_signature": False,
    "doc_module": ("skdgam",),
    "backreferences_dir": "api/examples",
    "remove_config_comments": True,
}
warnings.filterwarnings("ignore", message=".*non-interactive.*")
