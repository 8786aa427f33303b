"""What the site needs beside its pages: the repository's files that they link to, and no asset from elsewhere."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files, InclusionLevel

ROOT = Path(__file__).parents[1]
FOLDER = "repository"
LANGUAGES = {".py": "python", ".yaml": "yaml"}
ELSEWHERE = re.compile(r"<(?:script|img|iframe)[^>]*\ssrc=[\"']?(?:https?:)?//|<link[^>]*\shref=[\"']?(?:https?:)?//")


def on_files(files: Files, config: Any) -> Files:
    """Add a page for each file of the repository that a page links to, and for those that these link to."""
    pages = list(files.documentation_pages())
    for page in pages:
        for match in _leaving(page.src_uri).finditer(page.content_string):
            if files.get_file_from_path(_uri(match["path"])) is None:
                added = _page_of(match["path"], config)
                files.append(added)
                pages.append(added)
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Have such links lead to those pages."""
    uri = page.file.src_uri
    up = "../" * uri.count("/")
    return _leaving(uri).sub(lambda match: f"]({up}{_uri(match['path'])}{match['anchor'] or ''})", markdown)


def on_post_page(output: str, page: Any, **_: Any) -> str:
    """Refuse a page that a browser could not show without a network."""
    if found := ELSEWHERE.search(output):
        raise PluginError(f"{page.file.src_uri} loads something from elsewhere: {found[0]}")
    return output


def _leaving(uri: str) -> re.Pattern[str]:
    """The links of a page that lead out of the folder of documents; a page of the repository lies in its root."""
    up = "" if uri.startswith(f"{FOLDER}/") else re.escape("../" * (uri.count("/") + 1))
    return re.compile(rf"\]\({up}(?P<path>[A-Za-z][\w./-]*)(?P<anchor>#[\w-]+)?\)")


def _uri(path: str) -> str:
    return f"{FOLDER}/{path.removesuffix('.md')}.md"


def _page_of(path: str, config: Any) -> File:
    text = (ROOT / path).read_text(encoding="utf-8")
    if path.endswith(".md"):
        text = text.replace("](docs/", "](../")  # before the rest is taken for files of the repository
    else:
        text = f"# {path}\n\n```{LANGUAGES.get(Path(path).suffix, 'text')}\n{text}```\n"
    return File.generated(config, _uri(path), content=text, inclusion=InclusionLevel.NOT_IN_NAV)
