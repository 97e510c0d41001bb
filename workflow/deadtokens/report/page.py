"""The page: HTML in one file, its pictures inside; all text that comes from outside is escaped."""

import base64
from collections.abc import Iterable, Iterator, Sequence
from html import escape
from pathlib import Path

MAKER = "deadtokens analyse"
STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; color: #1f2d3d; max-width: 60rem; margin: 2rem auto;
  padding: 0 1rem; }
h1 { font-size: 1.7rem; margin-bottom: 0; overflow-wrap: anywhere; }
h2 { font-size: 1.25rem; margin-top: 2.2rem; border-bottom: 1px solid #b9c2cb; }
h3 { font-size: 1rem; margin-bottom: .3rem; }
table { border-collapse: collapse; width: 100%; font-size: .9rem; }
th, td { text-align: left; vertical-align: top; padding: .2rem .6rem .2rem 0;
  border-bottom: 1px solid #e4e8ec; overflow-wrap: anywhere; }
th { font-weight: 600; }
td.number { white-space: nowrap; font-variant-numeric: tabular-nums; }
figure { margin: 1.5rem 0 2.5rem; }
img { max-width: 100%; }
figcaption, .quiet { color: #5c6773; font-size: .85rem; }
.answer { font-size: 1.05rem; }
"""
TYPES = {".png": "image/png", ".gif": "image/gif"}


def page(title: str, parts: Iterable[str]) -> str:
    """Return a whole page of parts that are HTML."""
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta name="generator" content="{MAKER}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        # No script, nothing from elsewhere: what a token spells can do nothing.
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; '
        "img-src data:; style-src 'unsafe-inline'\">\n"
        f"<title>{escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n"
        f"<h1>{escape(title)}</h1>\n{''.join(parts)}</body>\n</html>\n"
    )


def part(title: str, *contents: str) -> str:
    """Return a part of the page under a heading; nothing if it has no contents."""
    inside = "".join(contents)
    return f"<h2>{escape(title)}</h2>\n{inside}" if inside else ""


def section(title: str, *contents: str) -> str:
    """Return a smaller part."""
    return f"<h3>{escape(title)}</h3>\n{''.join(contents)}"


def paragraph(text: str, look: str = "") -> str:
    """Return a paragraph of text."""
    return f"<p{_look(look)}>{escape(text)}</p>\n"


def table(rows: Iterable[Sequence[str]], heads: Sequence[str] = (), number: int = -1) -> str:
    """Return a table of texts; without heads the first column names the rows.

    Parameters
    ----------
    rows : iterable of sequence of str
    heads : sequence of str
        What stands above the columns.
    number : int
        The column that holds numbers, -1 if none does.
    """
    body = "".join(_row(row, bool(heads), number) for row in rows)
    above = "".join(f"<th>{escape(head)}</th>" for head in heads)
    return f"<table>\n{f'<tr>{above}</tr>' if above else ''}{body}</table>\n"


def _row(cells: Sequence[str], has_heads: bool, number: int) -> str:
    written = [
        f"<th>{escape(cell)}</th>"
        if place == 0 and not has_heads
        else f"<td{_look('number' * (place == number))}>{escape(cell)}</td>"
        for place, cell in enumerate(cells)
    ]
    return f"<tr>{''.join(written)}</tr>\n"


def listing(texts: Iterable[str]) -> str:
    """Return a list of texts, nothing if there are none."""
    items = "".join(f"<li>{escape(text)}</li>\n" for text in texts)
    return f"<ul>\n{items}</ul>\n" if items else ""


def details(title: str, inside: str) -> str:
    """Return what is shown when it is asked for."""
    return f"<details><summary>{escape(title)}</summary>\n{inside}</details>\n"


def picture(path: Path, name: str, caption: str) -> str:
    """Return a picture, its bytes within the page, with its caption: paragraphs of text."""
    content = base64.b64encode(path.read_bytes()).decode("ascii")
    source = f"data:{TYPES[path.suffix]};base64,{content}"
    return (
        f'<figure id="{escape(name)}">\n<img alt="{escape(name)}" src="{source}">\n'
        f"<figcaption>{''.join(_paragraphs(caption))}</figcaption>\n</figure>\n"
    )


def _paragraphs(text: str) -> Iterator[str]:
    for one in text.split("\n\n"):
        yield paragraph(" ".join(one.split()))


def _look(name: str) -> str:
    return f' class="{name}"' if name else ""
