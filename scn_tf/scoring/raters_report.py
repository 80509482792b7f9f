"""Section of the report of an evaluation: errors against several raters, beside the raters' own spread."""

from typing import Any

import numpy as np

from scn_tf.figures import charts, pages
from scn_tf.scoring import agreement, raters
from scn_tf.scoring.raters import Rated

COLUMNS = {
    "between_raters": "between two raters",
    "rater_from_others": "a rater from the others",
    "model_from_others": "the model from the others",
    "raters_within_percent": "raters within (%)",
    "within_percent": "model within (%)",
}
MEANING = (
    "The model takes the place of each rater in turn. Both are measured from the mean of the other raters. Within: their distances that "
    "are at most the mean distance of two raters at this landmark."
)
DRAWN = (
    "Each dot is a found point minus the mean of the raters. Lines: mean and limits of agreement (mean ± 1.96 SD), which hold about 95 % "
    "of the dots. Dashed: the limits of a rater against the mean of the others."
)


def section(summary: dict[str, Any], points: Rated | None) -> str:
    """HTML of the section; nothing for a set without raters.

    Args:
        summary: of the evaluation, with ``raters`` (:func:`scn_tf.scoring.raters.summarize`).
        points: of model and raters.
    """
    if points is None:
        return ""
    own = summary[raters.KEY]
    fewer = f"{own['by_fewer']} of {own['points']} landmarks were not annotated by all {len(points.names)} raters. "
    return "".join(
        [
            pages.paragraph(f"All other sections compare with the mean of the raters who annotated a landmark. {fewer}{MEANING}"),
            pages.table(_errors(own)),
            pages.table(_by_landmark(own)),
            _picture(points, own["unit"]),
        ]
    )


def _errors(own: dict[str, Any]) -> list[tuple[object, ...]]:
    rows: list[tuple[object, ...]] = [("model against", "points", f"mean error ({own['unit']})", "median", "SD")]
    for name, one in own["errors"].items():
        title = "mean of the raters" if name == "mean" else pages.name(name)
        rows.append((title, one["points"], *(_number(one[key]) for key in ("mean", "median", "sd"))))
    return rows


def _by_landmark(own: dict[str, Any]) -> list[tuple[object, ...]]:
    rows: list[tuple[object, ...]] = [("landmark", "points", *(_title(key, own["unit"]) for key in COLUMNS))]
    for name, one in [*own["by_landmark"].items(), ("all", own["spread"])]:
        rows.append((pages.name(name), one["points"], *(_number(one[key], 1 if key.endswith("percent") else 3) for key in COLUMNS)))
    return rows


def _title(key: str, unit: str) -> str:
    return COLUMNS[key] if key.endswith("percent") else f"{COLUMNS[key]} ({unit})"


def _number(value: float | None, decimals: int = 3) -> str:
    return "" if value is None else f"{value:.{decimals}f}"


def _picture(points: Rated, unit: str) -> str:
    panels = {}
    for number, axis in enumerate(raters.AXES[: points.found.shape[-1]]):
        middle, model, own = raters.differences(points, number)
        limits = [agreement.figures(values, unit)["limits_of_agreement"] for values in (model, own)]
        panels[axis] = charts.Differences(middle, model, *limits)
    if not any(np.size(panel.difference) for panel in panels.values()):
        return ""
    return pages.pictures([pages.picture(charts.bland_altman(panels, unit), "png", "Bland-Altman picture", DRAWN, whole=True)])
