"""``scn-tf check`` finds planted mistakes, and nothing in a set without any."""

import shutil

import numpy as np
import pytest

from benchmarks.copied_sets import Copy, copied
from benchmarks.faults import FAULTS
from benchmarks.planted_faults import is_found
from scn_tf.data import patients, synthetic
from scn_tf.data.dataset import open_dataset
from scn_tf.doctor import CHECKS, Check, Found, examine, register_check
from scn_tf.doctor.finding import SEVERITIES
from tests import dicom_files
from tests.conftest import REPOSITORY

MEMORY = {}  # pictures of the drawn sets, by content
TOGETHER = (  # faults that do not disturb each other: planted at once, into images of their own
    *("file cut short", "file of another format cut short", "file is empty or no image", "16 bits among 8", "colour among grey"),
    *(
        "same file in one split",
        "same file across splits",
        "same pixels across splits",
        "near copy in one split",
        "near copy across splits",
    ),
    *("patient in two splits", "splits overlap", "split names an unknown ID", "image without a row", "row without an image"),
    *("all landmarks of an image absent", "0,0 or -1,-1 for absent", "landmark outside"),
    *("constant", "nearly empty range", "image and points of half the size"),
)
ALONE = (
    *("grey half, saved again", "image resized, points not", "inverted", "clipped", "x and y exchanged, one image"),
    *("y from the bottom, all", "image mirrored", "points mirrored", "image and points mirrored", "y from the bottom, one image"),
    *("list of landmarks shifted", "part of the list shifted", "two rows exchanged", "two distant names exchanged", "deformed shape"),
    *("few training images", "landmark never trained"),
)
VOLUMES = ("image mirrored", "pixel size of a header wrong", "list of landmarks shifted")


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    root = tmp_path_factory.mktemp("doctor") / "set"
    synthetic.generate(root, dims=2, train=22, val=6, seed=1)
    return open_dataset(root)


@pytest.fixture(scope="module")
def volumes(tmp_path_factory):
    root = tmp_path_factory.mktemp("doctor_3d") / "set"
    synthetic.generate(root, dims=3, train=12, val=3, seed=2)
    return open_dataset(root)


def found(root):
    return examine.examine(root, memory=MEMORY)[0]


def planted(source, folder, name, seed=0):
    """Findings in a copy with a fault of the benchmark, and the image that has it."""
    copy = copied(source, folder, np.random.default_rng(seed))
    image = FAULTS[name].plant(copy)
    copy.save()
    return found(copy.root), image


def edited(source, folder, **edits):
    """Findings in a copy after edits: functions of the :class:`Copy`, before or after it is saved."""
    copy = copied(source, folder, np.random.default_rng(0))
    edits.get("before", lambda copy: None)(copy)
    copy.save()
    edits.get("after", lambda copy: None)(copy)
    return found(copy.root)


def test_nothing_is_found_in_drawn_hands(drawn, volumes):
    assert found(drawn.root) == []
    assert found(volumes.root) == []


def test_faults_of_files_and_lists_are_found_each_at_its_image(drawn, tmp_path, monkeypatch):
    copy = copied(drawn, tmp_path, np.random.default_rng(0))
    used = {""}

    def unused(copy, split=None):
        ids = [
            i for i in (copy.splits[split] if split else [*copy.splits["train"], *copy.splits["val"]]) if i in drawn.files and i not in used
        ]
        used.add(str(copy.rng.choice(ids)))
        return next(i for i in ids if i in used)

    monkeypatch.setattr(Copy, "any_id", unused)
    images = {name: FAULTS[name].plant(copy) for name in TOGETHER}
    copy.save()
    findings = found(copy.root)
    assert [name for name in TOGETHER if not is_found(findings, FAULTS[name].kinds, images[name])] == []
    named = {one for image in images.values() for one in ((image,) if isinstance(image, str) else image)}
    # Half of the images that are left are copies of each other, so their shapes say little.
    others = [finding for finding in findings if finding.image not in (None, *named) and finding.kind != "displaced"]
    assert others == []


@pytest.mark.parametrize("name", ALONE)
def test_a_planted_fault_is_found_at_its_image(drawn, tmp_path, name):
    findings, image = planted(drawn, tmp_path, name)
    assert is_found(findings, FAULTS[name].kinds, image), findings
    named = (image,) if isinstance(image, str) else image or ()
    assert [finding for finding in findings if finding.image not in (None, *named)] == []


@pytest.mark.parametrize("name", VOLUMES)
def test_a_fault_planted_into_volumes_is_found(volumes, tmp_path, name):
    findings, image = planted(volumes, tmp_path, name)
    assert is_found(findings, FAULTS[name].kinds, image), findings


def test_millimetres_are_told_from_pixels(drawn, tmp_path):
    def before(copy):
        copy.points["hand_003"] = copy.points["hand_003"] * 0.2

    assert [(f.kind, f.image) for f in edited(drawn, tmp_path / "one", before=before)] == [("unit", "hand_003")]

    def everywhere(copy):
        copy.points = {image_id: points * 0.2 for image_id, points in copy.points.items()}

    assert [(f.kind, f.image) for f in edited(drawn, tmp_path / "all", before=everywhere)] == [("unit", None)]


@pytest.mark.parametrize(("shift", "word"), [(1, "previous"), (-1, "next")])
def test_rows_that_are_all_shifted_by_one_are_noticed(drawn, tmp_path, shift, word):
    def before(copy):
        ids = list(copy.points)
        copy.points = dict(zip(ids, np.roll(np.stack(list(copy.points.values())), shift, axis=0), strict=True))

    findings = [finding for finding in edited(drawn, tmp_path, before=before) if finding.kind == "foreign_points"]
    assert [finding.image for finding in findings] == [None]
    assert f"the {word} row's image" in findings[0].message


def test_the_landmark_is_named(drawn, tmp_path):
    def before(copy):
        copy.points["hand_003"][7] += [0, 25]
        copy.points["hand_005"][[2, 12]] = copy.points["hand_005"][[12, 2]]
        copy.points["hand_006"][4] = -1

    names = drawn.description.names
    findings = {finding.image: finding for finding in edited(drawn, tmp_path, before=before)}
    assert (findings["hand_003"].kind, findings["hand_003"].landmark) == ("displaced", names[7])
    assert findings["hand_005"].kind == "names_exchanged"
    assert names[2] in findings["hand_005"].fix
    assert names[12] in findings["hand_005"].fix
    assert (findings["hand_006"].kind, findings["hand_006"].landmark) == ("placeholder", names[4])
    assert len(findings) == 3


def test_absent_landmarks_are_no_mistake(drawn, tmp_path):
    def before(copy):
        for number, points in enumerate(copy.points.values()):
            points[[number % 5, 9 + number % 7]] = np.nan

    assert edited(drawn, tmp_path, before=before) == []


def test_a_wrong_key_or_row_leaves_the_rest_checked(drawn, tmp_path):
    def after(copy):
        copy.description(chanels=3)
        path = copy.root / "landmarks.csv"
        lines = path.read_text().replace("hand_004,", "hand_004,x").splitlines()
        cells = lines[9].split(",")
        lines[9] = ",".join([*cells[:5], "inf", *cells[6:]])
        path.write_text("\n".join([*lines, lines[2]]) + "\n")
        (copy.root / "images" / "hand_007.png").unlink()
        (copy.root / "images" / "hand_007.png").write_bytes(b"\x89PNG\r\n\x1a\n")

    kinds = {finding.kind: finding for finding in edited(drawn, tmp_path, after=after)}
    assert {"description", "table", "unreadable", "row_twice", "non_finite"} <= set(kinds)
    assert (kinds["row_twice"].image, kinds["non_finite"].image) == ("hand_002", "hand_009")
    assert "chanels" in kinds["description"].message
    assert kinds["table"].image == "hand_004"
    assert kinds["unreadable"].image == "hand_007"


def test_errors_come_first(drawn, tmp_path):
    def before(copy):
        copy.points["hand_006"][4] = -1
        copy.splits["val"].append("hand_001")

    severities = [SEVERITIES.index(finding.severity) for finding in edited(drawn, tmp_path, before=before)]
    assert severities == sorted(severities)
    assert len(set(severities)) == 2


@pytest.mark.parametrize(
    ("image_id", "patient"),
    [
        *(
            ("p012_left", "p012"),
            ("1234_1", "1234"),
            ("sub-01_ses-02_T1w", "sub-01"),
            ("A03_pre", "A03"),
            ("12-b", "12"),
            ("0815.ap", "0815"),
        ),
        *(("hand_003", ""), ("3143", ""), ("001", ""), ("img_12", ""), ("2019_0007", ""), ("IM-0001-0002", ""), ("129S1_SVLMJ_", "")),
    ],
)
def test_ids_tell_patients_where_they_name_one(image_id, patient):
    assert (patients.of_name(image_id) or "") == patient


def test_running_numbers_of_one_study_are_no_patient(drawn, tmp_path):
    def before(copy):
        for number, image_id in enumerate(list(copy.points)):
            copy.rename(image_id, f"study7_{number}")

    assert edited(drawn, tmp_path, before=before) == []


def test_patients_of_dicom_headers_are_compared(drawn, tmp_path):
    def before(copy):
        for image_id, patient in (("hand_001", "K7"), ("hand_025", "K7"), ("hand_002", "K8"), ("hand_026", "K9")):
            array = copy.array(image_id)
            copy.path(image_id).unlink()
            dicom_files.write(copy.root / "images" / f"{image_id}.dcm", array.astype("uint16"), PatientID=patient)

    findings = edited(drawn, tmp_path, before=before)
    assert [finding.image for finding in findings if finding.kind == "patient_in_two_splits"] == ["hand_025"]


def test_images_without_landmarks_are_compared_too(drawn, tmp_path):
    def before(copy):
        copy.write("hand_002", 255 - copy.array("hand_002"))
        del copy.points["hand_002"]

    assert {"inverted", "no_annotation"} <= {finding.kind for finding in edited(drawn, tmp_path, before=before)}


def test_half_a_point_two_points_in_one_place_and_a_list_with_one_id_twice(drawn, tmp_path):
    def before(copy):
        copy.points["hand_003"][5] = copy.points["hand_003"][4]
        copy.points["hand_004"][6, 1] = np.nan
        copy.splits["val"] += ["hand_027", "hand_001.png"]

    kinds = {finding.kind: finding for finding in edited(drawn, tmp_path, before=before)}
    assert {"same_point", "half_point", "listed_twice", "unknown_id"} <= set(kinds)
    assert "Write hand_001" in kinds["unknown_id"].message


def test_what_belongs_to_files_and_lists(drawn, tmp_path):
    def after(copy):
        shutil.copy(copy.path("hand_003"), copy.root / "images" / "hand_003.bmp")
        (copy.root / "images" / "notes.docx").write_bytes(b"x")
        (copy.root / "splits" / "train.txt").write_bytes(b"\xff\xfe\x00")
        (copy.root / "splits" / "val.txt").unlink()

    assert {"same_id", "other_file", "split_file", "missing_split"} <= {f.kind for f in edited(drawn, tmp_path, after=after)}


def test_mm_without_a_frame_or_without_the_landmarks_that_define_them(drawn, tmp_path):
    def physical(copy):
        copy.description(coordinates="physical")

    def rule(copy):
        copy.description(spacing_mm=None, normalization={"landmarks": [1, 5], "distance_mm": 60.0})

    def absent(copy):
        copy.points["hand_004"][5] = np.nan

    findings = edited(drawn, tmp_path / "physical", after=physical)
    assert [(finding.kind, finding.image) for finding in findings] == [("frame_missing", None)]
    findings = edited(drawn, tmp_path / "rule", before=absent, after=rule)
    assert [(finding.kind, finding.image) for finding in findings] == [("normalization_missing", "hand_004")]


def test_a_check_of_another_package_takes_part(drawn, tmp_path):
    row = Check("toy", "note", "there is a set", "Nothing.", lambda inspection: [Found("seen", inspection.ids[0])])
    register_check(row)
    try:
        assert ("toy", "hand_000") in {(finding.kind, finding.image) for finding in found(drawn.root)}
    finally:
        CHECKS.unregister("toy")


def test_the_page_about_checks_has_a_row_for_each():
    rows = sorted(CHECKS.values(), key=lambda row: (SEVERITIES.index(row.severity), row.rank))
    table = "\n".join(f"| `{row.name}` | {row.severity} | {row.meaning} |" for row in rows)
    assert table in (REPOSITORY / "docs" / "checking.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", CHECKS)
def test_every_check_says_what_it_means_and_what_to_do(name):
    row = CHECKS[name]
    assert row.meaning[0].islower() or row.meaning.startswith("dataset")
    assert not row.meaning.endswith(".")
    assert row.fix.endswith(("?", "."))
