"""The ``scn-tf`` command; ``train.py``, ``evaluate.py`` and most of ``export/*.py`` call it too.

TensorFlow is imported after the command line was read: help and misspelt options answer at once.
"""

import argparse
import contextlib
import datetime
import re
import sys
import warnings
from pathlib import Path

from scn_tf import __version__, config
from scn_tf.quiet import import_tensorflow

RUN = "run folder, its model file, or name of a model that comes along (scn-tf models)"
EXPORTS = {".tflite": "tflite", ".onnx": "onnx"}
# A first run on the embedded set should end while one is still looking.
SYNTHETIC_DEFAULTS = {"train.minutes": 4.0, "heatmap.sigma": 1.5}


def main(arguments=None, *, prog="scn-tf"):
    """Run a command line; returns the exit status."""
    parser = build_parser(prog)
    options, unknown = parser.parse_known_args(arguments)
    if unknown:
        return _fail(f"{unknown[0].split('=')[0]}: unknown argument{_suggest(unknown[0], parser, options.command)}", status=2)
    if options.command is None:
        parser.print_help()
        return 2
    warnings.showwarning = _show_warning
    import_tensorflow()
    from scn_tf import callbacks, checkpoints, extras, files, serving
    from scn_tf.data import errors, images

    expected = (
        config.ConfigError,
        errors.DatasetError,
        images.ImageError,
        checkpoints.CheckpointError,
        files.WriteError,
        callbacks.TrainingDiverged,
        serving.ConversionError,
        extras.MissingExtra,
    )
    try:
        return options.run(options) or 0
    except expected as error:
        return _fail(str(error), status=1)
    except KeyboardInterrupt:
        again = "the same command goes on" if options.command == "study" else "a training goes on from its last checkpoint with --resume"
        return _fail(f"interrupted; {again}.", status=130)


def build_parser(prog):
    parser = argparse.ArgumentParser(prog=prog, description="Find anatomical landmarks with SpatialConfiguration-Net.", allow_abbrev=False)
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")

    train = commands.add_parser("train", help="train a network", allow_abbrev=False, description=(
        "Train a network. Without options: on synthetic hands, a few minutes. "
        "Any setting of a config file can be given as --section.field VALUE. Some without a default below depend on the preset and the "
        "data: config.yaml of the run folder says what was taken. Without a data set "
        + " and ".join(f"{name} is {value:g}" for name, value in SYNTHETIC_DEFAULTS.items()) + "."))  # fmt: skip
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

    evaluate = commands.add_parser("evaluate", help="measure a run on an annotated split", allow_abbrev=False, description=(
        "Find the landmarks of a split and compare them with its annotations: point errors in mm (px where no spacing is known), "
        "a table by landmark, the curve of errors and a report for the browser."))  # fmt: skip
    evaluate.add_argument("run_folder", type=Path, metavar="RUN", help=RUN)
    evaluate.add_argument("--split", default="val", help="name of the split (default: val)")
    evaluate.add_argument("--data.root", dest="root", type=Path, metavar="DIR", help="data set (default: that of the run)")
    evaluate.add_argument("--out", type=Path, metavar="DIR", help="folder to write (default: RUN/evaluation/SPLIT)")
    evaluate.set_defaults(run=run_evaluate)

    predict = commands.add_parser("predict", help="find landmarks in images", allow_abbrev=False, description=(
        "Find landmarks in image files. Writes a table id,landmark,x,y[,z],score in the coordinates that the model was trained on: "
        "pixels of the files, or mm."))  # fmt: skip
    predict.add_argument("model", type=Path, metavar="MODEL", help="name of a model that comes along (scn-tf models), "
        "run folder, .keras, .npz, .tflite or .onnx file, or exported SavedModel")  # fmt: skip
    predict.add_argument("images", nargs="+", metavar="IMAGE", help="image files or folders of them")
    predict.add_argument("--out", type=Path, default=Path("predictions.csv"), metavar="FILE", help="table (default: predictions.csv)")
    predict.add_argument("--overlay", type=Path, metavar="DIR", help="also write pictures with the landmarks drawn in")
    predict.set_defaults(run=run_predict)

    known = commands.add_parser("models", help="list the models that come with the package", allow_abbrev=False)
    known.add_argument("name", nargs="?", metavar="NAME", help="show this one's card: data, figures, limits")
    known.set_defaults(run=run_models)

    compare = commands.add_parser("study", help="compare systems, training sizes, folds and seeds", allow_abbrev=False, description=(
        "Carry out every run of a study, each an ordinary run folder in OUT/runs; what is finished is not done again. "
        "Ends with OUT/results.md, the figures systems.png and sizes.png, and tables."))  # fmt: skip
    compare.add_argument("file", type=Path, metavar="CONFIG", help="YAML file of the study, see configs/studies/")
    compare.add_argument("--out", type=Path, metavar="DIR", help="folder to write (default: studies/NAME)")
    compare.add_argument("--data.root", dest="root", type=Path, metavar="DIR", help="data set (default: that of the base configuration)")
    compare.add_argument("--jobs", type=int, default=1, metavar="N", help="runs at a time, sharing the cores (default: 1)")
    compare.add_argument("--run", dest="index", type=int, metavar="I", help="carry out this one alone, counted from 0: for job arrays")
    compare.add_argument("--list", action="store_true", help="list the runs, carry out none")
    compare.add_argument("--report", action="store_true", help="write tables and figures of what is finished, carry out none")
    compare.add_argument("--write", choices=("slurm", "kubernetes"), help="print a file that submits one job a run, carry out none")
    compare.set_defaults(run=run_study)

    export = commands.add_parser("export", help="write a model for TF Serving, devices or other runtimes", allow_abbrev=False, description=(
        "Write a run as a SavedModel (OUT is a folder; the model goes to OUT/1 or the next free number), "
        "as TFLite (OUT.tflite) or as ONNX (OUT.onnx). The decoder is inside each of them."))  # fmt: skip
    export.add_argument("run_folder", type=Path, metavar="RUN", help=RUN)
    export.add_argument("out", type=Path, metavar="OUT", help="folder, FILE.tflite or FILE.onnx")
    export.add_argument("--form", choices=("saved_model", "tflite", "onnx"), help="default: by the name of OUT")
    export.add_argument("--quantize", choices=("none", "dynamic", "float16", "int8"), default="none", help="TFLite only (default: none): "
        "float16 and dynamic store smaller weights, int8 also computes in integers, calibrated on the run's training images")  # fmt: skip
    export.add_argument("--data.root", dest="root", type=Path, metavar="DIR", help="int8 only: data set (default: that of the run)")
    export.add_argument("--heatmaps", action="store_true", help="TFLite and ONNX: also give the heatmaps")
    export.set_defaults(run=run_export)

    parity = commands.add_parser("check_parity", help="compare exports with the run they were made of", allow_abbrev=False, description=(
        "Send the same images through Keras and every export: largest and mean difference in pixels of the original images, time, size, "
        "mean error. Exit status 1 if an export is too far off."))  # fmt: skip
    parity.add_argument("run_folder", type=Path, metavar="RUN", help=RUN)
    parity.add_argument("exports", type=Path, nargs="+", metavar="EXPORT", help="SavedModel folders, .tflite and .onnx files")
    parity.add_argument("--split", help="split of the run's data set (default: its validation split)")
    parity.add_argument("--data.root", dest="root", type=Path, metavar="DIR", help="data set (default: that of the run)")
    parity.add_argument("--images", type=int, metavar="I", help="at most so many images (default: all)")
    parity.add_argument("--tolerance", type=float, metavar="PX", help="largest difference that passes (default: 0.05 for float forms; "
        "float16, dynamic and int8 pass if the mean error grows by at most 0.01, 0.02 and 0.10)")  # fmt: skip
    parity.set_defaults(run=run_check_parity)

    serve = commands.add_parser("serve", help="answer requests on this machine, with TF Serving's REST routes", allow_abbrev=False)
    serve.add_argument("out", type=Path, metavar="OUT", help="folder of an exported SavedModel; the highest version in it is served")
    serve.add_argument("--host", default="127.0.0.1", help="address to listen on (default: 127.0.0.1, this machine alone)")
    serve.add_argument("--port", type=int, default=8501, help="default: 8501; 0 takes any free one")
    serve.add_argument("--name", default="scn", help="of the model in the routes (default: scn)")
    for name, kind, default, text in (
        ("max_batch", int, 8, "images that run together"),
        ("batch_wait_ms", float, 2, "milliseconds that a lone request waits for company"),
        ("max_queue", int, 128, "images that wait; further requests get 503"),
        ("max_body_mb", float, 32, "size of a request; a larger one gets 413"),
        ("max_megapixels", float, 64, "size of an image, at most 64; a larger one gets 400"),
        ("body_seconds", float, 60, "time for a request to come in; a slower one gets 408"),
        ("stop_seconds", float, 30, "time for requests in flight when the server is stopped"),
    ):
        serve.add_argument(f"--{name}", type=kind, default=default, metavar="N", help=f"{text} (default: {default})")
    serve.set_defaults(run=run_serve)

    demo = commands.add_parser("demo", help="find landmarks in a web page on this machine", allow_abbrev=False, description=(
        "Build a page that runs the network in the browser, serve it on this machine alone, and open it. "
        "Images stay in the browser. The first time, npm fetches LiteRT.js."))  # fmt: skip
    demo.add_argument("run_folder", type=Path, metavar="RUN", help=f"{RUN}; a 2D model")
    demo.add_argument("--out", type=Path, metavar="DIR", help="folder to write (default: RUN/demo, or NAME-demo for a file or name)")
    demo.add_argument("--port", type=int, default=8600, help="default: 8600; 0 takes any free one")
    demo.add_argument("--no-open", dest="open", action="store_false", help="do not open a browser")
    demo.set_defaults(run=run_demo)
    return parser


def run_train(options):
    given = {name: " ".join(text) for name, text in vars(options).items() if name in config.field_names()}
    if options.resume:
        if options.run_dir is None:
            raise config.ConfigError("--resume: needs --run_dir, the run to go on with.")
        if set(given) - {"data.root"} or options.config:
            raise config.ConfigError("--resume: goes on with the run's own settings; of others only --data.root can be given.")
        settings = config.from_dict(config.override({}, given))
    else:
        values = config.read_yaml(options.config) if options.config else {}
        merged = config.override(values, given)
        if not (merged.get("data") or {}).get("root"):
            unset = {n: v for n, v in SYNTHETIC_DEFAULTS.items() if n.split(".")[1] not in (merged.get(n.split(".")[0]) or {})}
            merged = config.override(merged, unset)
        settings = config.from_dict(merged, source=str(options.config or "command line"))
    stamp = datetime.datetime.now().strftime("%Y%m%d-%H%M%S")
    run_dir = options.run_dir or Path("runs") / f"{options.config.stem if options.config else 'run'}-{stamp}"

    from scn_tf import evaluation, runs, training
    from scn_tf.data import errors

    best = training.train(settings, run_dir, resume=options.resume)
    data = config.load(run_dir / "config.yaml").data
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", errors.DataWarning)  # said before the training
        # The model file may be older than where the data lie now.
        summary, out = evaluation.evaluate(run_dir, data.val_split, root=data.root)
    kept = "Forests" if best["epoch"] is None else f"Best network: epoch {best['epoch']}"
    print(f"\n{kept}, on split {data.val_split}:\n{evaluation.table(summary)}\n")
    for label, path in (("model", runs.model_file(run_dir)), ("history", run_dir / "history.csv"), ("report", out / "report.html")):
        if path.exists():
            print(f"{label:8s} {path}")


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
    if options.overlay:
        files.make_folder(options.overlay)
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
        number = f"{len(found)} image" + "s" * (len(found) != 1)
        print(f"{number}, {len(predictor.names)} landmarks each, {coordinates} coordinates: {options.out}")
    return 1 if failures else 0


def run_study(options):
    from scn_tf import study

    out = options.out or Path("studies") / options.file.stem
    planned = study.read_study(options.file)
    runs = planned.runs(options.root)
    if options.jobs < 1:
        raise config.ConfigError(f"--jobs: expected at least 1, received {options.jobs}.")
    study.check_settings(out, runs)
    if options.list:
        waiting = {run.name for run in study.unfinished(out, runs)}
        for index, run in enumerate(runs):
            print(f"{index:4d}  {'waiting ' if run.name in waiting else 'finished'}  {run.name}")
        return 0
    if options.write:
        command = ["scn-tf", "study", str(options.file), "--out", str(out)]
        command += ["--data.root", str(options.root)] if options.root else []
        write = {"slurm": study.slurm_script, "kubernetes": study.kubernetes_manifest}[options.write]
        print(write(command, len(runs), name=options.file.stem), end="")
        return 0
    if options.index is not None:
        if not 0 <= options.index < len(runs):
            raise config.ConfigError(f"--run: expected 0 to {len(runs) - 1}, received {options.index}.")
        run = runs[options.index]
        if study.unfinished(out, [run]):
            if run not in study.check_data(out, runs):
                print(f"{run.name}: left out, it has no images")
                return 0
            if study.run_one(out, run) != 0:
                return _fail(f"{run.name}: failed, see {study.log_file(out, run)}", status=1)
        print(f"{run.name}: finished")
        return 0
    failed = [] if options.report else study.run_all(out, runs, jobs=options.jobs)
    for name in failed:
        _fail(f"{name}: failed, see {out / 'logs' / name}.log", status=1)
    print(study.write_report(out, runs, sizes_figure=planned.sizes_figure), end="")
    print(f"\ntables and figures  {out}")
    return 1 if failed else 0


def run_models(options):
    from scn_tf import pretrained

    if options.name is not None:
        if options.name not in pretrained.names():
            raise config.ConfigError(f"models: {options.name}: no such model{config.nearest(options.name, pretrained.names())}")
        print(pretrained.card(options.name), end="")
        return
    for name in pretrained.names():
        about = pretrained.describe(name)
        size = " x ".join(map(str, about["config"]["model"]["image_size"]))
        print(f"{name:16s} {len(about['landmarks'])} landmarks, {about['dims']}D, {size} pixels; scn-tf models {name} shows its card")


def run_export(options):
    from scn_tf import serving

    suffix = options.out.suffix
    folder = options.out.is_dir() or re.fullmatch(r"(\.v?\d+)?", suffix)  # hands-1.2 is a folder's name
    if options.form is None and suffix not in EXPORTS and not folder:
        raise config.ConfigError(
            f"{options.out}: {suffix} is no form of export; expected FILE.tflite, FILE.onnx or a folder. "
            "Should a folder have this name: --form saved_model."
        )
    form = options.form or EXPORTS.get(suffix, "saved_model")
    if options.quantize != "none" and form != "tflite":
        raise config.ConfigError(f"--quantize: {options.quantize} is for TFLite; {options.out} would be {form}.")
    if options.heatmaps and form == "saved_model":
        raise config.ConfigError("--heatmaps: is for TFLite and ONNX; a SavedModel always has the signature serve_heatmaps.")
    if form == "tflite":
        path = serving.export_tflite(
            options.run_folder, options.out, quantize=options.quantize, heatmaps=options.heatmaps, root=options.root
        )
    elif form == "onnx":
        path = serving.export_onnx(options.run_folder, options.out, heatmaps=options.heatmaps)
    else:
        path = serving.export_saved_model(options.run_folder, options.out)
    print(f"{form:11s} {path}")


def run_check_parity(options):
    from scn_tf.serving import parity

    rows, unit = parity.check(
        options.run_folder, options.exports, split=options.split, root=options.root, images=options.images, tolerance=options.tolerance
    )
    print(parity.table(rows, unit))
    return 0 if all(row.passed for row in rows) else 1


def run_serve(options):
    from scn_tf.serving import server

    limits = server.Limits(**{name: value for name, value in vars(options).items() if name in server.Limits.__dataclass_fields__})
    server.serve(options.out, host=options.host, port=options.port, name=options.name, limits=limits)


def run_demo(options):
    import webbrowser

    from scn_tf.serving import demo

    run = options.run_folder
    # Not in a new folder with the name of a model that comes along: it would be found in its place.
    folder = options.out or (run / "demo" if run.is_dir() else run.parent / f"{run.stem}-demo")
    with demo.server(folder, options.port) as server:  # before the work: the port may be taken
        demo.build(run, folder)
        address = f"http://127.0.0.1:{server.server_port}/"
        print(f"{folder}: {address} (stop with Ctrl-C)", flush=True)
        if options.open:
            webbrowser.open(address)
        with contextlib.suppress(KeyboardInterrupt):
            server.serve_forever()


def _fail(message, *, status):
    print(f"error: {message}", file=sys.stderr)
    return status


def _show_warning(message, category, filename, lineno, file=None, line=None):
    print(f"warning: {message}", file=sys.stderr)


def _suggest(argument, parser, command):
    """The end of the message about an argument that a command does not have."""
    if not argument.startswith("--"):
        return "."
    commands = next(action.choices for action in parser._actions if isinstance(action, argparse._SubParsersAction))
    options = [name[2:] for name in (commands[command] if command else parser)._option_string_actions if name.startswith("--")]
    return config.nearest(argument[2:].split("=")[0], options, prefix="--")
