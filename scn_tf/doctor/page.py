"""The findings as one HTML page with pictures, for a browser or a phone. It needs no other file."""

import base64
import html
from collections.abc import Sequence
from itertools import groupby

from scn_tf.doctor import sheet
from scn_tf.doctor.finding import CHECKS, Finding
from scn_tf.doctor.inspection import Inspection
from scn_tf.doctor.report import counts
from scn_tf.messages import cut, visible

MOST_PICTURES = 12  # of a kind
MOST_LISTED = 200  # findings of a kind
STYLE = (
    "body{font:16px/1.4 sans-serif;margin:0 auto;max-width:70em;padding:0 .8em 3em;color:#1a1a1a;background:#fff}"
    "h1{font-size:1.5em;overflow-wrap:anywhere}h2{font-size:1.15em;margin:2em 0 .2em;border-top:1px solid #ccc;padding-top:.8em}"
    ".severity{display:inline-block;color:#fff;border-radius:.3em;padding:0 .5em;font-size:.85em;margin-right:.4em}"
    ".error{background:#b3261e}.warning{background:#8a5a00}.note{background:#47617a}"
    "table{border-collapse:collapse;width:100%}"
    "td,th{text-align:left;padding:.3em .6em .3em 0;border-bottom:1px solid #ddd;vertical-align:top}"
    "td.number{text-align:right}.sheet{display:grid;grid-template-columns:repeat(auto-fill,minmax(15em,1fr));gap:.8em}"
    "figure{margin:0}figure img{width:100%;height:auto;display:block;background:#000}figcaption,li{font-size:.85em;overflow-wrap:anywhere}"
    "@media(max-width:40em){td:nth-child(4),th:nth-child(4){display:none}}"
    ".fix{background:#eef4ee;padding:.4em .6em;margin:.4em 0}a{color:#174ea6}"
)


def as_page(findings: Sequence[Finding], inspection: Inspection, name: str) -> str:
    """HTML text.

    Args:
        findings: the worst first, those of a kind together.
        inspection: of the set, for the pictures.
        name: of the data set.
    """
    title = f"Check of {cut(visible(name), 80)}"
    groups = [(kind, list(group)) for kind, group in groupby(findings, key=lambda finding: finding.kind)]
    read = sum(picture.is_read for picture in inspection.pictures.values())
    summary = f"{counts(findings)} in {read} images." if findings else f"Nothing found in {read} images."
    return (
        '<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content="width=device-width,initial-scale=1">'
        f"<title>{_text(title)}</title><style>{STYLE}</style><h1>{_text(title)}</h1><p>{_text(summary)}</p>"
        f"{_overview(groups)}{''.join(_section(kind, same, inspection) for kind, same in groups)}</html>\n"
    )


def _overview(groups: Sequence[tuple[str, list[Finding]]]) -> str:
    if not groups:
        return ""
    rows = "".join(
        f"<tr><td>{_badge(same[0].severity)}<td><a href=#{_text(kind)}>{_text(kind)}</a><td class=number>{len(same)}"
        f"<td>{_text(_meaning(kind))}</tr>"
        for kind, same in groups
    )
    return f"<table><tr><th><th>kind<th>findings<th>meaning</tr>{rows}</table>"


def _section(kind: str, findings: list[Finding], inspection: Inspection) -> str:
    pictures: list[str] = []
    others: list[str] = []
    shown: set[str] = set()
    for finding in findings[:MOST_LISTED]:
        content = None
        if finding.image and len(pictures) < MOST_PICTURES and finding.image not in shown:
            same = [other for other in findings if other.image == finding.image]
            content = sheet.picture(
                inspection, finding.image, {other.landmark for other in same if other.landmark}, beside="duplicate" in kind
            )
            if content:
                shown.add(finding.image)
                encoded = base64.b64encode(content).decode()
                caption = " ".join(_text(cut(visible(other.message), 300)) for other in same[:4])
                pictures.append(
                    f'<figure><img alt="{_text(finding.image)}" src="data:image/jpeg;base64,{encoded}">'
                    f"<figcaption><b>{_text(finding.image)}</b> {caption}</figcaption></figure>"
                )
        if content is None and (finding.image is None or finding.image not in shown):
            others.append(f"<li>{_text(cut(visible(finding.message), 300))}</li>")
    more = f"<li>and {len(findings) - MOST_LISTED} more</li>" if len(findings) > MOST_LISTED else ""
    fixes = list(dict.fromkeys(finding.fix for finding in findings))
    fix = fixes[0] if len(fixes) == 1 or kind not in CHECKS else CHECKS[kind].fix
    sheet_of = f"<div class=sheet>{''.join(pictures)}</div>" if pictures else ""
    listed = f"<ul>{''.join(others)}{more}</ul>" if others or more else ""
    return (
        f"<h2 id={_text(kind)}>{_badge(findings[0].severity)}{_text(kind)} ({len(findings)})</h2><p>{_text(_meaning(kind))}</p>"
        f"<p class=fix>{_text(fix)}</p>"
        f"{sheet_of}{listed}"
    )


def _meaning(kind: str) -> str:
    text = CHECKS[kind].meaning if kind in CHECKS else ""
    return f"{text[:1].upper()}{text[1:]}." if text else ""


def _badge(severity: str) -> str:
    return f"<span class='severity {_text(severity)}'>{_text(severity)}</span>"


def _text(value: object) -> str:
    return html.escape(visible(str(value)), quote=True)
