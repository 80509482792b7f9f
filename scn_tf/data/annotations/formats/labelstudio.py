"""Label Studio: JSON and JSON-MIN exports, one file for all images, points in percent of the image."""

import json
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple
from urllib.parse import parse_qs, unquote, urlsplit

from scn_tf.data import endings
from scn_tf.data.annotations.gathering import flat, gathered, image_size, present
from scn_tf.data.annotations.identities import file_names, identities
from scn_tf.data.annotations.json_items import Item, read_document, shown
from scn_tf.data.annotations.row import AnnotationFormat, Annotations, Expected
from scn_tf.data.images.facts import ImageFacts
from scn_tf.data.images.formats import IMAGE_FORMATS
from scn_tf.errors import DatasetError, DataWarning
from scn_tf.storage import files
from scn_tf.storage.files import counted
from scn_tf.storage.json_documents import top_keys

ANSWERS = ("annotations", "completions")  # the second is the name of versions before 1.0
MIN_KEYS = {"annotation_id", "annotator", "lead_time"}  # which only JSON-MIN has at the top of a task
KIND = "keypointlabels"


class Point(NamedTuple):
    """A point in fractions of its image, with the size (x, y) of the image in pixels if it is stated."""

    fraction: tuple[float, float]
    size: tuple[int, int] | None


def read(path: Path, expected: Expected) -> Annotations:
    """Read the labelled key points of all tasks. Their labels are the names of the landmarks.

    Cancelled annotations are ignored. Of several annotations of a task the one marked as ground truth counts, else the first, with a
    warning. The frame is "pixel" if all points state the size of their image, else "fraction".

    Raises:
        DatasetError: the file is no valid export, has no key points, or a label twice in a task.
    """
    document = read_document(path)
    tasks = [document] if isinstance(document.value, dict) else document.items()
    found: dict[str, dict[str, Point]] = {}  # by the image as written
    several: list[str] = []
    for task in tasks:
        minimal = not {"data", *ANSWERS} & set(task.object())
        points: dict[str, Point] = {}
        for result in _minimal(task) if minimal else _results(task, several):
            for name, point in _points(result):
                if name in points:
                    raise DatasetError(f"{path}: {result.place}: the label {shown(name)} appears twice. Expected one point per label.")
                points[name] = point
        if points:
            image = _image(task if minimal else task.get("data"))
            if image in found:
                raise DatasetError(f"{path}: {task.place}: a second task of image {shown(image)}.")
            found[image] = points
    if not found:
        raise DatasetError(f"{path}: expected tasks with annotations of type {KIND}, received none.")
    if several:
        warnings.warn(
            f"{path}: {counted(len(several), 'task')} with several annotations, such as that of {shown(several[0])}. The first of each is "
            "used. Mark one as ground truth to choose it.",
            DataWarning,
            stacklevel=2,
        )
    return _scaled(path, found)


def _scaled(path: Path, found: Mapping[str, Mapping[str, Point]]) -> Annotations:
    """Annotations of the points by image: in pixels if all state the size of their image."""
    ids = identities(path, map(_file_name, found))
    known = all(point.size for points in found.values() for point in points.values())
    scaled: dict[str, dict[str, list[float]]] = {}
    written: dict[str, str] = {}
    sizes: dict[str, tuple[int, ...]] = {}
    for image, points in found.items():
        image_id = ids[_file_name(image)]
        if image_id in scaled:
            raise DatasetError(f"{path}: two tasks of image {shown(image)}.")
        stated = {point.size for point in points.values() if point.size}
        if len(stated) > 1:
            raise DatasetError(f"{path}: the points of image {shown(image)} state different sizes of it.")
        for size in stated:
            sizes[image_id] = size
        x, y = sizes[image_id] if known else (1, 1)
        written[image_id] = _file_name(image)
        scaled[image_id] = {name: [point.fraction[0] * x, point.fraction[1] * y] for name, point in points.items()}
    return gathered(path, scaled, dims=2, frame="pixel" if known else "fraction", written=written, sizes=sizes)


def _results(task: Item, several: list[str]) -> list[Item]:
    """Results of the annotation that counts of a task. A task with several is noted in ``several``."""
    key = next((key for key in ANSWERS if key in task.object()), ANSWERS[0])
    answers = [answer for answer in task.get(key).items(optional=True) if not answer.get("was_cancelled").value]
    true = [answer for answer in answers if answer.get("ground_truth").value]
    if len(true) != 1 and len(answers) > 1:
        several.append(_image(task.get("data")))
    return [result for answer in (true[:1] or answers[:1]) for result in answer.get("result").items(optional=True)]


def _minimal(task: Item) -> Iterator[Item]:
    """Results of a task of JSON-MIN, in which a result is its own value."""
    for key, value in task.object().items():
        if isinstance(value, list):
            yield from (item for item in task.get(key).items() if isinstance(item.value, dict))


def _points(result: Item) -> Iterator[tuple[str, Point]]:
    """(label, point) of a result; none if it is of another type, such as a box."""
    value = result.get("value") if "value" in result.object() else result
    if not isinstance(value.value, dict) or KIND not in value.object():
        return
    labels = value.get(KIND).items()
    if len(labels) != 1:
        raise value.get(KIND).wrong("one label")
    if result.get("image_rotation").value not in (None, 0):
        raise result.get("image_rotation").wrong("0: points of turned images are not read. Turn the image before it is annotated")
    width, height = result.get("original_width").size(), result.get("original_height").size()
    size = (width, height) if width and height else None
    yield labels[0].text(), Point((value.get("x").number() / 100, value.get("y").number() / 100), size)


def _image(data: Item) -> str:
    """Path or address of the image of a task: the value with the ending of an image, else that of ``image``."""
    texts = {key: value for key, value in data.object().items() if isinstance(value, str) and value}
    for value in texts.values():
        if endings.fitting(IMAGE_FORMATS.values(), Path(_file_name(value))) is not None:
            return value
    return data.get("image").text()


def _file_name(address: str) -> str:
    """Path of an image in an address. Local files have it in the query: ``/data/local-files/?d=a/b.png`` -> ``a/b.png``."""
    try:
        parts = urlsplit(address)
        local = parse_qs(parts.query).get("d")
    except ValueError:
        return address
    if local and parts.path.rstrip("/").endswith("local-files"):
        return local[0]
    return unquote(parts.path) if (parts.scheme and parts.netloc) or parts.path.startswith("/data/") else address


def recognises(path: Path, head: bytes) -> bool:
    """Whether a JSON file is a list of tasks, or one task."""
    kind, keys = top_keys(head)
    tasks = "data" in keys and bool(keys & {*ANSWERS, "predictions"})
    return tasks if kind == "{" else kind == "[" and (tasks or bool(keys & MIN_KEYS))


def write(path: Path, annotations: Annotations, facts: Mapping[str, ImageFacts]) -> None:
    """Write one task per image, for the labelling interface ``<KeyPointLabels name="label" toName="image">``. Missing points are left out.

    Raises:
        DatasetError: points are 3D, or the size of an image is not known.
        WriteError: the file cannot be written.
    """
    written = file_names(path, flat(path, annotations, "Label Studio"), facts)
    tasks = []
    for image_id in annotations.points:
        width, height = image_size(path, annotations, facts, image_id)
        scores = annotations.scores.get(image_id)
        results = []
        for number, name, (x, y) in present(annotations, image_id):
            value = {"x": 100 * x / width, "y": 100 * y / height, "width": 0.5, KIND: [name]}
            result = {"id": f"p{number + 1}", "type": KIND, "from_name": "label", "to_name": "image", "image_rotation": 0}
            result |= {"original_width": width, "original_height": height, "value": value}
            results.append(result if scores is None else {**result, "score": float(scores[number])})
        # Label Studio adds times to what it exports, so such a file is never written over.
        data = {"image": written[image_id]}
        tasks.append({"data": data, "meta": {"source": "scn_tf"}, "annotations": [{"result": results}]})
    files.write_text(path, json.dumps(tasks, indent=1, ensure_ascii=False) + "\n")


LABELSTUDIO = AnnotationFormat(
    name="labelstudio",
    endings=(".json",),
    description="Label Studio, JSON or JSON-MIN export of labelled key points",
    read=read,
    write=write,
    recognises=recognises,
    writes="pixel",
    rank=22,
)
