"""The ``scn-tf`` command; ``train.py``, ``evaluate.py`` and ``export/*.py`` call it too.

TensorFlow is imported inside the commands: help and most mistakes answer at once.
"""

import argparse
import datetime
import os
import sys
import warnings
from pathlib import Path

from scn_tf import config

# A first run on the embedded set should end while one is still looking.
SYNTHETIC_DEFAULTS = {"train.minutes": 4.0, "train.batch_size": 2, "train.learning_rate": 1e-3, "heatmap.sigma": 1.5}


def main(arguments=None, *, prog="scn-tf"):
    """Run a command line; returns the exit status."""
    parser = build_parser(prog)
    options, unknown = parser.parse_known_args(arguments)
    if unknown:
        return _fail(f"{unknown[0].split('=')[0]}: unknown argument{_suggest(unknown[0])}", status=2)
    if options.command is None:
        parser.print_help()
        return 2
    warnings.showwarning = _show_warning
    _start_tensorflow()
    from scn_tf import callbacks, checkpoints, files
    from scn_tf.data import dataset, images

    expected = (
        config.ConfigError,
        dataset.DatasetError,
        images.ImageError,
        checkpoints.CheckpointError,
        files.WriteError,
        callbacks.TrainingDiverged,
    )
    try:
        return options.run(options) or 0
    except expected as error:
        return _fail(str(error), status=1)
    except KeyboardInterrupt:
        return _fail("interrupted; a training goes on from its last checkpoint with --resume.", status=130)


def build_parser(prog):
    parser = argparse.ArgumentParser(prog=prog, description="Find anatomical landmarks with SpatialConfiguration-Net.", allow_abbrev=False)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")

    train = commands.add_parser("train", help="train a network", allow_abbrev=False, description=(
        "Train a network. Without options: on synthetic hands, a few minutes. "
        "Any setting of a config file can be given as --section.field VALUE."))  # fmt: skip
    train.add_argument("--config", type=Path, metavar="FILE", help="YAML file, see configs/")
    train.add_argument("--run_dir", type=Path, metavar="DIR", help="folder to write (default: a new one in runs/)")
    train.add_argument("--resume", action="store_true", help="go on with the run in --run_dir")
    for name, field in config.field_names().items():
        allowed = config.allowed_values(field)
        hint = f" [{'|'.join(allowed)}]" if allowed else ""
        default = "" if field.default is None else f" (default: {field.default})"
        train.add_argument(
            f"--{name}",
            metavar="VALUE",
            nargs="+",
            default=argparse.SUPPRESS,
            help=f"{field.description}{hint}{default}".replace("%", "%%"),
        )
    train.set_defaults(run=run_train)

    evaluate = commands.add_parser("evaluate", help="measure a run on an annotated split", allow_abbrev=False)
    evaluate.add_argument("run_folder", type=Path, metavar="RUN", help="run folder")
    evaluate.add_argument("--split", default="val", help="name of the split (default: val)")
    evaluate.add_argument("--data.root", dest="root", type=Path, metavar="DIR", help="data set (default: that of the run)")
    evaluate.add_argument("--out", type=Path, metavar="DIR", help="folder to write (default: RUN/evaluation/SPLIT)")
    evaluate.set_defaults(run=run_evaluate)

    predict = commands.add_parser("predict", help="find landmarks in images", allow_abbrev=False)
    predict.add_argument("model", type=Path, metavar="MODEL", help="run folder, .keras file or exported SavedModel")
    predict.add_argument("images", nargs="+", metavar="IMAGE", help="image files or folders of them")
    predict.add_argument("--out", type=Path, default=Path("predictions.csv"), metavar="FILE", help="table (default: predictions.csv)")
    predict.add_argument("--overlay", type=Path, metavar="DIR", help="also write pictures with the landmarks drawn in")
    predict.set_defaults(run=run_predict)

    export = commands.add_parser("export", help="write a SavedModel for TF Serving", allow_abbrev=False)
    export.add_argument("run_folder", type=Path, metavar="RUN", help="run folder")
    export.add_argument("out", type=Path, metavar="OUT", help="folder; the model goes to OUT/1 or the next free number")
    export.set_defaults(run=run_export)
    return parser


def run_train(options):
    given = {name: " ".join(text) for name, text in vars(options).items() if name in config.field_names()}
    if options.resume:
        if options.run_dir is None:
            raise config.ConfigError("--resume: needs --run_dir, the run to go on with.")
        if given or options.config:
            raise config.ConfigError("--resume: goes on with the run's own settings; no others can be given.")
        settings = config.Config()
    else:
        values = config.read_yaml(options.config) if options.config else {}
        merged = config.override(values, given)
        if not (merged.get("data") or {}).get("root"):
            unset = {n: v for n, v in SYNTHETIC_DEFAULTS.items() if n.split(".")[1] not in (merged.get(n.split(".")[0]) or {})}
            merged = config.override(merged, unset)
        settings = config.from_dict(merged, source=str(options.config or "command line"))
    stamp = datetime.datetime.now().strftime("%Y%m%d-%H%M%S")
    run_dir = options.run_dir or Path("runs") / f"{options.config.stem if options.config else 'run'}-{stamp}"

    from scn_tf import evaluation, training

    best = training.train(settings, run_dir, resume=options.resume)
    split = config.load(run_dir / "config.yaml").data.val_split
    summary, out = evaluation.evaluate(run_dir, split)
    print(f"\nBest network: epoch {best['epoch']}, on split {split}:\n{evaluation.table(summary)}\n")
    for label, path in (("model", "model.keras"), ("history", "history.csv"), ("report", out / "report.html")):
        print(f"{label:8s} {path if isinstance(path, Path) else run_dir / path}")


def run_evaluate(options):
    from scn_tf import evaluation

    summary, out = evaluation.evaluate(options.run_folder, options.split, root=options.root, out=options.out)
    print(f"{evaluation.table(summary)}\n\nreport   {out / 'report.html'}")


def run_predict(options):
    import numpy as np
    from tqdm import tqdm

    from scn_tf import evaluation, files, pictures, predict
    from scn_tf.data import images

    paths = predict.find_images(options.images)
    predictor = predict.load(options.model)
    found, failures = {}, 0
    for path in tqdm(paths, desc="Finding landmarks", unit="image", leave=False, disable=None):
        identity = images.stem(path)
        try:
            if identity in found:
                raise images.ImageError(f"{path}: the ID {identity} came before; skipped.")
            found[identity] = predictor.predict(path)
        except images.ImageError as error:
            failures += 1
            _fail(str(error), status=1)
            continue
        if options.overlay:
            prediction = found[identity]
            picture = pictures.overlay_figure(prediction.image.array, prediction.array_landmarks, prediction.names)
            with files.replaced(options.overlay / f"{identity}.png") as temporary:
                temporary.write_bytes(pictures.encode_png(picture))
        found[identity] = found[identity]._replace(image=None)  # keep points, not pixels
    if found:
        points = np.stack([prediction.landmarks for prediction in found.values()])
        scores = np.stack([prediction.scores for prediction in found.values()])
        files.write_text(options.out, evaluation.predictions_csv(found, predictor.names, points, scores))
        coordinates = next(iter(found.values())).coordinates
        print(f"{len(found)} images, {len(predictor.names)} landmarks each, {coordinates} coordinates: {options.out}")
    return 1 if failures else 0


def run_export(options):
    from scn_tf import serving

    print(f"SavedModel: {serving.export_saved_model(options.run_folder, options.out)}")


def _start_tensorflow():
    """Import TensorFlow and find its devices without the lines that its C++ side prints before its log level counts."""
    if os.environ.get("TF_CPP_MIN_LOG_LEVEL") != "3":
        return  # someone wants to see them
    sys.stderr.flush()
    kept, sink = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(sink, 2)
        import tensorflow as tf

        tf.config.list_physical_devices()
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(sink)


def _fail(message, *, status):
    print(f"error: {message}", file=sys.stderr)
    return status


def _show_warning(message, category, filename, lineno, file=None, line=None):
    print(f"warning: {message}", file=sys.stderr)


def _suggest(argument):
    if argument.startswith("--"):
        name = argument[2:].split("=")[0]
        return config.nearest(name, [*config.field_names(), "config", "run_dir", "resume"])
    return "."
