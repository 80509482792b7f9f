"""Pages for a browser: one HTML file with its pictures, readable on a phone and on paper. Tables sort on click, and need no script.

The page loads nothing from elsewhere, and its policy forbids it. Names are text: the policy also forbids every script but ours.
"""

import base64
import hashlib
import html
from collections.abc import Iterable, Sequence

from scn_tf.messages import cut, visible

STYLE = (
    "body{font:15px/1.45 sans-serif;max-width:68em;margin:1.5em auto;padding:0 1em;color:#111;background:#fff}"
    "h1{font-size:1.5em;overflow-wrap:anywhere}h2{font-size:1.2em;margin-top:1.8em;border-bottom:1px solid #ccc}"
    "nav a{margin-right:1em;display:inline-block;padding:.2em 0}a{color:#024a9c}"
    ".wide{overflow-x:auto;max-width:100%}pre{white-space:pre-wrap;overflow-wrap:anywhere}table{border-collapse:collapse;margin:.6em 0}"
    "td,th{padding:.25em .7em;text-align:right;vertical-align:top}td.text,th.text{text-align:left;overflow-wrap:anywhere;min-width:6em}"
    "thead th{border-bottom:2px solid #666;white-space:nowrap}tbody tr:nth-child(even){background:#f1f1f1}"
    "th[aria-sort]{cursor:pointer;text-decoration:underline dotted}"
    "th[aria-sort=ascending]:after{content:' \\25B2'}th[aria-sort=descending]:after{content:' \\25BC'}"
    ".pictures{display:flex;flex-wrap:wrap;gap:1em;align-items:flex-start}figure{margin:0;max-width:min(100%,32em)}figure.whole{max-width:100%}"
    "figure img{display:block;max-width:100%;height:auto}figcaption{font-size:13px;max-width:36em;overflow-wrap:anywhere}"
    "p{max-width:50em}.note{color:#444;font-size:13px}"
    "@media print{body{max-width:none;margin:0;font-size:11px}nav{display:none}figure,tr{break-inside:avoid}h2{break-after:avoid}"
    ".wide{overflow:visible}thead{display:table-header-group}}"
)
SCRIPT = (
    "document.querySelectorAll('table.sort').forEach(function(table){var body=table.tBodies[0];"
    "Array.prototype.forEach.call(table.tHead.rows[0].cells,function(head,column){"
    "head.setAttribute('aria-sort','none');head.tabIndex=0;"
    "function key(row){return row.cells[column].textContent}"
    "function sort(){var down=head.getAttribute('aria-sort')==='ascending';"
    "Array.prototype.forEach.call(table.tHead.rows[0].cells,function(other){other.setAttribute('aria-sort','none')});"
    "head.setAttribute('aria-sort',down?'descending':'ascending');"
    "var rows=Array.prototype.slice.call(body.rows);"
    "rows.sort(function(a,b){var x=key(a),y=key(b);if(x===''||y==='')return(x==='')-(y==='');"
    "var m=parseFloat(x.replace('< ','')),n=parseFloat(y.replace('< ','')),numbers=!head.classList.contains('text')&&!isNaN(m)&&!isNaN(n);"
    "var order=numbers?m-n:x.localeCompare(y,undefined,{numeric:true});return down?-order:order});"
    "rows.forEach(function(row){body.appendChild(row)})}"
    "head.addEventListener('click',sort);"
    "head.addEventListener('keydown',function(event){if(event.key==='Enter'||event.key===' '){event.preventDefault();sort()}})})})"
)


def page(title: str, body: str) -> str:
    """The whole page. ``body`` is HTML, ``title`` text."""
    digest = base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode()
    policy = f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
    return (
        f"<!doctype html><html lang=en><meta charset=utf-8><title>{text(title)}</title>"
        f'<meta name=generator content=scn_tf><meta http-equiv=Content-Security-Policy content="{policy}">'
        f'<meta name=viewport content="width=device-width,initial-scale=1"><style>{STYLE}</style>'
        f"<h1>{text(title)}</h1>{body}<script>{SCRIPT}</script></html>\n"
    )


def section(title: str, *parts: str) -> str:
    """A section with its heading, HTML; nothing if all parts are empty. Its anchor is the title."""
    content = "".join(parts)
    return f"<section id={anchor(title)}><h2>{text(title)}</h2>{content}</section>" if content else ""


def anchor(title: str) -> str:
    """Anchor of a section."""
    return "".join(character if character.isalnum() else "-" for character in title.lower())


def links(titles: Iterable[str]) -> str:
    """Links to sections."""
    return "<nav>" + "".join(f"<a href=#{anchor(title)}>{text(title)}</a>" for title in titles) + "</nav>"


def paragraph(content: str, *, note: bool = False) -> str:
    """A paragraph of plain text."""
    return f"<p{' class=note' if note else ''}>{text(content)}</p>"


def table(rows: Iterable[Sequence[object]], *, texts: Sequence[int] = (0,), sort: bool = True) -> str:
    """A table, HTML.

    Args:
        rows: titles, then the lines.
        texts: numbers of the columns that hold texts; the others hold numbers.
        sort: whether a click on a title sorts the lines.
    """
    head, *body = rows

    def cell(kind: str, column: int, value: object) -> str:
        mark = " class=text" if column in texts else ""
        scope = " scope=col" if kind == "th" else ""
        return f"<{kind}{mark}{scope}>{text('' if value is None else value)}</{kind}>"

    titles = "".join(cell("th", *pair) for pair in enumerate(head))
    lines = "".join("<tr>" + "".join(cell("td", *pair) for pair in enumerate(row)) + "</tr>" for row in body)
    mark = " class=sort" if sort else ""
    return f"<div class=wide><table{mark}><thead><tr>{titles}</tr></thead><tbody>{lines}</tbody></table></div>"


def picture(content: bytes, kind: str, alternative: str, caption: str = "", *, below: bytes = b"", whole: bool = False) -> str:
    """A figure, HTML.

    Args:
        content: encoded picture.
        kind: ``png`` or ``jpeg``.
        alternative: text in place of the picture.
        caption: text below it.
        below: JPEG of a second picture, between the first and the caption.
        whole: whether it may fill the width of the page.
    """
    image = _image(content, kind, alternative)
    second = _image(below, "jpeg", f"heatmaps of {alternative}") if below else ""
    return f"<figure{' class=whole' if whole else ''}>{image}{second}<figcaption>{text(caption)}</figcaption></figure>"


def pictures(parts: Iterable[str]) -> str:
    """Figures beside each other, HTML."""
    content = "".join(parts)
    return f"<div class=pictures>{content}</div>" if content else ""


def text(value: object) -> str:
    """A value as text in HTML."""
    return html.escape(visible(str(value)), quote=True)


def text_block(value: str) -> str:
    """A text of several lines as text in HTML."""
    return "\n".join(map(text, value.split("\n")))


def name(value: object) -> str:
    """A user's name, short and in one line; not yet HTML."""
    return cut(visible(str(value)), 80)


def _image(content: bytes, kind: str, alternative: str) -> str:
    return f'<img alt="{text(alternative)}" src="data:image/{kind};base64,{base64.b64encode(content).decode()}">'
