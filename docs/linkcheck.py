"""Find broken links within the built site, and names in prose that lead nowhere.

Usage::

    python docs/linkcheck.py docs/_build/html

It ends with an error if there are any. Links to other sites are not followed.
"""

import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit


class Page(HTMLParser):
    """The anchors of a page, what it links to, and its names without a link."""

    def __init__(self, text):
        super().__init__()
        self.anchors, self.targets, self.unlinked = set(), set(), set()
        self._in_link, self._in_name = False, False
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.anchors |= {attrs.get("id"), attrs.get("name")} - {None}
        target = attrs.get("href") or attrs.get("src")
        if target:
            self.targets.add(target)
        if tag == "a":
            self._in_link = True
        is_name = tag == "code" and "py-obj" in (attrs.get("class") or "")
        self._in_name = is_name and not self._in_link

    def handle_endtag(self, tag):
        if tag == "a":
            self._in_link = False
        if tag == "code":
            self._in_name = False

    def handle_data(self, data):
        if self._in_name:
            self.unlinked.add(data)


def broken(path, page, pages):
    """List what a page links to that is not there."""
    for target in sorted(page.targets):
        parts = urlsplit(target)
        if parts.scheme or parts.netloc:
            continue
        goal = (path.parent / unquote(parts.path)).resolve() if parts.path else path
        anchor = unquote(parts.fragment)
        if not goal.exists():
            yield f"no such file: {target}"
        elif anchor and goal in pages and anchor not in pages[goal].anchors:
            yield f"no such place: {target}"


def documented(pages):
    """Return the names of the classes and functions that the reference describes."""
    names = set()
    for anchor in set().union(*(page.anchors for page in pages.values())):
        *places, name = anchor.split(".")
        if places[:1] == ["skvae"] and "".join(places).islower():
            names.add(name)
    return names


if __name__ == "__main__":
    root = Path(sys.argv[1]).resolve()
    paths = sorted(set(root.rglob("*.html")) - set(root.glob("_static/*.html")))
    pages = {path: Page(path.read_text()) for path in paths}
    if not pages:
        sys.exit(f"no pages in {root}")
    names = documented(pages)
    found = []
    for path, page in pages.items():
        problems = list(broken(path, page, pages))
        problems += [f"name without a link: {each}" for each in page.unlinked & names]
        found += [f"{path.relative_to(root)}: {problem}" for problem in problems]
    n_links = sum(len(page.targets) for page in pages.values())
    print(*found, sep="\n")
    print(f"{len(pages)} pages, {n_links} links, {len(found)} problems")
    sys.exit(bool(found))
