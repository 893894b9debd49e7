"""HTML pages in one file: nothing is loaded from elsewhere, and names in it are text, whatever they say."""

import base64
import hashlib
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from prosper_ng.drawing.style import load_matplotlib
from prosper_ng.errors import UserError
from prosper_ng.storage import atomic

NAME = "report.html"
_PACKAGES = ("jinja2", "matplotlib", "PIL")


def require_packages() -> None:
    """Raise UserError where a package is missing that pages need, or does not work."""
    for package in _PACKAGES:
        if find_spec(package) is None:
            raise UserError(f'pages need the package {package}; install it with: pip install "prosper_ng[report]"')
    load_matplotlib()


def render(template: str, **content: Any) -> str:
    """The page that a template makes of this content."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    loader = PackageLoader("prosper_ng.report")
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    style, script = (loader.get_source(environment, name)[0].strip() for name in ("page.css", "page.js"))
    # The only script that a browser may run in the page is the one with this digest.
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    page = environment.get_template(template)
    return page.render(style=style, script=script, script_digest=digest, **content) + "\n"


def write_page(path: Path, page: str) -> None:
    """Put the page in its place, whole or not at all; UserError where it cannot be written."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Names of files may hold bytes that are no text.
        atomic.write_text(path, page.encode("utf-8", "replace").decode("utf-8"))
    except OSError as error:
        raise UserError(f"the page cannot be written to {path}: {error.strerror or error}") from error
