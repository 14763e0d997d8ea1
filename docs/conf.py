"""Sphinx configuration: `pip install -e '.[docs]' && sphinx-build -W docs docs/_build` builds the site."""

import importlib
import inspect
import os
import re
import sys
from pathlib import Path
from typing import Any

import jaxrnn

sys.path.insert(0, str(Path(__file__).parent.parent))

from docs import reference

project = "jaxrnn"
version = release = jaxrnn.__version__
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode"]
exclude_patterns = ["_build", "jupyter_execute", ".jupyter_cache"]
smartquotes = False  # "--set" is an option, not a dash
html_theme = "sphinx_book_theme"
html_title = "jaxrnn"
repository = os.environ.get("GITHUB_REPOSITORY", "")  # set by the workflow that publishes the site
if repository:
    html_theme_options = {"repository_url": f"https://github.com/{repository}", "use_repository_button": True}

myst_enable_extensions = ["dollarmath", "amsmath", "colon_fence"]
myst_heading_anchors = 4
nb_execution_mode = "cache"
nb_execution_timeout = 300
nb_execution_raise_on_error = True

default_role = "literal"
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
napoleon_use_rtype = False


def from_github(_app: Any, document: str, source: list[str]) -> None:
    """Turn what GitHub renders into what MyST does: formulas in backquotes, and links to files outside docs/."""
    text = re.sub(r"\$`([^`\n]+)`\$", r"$\1$", source[0])
    text = text.replace("```math\n", "```{math}\n")
    target = rf"https://github.com/{repository}/blob/main/\2" if repository else ""
    root = re.escape("../" * (1 + document.count("/")))
    source[0] = re.sub(rf"\[([^\]]+)\]\({root}([^)]+)\)", rf"[\1]({target})" if target else r"\1", text)


def describe_field(_app: Any, kind: str, name: str, _object: Any, _options: Any, lines: list[str]) -> None:
    """Describe a field of a NamedTuple by the comment next to it: its shape."""
    if kind == "attribute" and lines and lines[0].startswith("Alias for field number"):
        path, field = name.rsplit(".", 1)
        module, record = path.rsplit(".", 1)
        code = inspect.getsource(getattr(importlib.import_module(module), record))
        comment = re.search(rf"^ +{field}: .*?# (.*)$", code, re.MULTILINE)
        lines[:] = [re.sub(r"(?<!`)\[[^\]]*\]", r"``\g<0>``", comment[1]), ""] if comment else [""]


def setup(app: Any) -> None:
    """Write the generated pages, then read the others."""
    app.connect("autodoc-process-docstring", describe_field)
    app.connect("builder-inited", lambda _: reference.write_pages())
    app.connect("source-read", from_github)
