"""Pieces of an HTML page. Whatever comes from a user passes through `text`, which escapes it."""

from __future__ import annotations

import base64
import html
from collections.abc import Iterable, Sequence

from ...errors import shown

_LONGEST = 4000  # letters of one text

STYLE = """
:root { color-scheme: light dark; --page: #fff; --text: #1d1f23; --faint: #666a73; --line: #d8dade; --panel: #f4f5f7;
  --bad: #b3261e; --good: #12754c; }
@media (prefers-color-scheme: dark) { :root { --page: #1b1c1f; --text: #e8e8ea; --faint: #9a9ca3; --line: #3a3d44;
  --panel: #27292d; --bad: #ff8a80; --good: #4fd6a3; } }
body { background: var(--page); color: var(--text); font: 15px/1.5 system-ui, sans-serif; margin: 0 auto;
  max-width: 1160px; padding: 24px; overflow-wrap: anywhere; }
h1 { font-size: 26px; margin: 0 0 4px; } h2 { font-size: 20px; margin: 36px 0 8px; } h3 { font-size: 16px; margin: 0; }
p.note, .faint { color: var(--faint); } .faint { font-size: 12px; }
.bad { color: var(--bad); } .good { color: var(--good); }
.key { border-radius: 2px; display: inline-block; height: 10px; margin-right: 5px; width: 10px; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; margin: 8px 0; }
th, td { border-bottom: 1px solid var(--line); overflow-wrap: break-word; padding: 5px 12px 5px 0; text-align: left;
  vertical-align: top; }
table.matrix td, td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
table.matrix td, table.matrix th { border: 1px solid var(--line); padding: 5px 9px; }
.case { background: var(--panel); border-radius: 8px; margin: 14px 0; padding: 14px 16px; }
.case img.frame { max-width: 100%; max-height: 460px; border-radius: 4px; display: block; margin: 10px 0; }
.references { display: flex; flex-wrap: wrap; gap: 12px; }
figure { margin: 0; max-width: 140px; } figure img { background: #fff; border-bottom: 4px solid; display: block; }
figcaption { font-size: 13px; color: var(--faint); }
.bar { display: flex; height: 14px; width: 260px; border-radius: 3px; overflow: hidden; background: var(--line); }
ul { margin: 6px 0; padding-left: 20px; } summary { cursor: pointer; }
tr.noted td { border-bottom: 0; } tr.notes td { padding-top: 0; } tr.notes ul { margin-top: 0; }
@media (max-width: 600px) { body { font-size: 14px; padding: 12px; } th, td { padding-right: 8px; }
  .bar { width: 120px; } tr.notes ul { max-width: calc(100vw - 52px); } .case { padding: 10px; } }
"""


def text(value: object) -> str:
    """Any text as HTML shows it: escaped, control characters visible, at most 4000 letters; a browser joins lines."""
    lines = str(value)[:_LONGEST].split("\n")
    return html.escape("\n".join(shown(line, _LONGEST) for line in lines), quote=True)


def number(value: float | None, digits: int = 3) -> str:
    """A number, or a dash for one that could not be measured."""
    return "–" if value is None else f"{value:.{digits}f}"


def table(
    head: Sequence[str], rows: Iterable[Sequence[str]], *, numbers: int = 0, notes: Sequence[str] | None = None
) -> str:
    """A table of cells that are HTML already.

    Args:
        numbers: the columns from this one on hold numbers; 0: none.
        notes: what is below each row over its whole width, where a narrow screen shows it, too; empty: nothing.
    """

    def cells(tag: str, row: Sequence[str]) -> str:
        marked = [' class="number"' if numbers and place >= numbers else "" for place in range(len(row))]
        return "".join(f"<{tag}{mark}>{cell}</{tag}>" for mark, cell in zip(marked, row, strict=True))

    def with_note(row: Sequence[str], note: str) -> str:
        if not note:
            return f"<tr>{cells('td', row)}</tr>"
        below = f'<tr class="notes"><td colspan="{len(head)}">{note}</td></tr>'
        return f'<tr class="noted">{cells("td", row)}</tr>{below}'

    listed = list(rows)
    body = "".join(map(with_note, listed, [""] * len(listed) if notes is None else notes))
    return f'<div class="scroll"><table><thead><tr>{cells("th", head)}</tr></thead><tbody>{body}</tbody></table></div>'


def picture(jpeg: bytes, description: str, *, css: str = "", colour: str | None = None) -> str:
    """An image that is part of the page.

    Args:
        description: for those who do not see it.
        css: class of the image.
        colour: of the line below it, one of our own.
    """
    data = base64.b64encode(jpeg).decode("ascii")
    style = "" if colour is None else f' style="border-color:{text(colour)}"'
    return f'<img class="{css}"{style} alt="{text(description)}" src="data:image/jpeg;base64,{data}">'


def matrix(names: Sequence[str], rows: Sequence[Sequence[float | None]], own: Sequence[int]) -> str:
    """A matrix of similarities; of a row, the columns of the same owner are green, others red, the stronger the higher.

    Args:
        names: of rows and columns, not escaped.
        own: the owner of each row and column.
    """
    head = "".join(f"<th>{text(name)}</th>" for name in names)
    body = []
    for i, row in enumerate(rows):
        cells = []
        for j, value in enumerate(row):
            strength = 0.0 if value is None else min(1.0, max(0.0, value)) * 0.6
            colour = "47,196,141" if own[i] == own[j] else "244,105,59"
            cells.append(f'<td class="number" style="background:rgba({colour},{strength:.2f})">{number(value, 2)}</td>')
        body.append(f"<tr><th>{text(names[i])}</th>{''.join(cells)}</tr>")
    corner = "<th>generated \\ reference</th>"
    return f'<div class="scroll"><table class="matrix"><tr>{corner}{head}</tr>{"".join(body)}</table></div>'


def bar(parts: Sequence[tuple[str, float, str]]) -> str:
    """A bar divided into fractions.

    Args:
        parts: name, fraction and colour of each.
    """
    pieces = "".join(
        f'<span title="{text(name)} {fraction:.0%}" style="background:{colour};width:{fraction:.2%}"></span>'
        for name, fraction, colour in parts
        if fraction > 0
    )
    return f'<div class="bar">{pieces}</div>'
