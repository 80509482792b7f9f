"""``report.html`` of an evaluation: figures with intervals, charts, pictures and tables in one file."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from scn_tf.figures import canvas, charts, pages, pictures
from scn_tf.messages import cut, visible
from scn_tf.scoring import agreement, alignment, gallery, raters_report, scores, trust_report
from scn_tf.scoring.gallery import Evaluated, Gallery
from scn_tf.types import Array, known

LISTED_POINTS, LISTED_IMAGES = 20, 500
SOURCES = "Images were drawn with repetition, each with all its points. Intervals hold for other images, not for other trainings."


def write(title: str, summary: dict[str, Any], found: Evaluated, curve: bytes, source: gallery.Source, sample: alignment.Sample) -> str:
    """HTML text of the report. The images that it shows are read again, one at a time.

    Args:
        title: of the page.
        summary: of :func:`scn_tf.scoring.scores.summarize`, with ``intervals95``, ``measurements``, ``trust`` and ``raters``.
        found: points and errors.
        curve: PNG of the errors' distribution.
        source: data set, settings and heatmaps for the pictures.
        sample: network inputs for the mean image.
    """
    shown = gallery.draw(found, source)
    where, explained = _where(found, source, sample)
    sections = {
        "Figures": _figures(summary),
        "Measurements": _measurements(summary),
        "Distribution of errors": pages.pictures([pages.picture(curve, "png", "cumulative error distribution"), _boxes(found)]),
        "Direction of errors": where + explained,
        "How far to trust the answers": trust_report.section(summary, found),
        "Raters": raters_report.section(summary, found.rated),
        **_pictures(shown, heatmaps=source.maps is not None, stated=found.stated is not None),
        "Landmarks": pages.table(_landmarks(found)),
        "Images": _images(found),
        "Largest errors": pages.table(_largest(found), texts=(0, 1)),
    }
    sections = {name: content for name, content in sections.items() if content}
    return pages.page(title, pages.links(sections) + "".join(pages.section(name, content) for name, content in sections.items()))


def curve(errors: Array, unit: str, label: str) -> bytes:
    """PNG of the cumulative distribution of errors (I, N), which may contain NaN."""
    return canvas.png(pictures.error_curve(errors[np.isfinite(errors)], unit=unit, label=cut(visible(label), 80)))


def _figures(summary: dict[str, Any]) -> str:
    lines = f"<pre>{pages.text_block(scores.table(summary))}</pre>"
    if not summary["intervals95"]:
        return lines + pages.paragraph("One image gives no confidence intervals.", note=True)
    return lines + pages.table(scores.with_intervals(summary), sort=False) + pages.paragraph(SOURCES, note=True)


def _measurements(summary: dict[str, Any]) -> str:
    if not summary["measurements"]:
        return ""
    note = "Errors are found minus annotated values. About 95 % of the errors lie between the limits of agreement (mean ± 1.96 SD)."
    share = summary.get("measurements_coverage95_percent")
    if share is not None:
        note += (
            f" {share:.1f} % of the annotated values lie in the interval that should contain 95 %. This holds over all measurements "
            "together, and takes errors of different landmarks for independent: single measurements may have more or less."
        )
    return pages.table(agreement.table(summary["measurements"]), texts=(0, 1)) + pages.paragraph(note, note=True)


def _boxes(found: Evaluated) -> str:
    drawn = charts.box_plots(found.names, found.measured, found.unit)
    if drawn is None:
        return ""
    content, count = drawn
    total = int(np.isfinite(found.measured).any(axis=0).sum())
    which = f"The {count} of {total} landmarks with the largest medians. " if count < total else ""
    caption = f"{which}Boxes hold the middle half of the errors of a landmark, whiskers 5 to 95 %."
    return pages.picture(content, "png", "errors per landmark", caption)


def _where(found: Evaluated, source: gallery.Source, sample: alignment.Sample) -> tuple[str, str]:
    """Picture of the error ellipses, and the list of the landmarks' numbers in it."""
    size = known(source.model.image_size)
    mean, fits = alignment.mean_shape(found.truth)
    vectors = alignment.error_vectors(found.found, found.truth, fits)
    image = alignment.mean_image(sample.images, fits, size)
    content, factor, numbers = charts.error_ellipses(image, alignment.grid_step(size), mean, vectors)
    larger = f" Errors are drawn {factor} times as large." if factor > 1 else ""
    caption = (
        f"Mean of {len(sample.images)} images, aligned to the mean shape. Green: mean true points. Red: ellipses around about 95 % of "
        f"the found points, for landmarks with at least three errors. Orange: mean error.{larger}"
    )
    named = ""
    counted = [found.names[number] for number in numbers] == list(map(str, numbers))
    if not counted and len(numbers) <= charts.MAX_NUMBERED:
        named = pages.paragraph(", ".join(f"{number} {pages.name(found.names[number])}" for number in numbers), note=True)
    return pages.picture(content, "jpeg", "error ellipses on the mean image", caption, whole=len(size) == 3), named


def _pictures(shown: Gallery, *, heatmaps: bool, stated: bool) -> dict[str, str]:
    colours = "True points are green (+), found ones red (x). Names mark points with at least twice the mean error of their image."
    if stated:
        colours += " Blue circles should contain the true point in 95 of 100 cases. Squares mark landmarks that were reported as absent."
    below = " Below are the heatmaps, the maximum over all landmarks, with these points (found: blue)." if heatmaps else ""
    return {
        "Worst images": pages.paragraph(colours + below) + shown.worst if shown.worst else "",
        "Random images": shown.random and pages.paragraph("Drawn by a fixed seed, so that they stand for the others.") + shown.random,
        "Worst points": shown.points,
    }


def _landmarks(found: Evaluated) -> list[tuple[object, ...]]:
    """The table of ``per_landmark.csv`` with titles for readers."""
    head, *rows = scores.per_landmark(found.names, found.errors, found.unit, errors_percent=found.percent, trained=found.trained)
    titles = {
        f"pe_mean_{found.unit}": f"mean error ({found.unit})",
        f"pe_median_{found.unit}": "median",
        f"pe_max_{found.unit}": "largest",
        "sdr_2_percent": "within 2 mm (%)",
        "nme_percent": "mean (%)",
        "pck_1_percent": "within 1 % (%)",
    }
    return [tuple(titles.get(str(title), title) for title in head), *((pages.name(row[0]), *row[1:]) for row in rows)]


def _images(found: Evaluated) -> str:
    """Table of the images, worst first."""
    numbers = gallery.worst_images(found.errors, found.trained, len(found.ids))
    rows: list[Sequence[object]] = [("image", "points", f"mean error ({found.unit})", f"largest ({found.unit})", "largest at")]
    for number in numbers[:LISTED_IMAGES]:
        errors = found.measured[number]
        place = int(np.nanargmax(errors))
        figures = int(np.isfinite(errors).sum()), f"{np.nanmean(errors):.3f}", f"{errors[place]:.3f}"
        rows.append((pages.name(found.ids[number]), *figures, pages.name(found.names[place])))
    note = pages.paragraph(f"The {LISTED_IMAGES} worst of {len(numbers)} images.", note=True) if len(numbers) > LISTED_IMAGES else ""
    return pages.table(rows, texts=(0, 4)) + note


def _largest(found: Evaluated) -> list[tuple[object, ...]]:
    points = gallery.worst_points(found.errors, found.trained, LISTED_POINTS)
    head = ("image", "landmark", f"error ({found.unit})")
    return [head, *((pages.name(found.ids[i]), pages.name(found.names[n]), f"{found.errors[i, n]:.2f}") for i, n in points)]
