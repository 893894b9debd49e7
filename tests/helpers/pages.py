"""Pages as tests see them: their elements and texts."""

from html.parser import HTMLParser
from pathlib import Path
from typing import NamedTuple

VOID = {"meta", "link", "img", "br", "hr", "input", "source", "wbr"}


class Element(NamedTuple):
    """A start tag."""

    tag: str
    attributes: dict[str, str | None]


class Page(HTMLParser):
    """The elements of a page, in their order; fails where they do not nest."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.elements: list[Element] = []
        self.texts: dict[str, list[str]] = {}
        """By tag, the texts directly in its elements."""
        self._open: list[str] = []
        self.source = path.read_text(encoding="utf-8")
        self.feed(self.source)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag, attrs):
        assert len(attrs) == len(dict(attrs)), f"<{tag}> says something twice"
        self.elements.append(Element(tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append(Element(tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        if self._open and data.strip():
            self.texts.setdefault(self._open[-1], []).append(" ".join(data.split()))

    @property
    def text(self) -> str:
        """All that people read."""
        hidden = {"style", "script"}
        return "\n".join(text for tag, texts in self.texts.items() if tag not in hidden for text in texts)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        """The attributes of the elements with this tag."""
        return [element.attributes for element in self.elements if element.tag == tag]


def check(page: Page) -> None:
    """What holds for every page: nothing comes from elsewhere, one script runs, pictures and tables have names."""
    identifiers = [e.attributes["id"] for e in page.elements if "id" in e.attributes]
    assert len(identifiers) == len(set(identifiers))
    for tag, attributes in page.elements:
        assert not [name for name in attributes if name.startswith("on")], tag
        assert tag not in {"iframe", "object", "embed", "form", "base", "link", "video", "audio", "foreignobject"}
        address = attributes.get("src") or attributes.get("href") or attributes.get("xlink:href") or "#"
        inside = address.startswith("data:image/png;base64,") if tag == "img" else ":" not in address
        assert inside, (tag, address)
        assert not address.startswith("//")
        if address.startswith("#") and len(address) > 1:
            assert address[1:] in identifiers
    assert len(page.all("script")) == 1
    assert "src" not in page.all("script")[0]
    assert "url(http" not in page.source
    assert all(image["alt"] for image in page.all("img"))
    drawings = [svg for svg in page.all("svg") if "role" in svg]
    assert len(drawings) == len(page.all("svg"))
    assert all(svg["aria-label"] for svg in drawings)
    assert all(head["scope"] in {"row", "col"} for head in page.all("th"))
    assert len(page.all("caption")) == len(page.all("table"))
    assert len(page.all("h1")) == 1
    (policy,) = [meta["content"] for meta in page.all("meta") if "http-equiv" in meta]
    assert policy.startswith("default-src 'none'; img-src data:; ")
    assert "script-src 'sha256-" in policy
