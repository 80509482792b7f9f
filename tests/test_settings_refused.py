"""Every setting is accepted with a meaning, or refused by its name in one line."""

import math

import pytest
import yaml

from scn_tf import config
from scn_tf.data.description import Description, Normalization, read_description
from scn_tf.errors import DatasetError

ODD = [
    math.nan,
    math.inf,
    -math.inf,
    -1,
    0,
    1e300,
    10**30,
    1e-300,
    True,
    False,
    "",
    "word",
    "nan",
    [],
    [1],
    [math.nan, 1],
    {},
    {"a": 1},
    None,
]
ODD += ["x" * 100_000, "a\nb", [[1]], [True, True], -(10**30), "1" * 5000]
FIELDS = config.field_names()
NUMBERS = [name for name, field in FIELDS.items() if "float" in str(field.annotation) or "int" in str(field.annotation)]


@pytest.mark.parametrize("name", FIELDS)
def test_odd_values_of_every_setting(name):
    section, field = name.split(".")
    for value in ODD:
        message = refusal(lambda value=value: resolved({section: {field: value}}))
        assert message is None or (section in message and len(message) < 500), (value, message)


def resolved(values):
    for dims in (2, 3):
        config.from_dict(values, source="case").resolved(dims)


def refusal(act):
    """What an action refuses with, None if it does not."""
    try:
        act()
    except (config.ConfigError, DatasetError, ValueError) as error:
        return str(error)
    return None


@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, True, [math.nan, math.nan], "nan"])
def test_no_number_is_nan_infinite_or_a_boolean(name, value):
    section, field = name.split(".")
    with pytest.raises(config.ConfigError, match=field):
        config.from_dict({section: {field: value}}, source="case")


@pytest.mark.parametrize("text", ["nan", "inf", "-inf", "1e999", "²", "²,²", "1,²", "9" * 5000])
def test_odd_numbers_of_the_command_line_are_refused_by_name(text):
    for name in ("train.learning_rate", "train.epochs", "model.image_size", "augment.rotation"):
        with pytest.raises(config.ConfigError, match=name.split(".")[1]) as caught:
            config.from_dict(config.override({}, {name: text}))
        assert len(str(caught.value)) < 400


@pytest.mark.parametrize("section", [5, [1], "x", True])
def test_a_section_that_is_no_mapping_is_named(section):
    with pytest.raises(config.ConfigError, match="train: expected fields with values"):
        config.override({"train": section}, {"train.epochs": "3"})


GOOD = {"name": "hands", "dims": 2, "landmarks": 3}


@pytest.fixture
def described(tmp_path):
    """Function values -> :class:`Description` through a ``dataset.yaml``; JSON is YAML, but for NaN."""

    def read(values):
        path = tmp_path / "dataset.yaml"
        path.write_text(yaml.safe_dump(values, allow_unicode=True))
        return read_description(path)

    return read


@pytest.mark.parametrize("key", Description.model_fields)
def test_odd_values_of_every_key_of_a_description(key, described):
    for value in ODD:
        if isinstance(value, str) and len(value) > 10_000:
            value = value[:10_000]
        message = refusal(lambda value=value: described({**GOOD, key: value}))
        assert message is None or (f"dataset.yaml: {key}" in message and "\n" not in message and len(message) < 600), (value, message)


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"spacing_mm": [math.nan, 1]}, "spacing_mm"),
        ({"spacing_mm": [1, math.inf]}, "spacing_mm"),
        ({"spacing_mm": [0, 1]}, "spacing_mm"),
        ({"spacing_mm": [-1, 1]}, "spacing_mm"),
        ({"spacing_mm": [1e300, 1]}, "spacing_mm"),
        ({"spacing_mm": [1e-300, 1]}, "spacing_mm"),
        ({"spacing_mm": [True, True]}, "spacing_mm"),
        ({"spacing_mm": ["a", 1]}, "spacing_mm"),
        ({"spacing_mm": [1]}, "spacing_mm: expected 2 positive numbers"),
        ({"spacing_mm": [1, 1, 1]}, "spacing_mm: expected 2 positive numbers"),
        ({"spacing_mm": 1}, "spacing_mm"),
        ({"normalization": {"landmarks": [0, 1], "distance_mm": math.nan}}, "normalization.distance_mm"),
        ({"normalization": {"landmarks": [0, 1], "distance_mm": math.inf}}, "normalization.distance_mm"),
        ({"normalization": {"landmarks": [0, 1], "distance_mm": 0}}, "normalization.distance_mm"),
        ({"normalization": {"landmarks": [0, 3], "distance_mm": 5}}, "normalization.landmarks"),
        ({"normalization": {"landmarks": [1, 1], "distance_mm": 5}}, "normalization.landmarks"),
        ({"normalization": {"landmarks": [-1, 1], "distance_mm": 5}}, "normalization.landmarks"),
        ({"normalization": {"landmarks": [1], "distance_mm": 5}}, "normalization.landmarks"),
        ({"normalization": [1, 2]}, "normalization"),
        ({"landmarks": 0}, "landmarks"),
        ({"landmarks": -3}, "landmarks"),
        ({"landmarks": 10**9}, "landmarks"),
        ({"landmarks": 2.5}, "landmarks"),
        ({"landmarks": True}, "landmarks"),
        ({"landmarks": []}, "landmarks"),
        ({"landmarks": ["a", "a"]}, "landmarks: .* received 'a' twice"),
        ({"landmarks": ["a", ""]}, "landmarks"),
        ({"landmarks": ["a", "  "]}, "landmarks"),
        ({"landmarks": ["a", "b\nc"]}, "landmarks"),
        ({"landmarks": ["a", "b" * 500]}, "landmarks"),
        ({"landmarks": [1, 2]}, "landmarks: .* in quotation marks"),
        ({"landmarks": {"a": 1}}, "landmarks"),
        ({"annotations": "/etc/passwd"}, "annotations"),
        ({"annotations": "../other.csv"}, "annotations"),
        ({"annotations": "a/../../b.csv"}, "annotations"),
        ({"annotations": "C:\\table.csv"}, "annotations"),
        ({"annotations": "..\\table.csv"}, "annotations"),
        ({"annotations": ""}, "annotations"),
        ({"flip_pairs": [[0, 3]]}, "flip_pairs"),
        ({"flip_pairs": [[0, 0]]}, "flip_pairs"),
        ({"flip_pairs": [[0, 1], [1, 2]]}, "flip_pairs"),
        ({"flip_pairs": [[0, 1, 2]]}, "flip_pairs"),
        ({"flip_pairs": [[-1, 1]]}, "flip_pairs"),
        ({"labels": ["a", "a"]}, "labels"),
        ({"labels": ["a", ""]}, "labels"),
        ({"labels": [str(number) for number in range(257)]}, "labels: expected at most 256, received 257"),
        ({"channels": 2}, "channels"),
        ({"channels": True}, "channels"),
        ({"dims": "two"}, "dims"),
        ({"name": ""}, "name"),
        ({"name": False}, "name: .* needs quotation marks"),
        ({"coordinates": "mm"}, "coordinates"),
    ],
)
def test_a_description_that_cannot_be_is_refused_by_its_key(values, named, described):
    with pytest.raises(DatasetError, match=rf"dataset\.yaml: {named}"):
        described({**GOOD, **values})


@pytest.mark.parametrize("values", [[], "text", 5, None])
def test_a_description_without_keys_is_refused(values, described):
    with pytest.raises(DatasetError, match="expected keys and values"):
        described(values)


def test_what_is_right_stays_right(described):
    found = described(
        {**GOOD, "spacing_mm": [0.5, 2], "annotations": "official/all.csv", "flip_pairs": [[0, 2]], "normalization": {"landmarks": [0, 2]}}
    )
    assert found.normalization == Normalization(landmarks=(0, 2), distance_mm=None)
    assert (found.spacing_mm, found.names) == ((0.5, 2.0), ("0", "1", "2"))
    assert found.exchange == (2, 1, 0)
    assert described({**GOOD, "flip_pairs": []}).exchange == (0, 1, 2)
