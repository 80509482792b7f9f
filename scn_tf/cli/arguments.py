"""What can be typed: the commands, their arguments and their help."""

import argparse
from pathlib import Path

from scn_tf import __version__, config
from scn_tf.cli import client, commands, configs, deploy, forms, prediction
from scn_tf.config import bundled
from scn_tf.export import choice
from scn_tf.runs.folder import SETTINGS

RUN = "run folder, its model file, or name of a model that comes along (scn-tf models)"


def build_parser(prog: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=prog, description="Find anatomical landmarks with SpatialConfiguration-Net.", allow_abbrev=False)
    parser.add_argument("--version", action="version", version=__version__)
    adding = parser.add_subparsers(dest="command", metavar="COMMAND")

    train = adding.add_parser("train", help="train a network", allow_abbrev=False, description=(
        "Train a network. Without options: on synthetic hands, a few minutes. "
        "Any setting of a config file can be given as --section.field VALUE. Some without a default below depend on the preset and the "
        f"data: {SETTINGS} of the run folder says what was taken. Without a data set "
        + " and ".join(f"{name} is {value:g}" for name, value in commands.SYNTHETIC_DEFAULTS.items()) + "."))  # fmt: skip
    train.add_argument("--config", type=Path, metavar="FILE", help=f"YAML file, or a bundled configuration: {', '.join(bundled.names())}")
    train.add_argument("--run-dir", type=Path, metavar="DIR", help="folder to write (default: a new one in runs/)")
    train.add_argument("--resume", action="store_true", help="go on with the run in --run-dir and its settings")
    train.add_argument("--accept-changed-data", action="store_true", help="with --resume: continue although the data are not those of the "
        "run's start; errors start afresh, the best model before stays as model.before-data-change.keras")  # fmt: skip
    for name, field in config.field_names().items():
        allowed = config.allowed_values(field)
        hint = f" [{'|'.join(allowed)}]" if allowed else ""
        default = "" if field.default is None else f" (default: {field.default})"
        train.add_argument(
            f"--{name}",
            metavar="VALUE",
            nargs="+",
            default=argparse.SUPPRESS,
            help=f"{config.describe(field)}{hint}{default}".replace("%", "%%"),
        )
    train.set_defaults(run=commands.run_train)

    evaluate = adding.add_parser("evaluate", help="measure a run on an annotated split", allow_abbrev=False, description=(
        "Find the landmarks of a split and compare them with its annotations: point errors in mm (px where no spacing is known), "
        "a table by landmark, the curve of errors and a report for the browser."))  # fmt: skip
    evaluate.add_argument("run_folder", type=Path, metavar="RUN", help=RUN)
    evaluate.add_argument("--split", default="val", help="name of the split (default: val)")
    evaluate.add_argument("--data.root", dest="root", type=Path, metavar="DIR", help="data set (default: that of the run)")
    evaluate.add_argument("--data.missing", dest="missing", choices=("refuse", "skip"), help="images of the split that are not there: "
        "refuse them, or go on without (default: as the run's settings say)")  # fmt: skip
    evaluate.add_argument("--out", type=Path, metavar="DIR", help="folder to write "
        "(default: RUN/evaluation/SPLIT, or NAME-evaluation/SPLIT for a model file or name)")  # fmt: skip
    evaluate.set_defaults(run=commands.run_evaluate)

    predict = adding.add_parser("predict", help="find landmarks in images", allow_abbrev=False, description=(
        "Find landmarks in image files. Writes a table id,landmark,x,y[,z],score in the coordinates that the model was trained on: "
        "pixels of the files, or mm."))  # fmt: skip
    predict.add_argument("model", type=Path, metavar="MODEL", help="name of a model that comes along (scn-tf models), "
        f"{forms.models()}")  # fmt: skip
    predict.add_argument(
        "images",
        nargs="+",
        metavar="IMAGE",
        help="image files, or folders that are searched for them; of volumes, a folder of DICOM slices is one image",
    )
    predict.add_argument("--out", type=Path, default=Path("predictions.csv"), metavar="FILE.csv", help="table (default: predictions.csv)")
    predict.add_argument("--overlay", type=Path, metavar="DIR", help="also write pictures with the landmarks drawn in")
    predict.add_argument("--spacing", type=float, nargs="+", metavar="MM",
                         help="mm per pixel, x y (z), of files that state none or a wrong one")  # fmt: skip
    predict.set_defaults(run=prediction.run_predict)

    combine = adding.add_parser("combine", help="make one model of several runs", allow_abbrev=False, description=(
        "Write a model whose heatmaps are the mean of those of several networks, trained with other seeds, sizes or settings. "
        "It errs a little less than they do in the mean, is used like any other model, "
        "and takes as long as all of them together."))  # fmt: skip
    combine.add_argument("run_folders", type=Path, nargs="+", metavar="RUN", help=f"{RUN}; at least two")
    combine.add_argument("--out", type=Path, required=True, metavar="FILE", help="file to write, such as hands.keras")
    combine.set_defaults(run=commands.run_combine)

    known = adding.add_parser("models", help="list the models that come with the package", allow_abbrev=False)
    known.add_argument("name", nargs="?", metavar="NAME", help="show this one's card: data, figures, limits")
    known.set_defaults(run=commands.run_models)
    configs.add_parser(adding)

    compare = adding.add_parser("study", help="compare systems, training sizes, folds and seeds", allow_abbrev=False, description=(
        "Carry out every run of a study, each an ordinary run folder in OUT/runs; what is finished is not done again. "
        "Ends with OUT/results.md, the figures systems.png and sizes.png, and tables."))  # fmt: skip
    compare.add_argument("file", type=Path, metavar="CONFIG", help=f"YAML file, or a bundled study: {', '.join(bundled.study_names())}")
    compare.add_argument("--out", type=Path, metavar="DIR", help="folder to write (default: studies/NAME)")
    compare.add_argument("--data.root", dest="root", type=Path, metavar="DIR", help="data set (default: that of the base configuration)")
    compare.add_argument("--data.missing", dest="missing", choices=("refuse", "skip"), help="images of the lists that are not there: "
        "refuse them, or go on without (default: as the study says)")  # fmt: skip
    compare.add_argument("--jobs", type=int, default=1, metavar="N", help="runs at a time, sharing the cores (default: 1)")
    compare.add_argument("--run", dest="index", type=int, metavar="I", help="carry out this one alone, counted from 0: for job arrays")
    compare.add_argument("--list", action="store_true", help="list the runs, carry out none")
    compare.add_argument("--report", action="store_true", help="write tables and figures of what is finished, carry out none")
    compare.add_argument("--write", choices=("slurm", "kubernetes"), help="print a file that submits one job a run, carry out none")
    compare.set_defaults(run=commands.run_study)

    export = adding.add_parser("export", help="write a model for TF Serving, devices or other runtimes", allow_abbrev=False, description=(
        f"Write a run in another form: {forms.described()}. The decoder is inside each of them."))  # fmt: skip
    export.add_argument("run_folder", type=Path, metavar="RUN", help=RUN)
    forms.add_options(export)
    export.set_defaults(run=commands.run_export)

    parity = adding.add_parser("check-parity", aliases=["check_parity"], allow_abbrev=False,
        help="compare exports with the run they were made of", description=(
        "Send the same images through Keras and every export: largest and mean difference in pixels of the original images, time, size, "
        "mean error. Exit status 1 if an export is too far off."))  # fmt: skip
    parity.add_argument("run_folder", type=Path, metavar="RUN", help=RUN)
    parity.add_argument("exports", type=Path, nargs="+", metavar="EXPORT", help=forms.exports())
    parity.add_argument("--split", help="split of the run's data set (default: its validation split)")
    parity.add_argument("--data.root", dest="root", type=Path, metavar="DIR", help="data set (default: that of the run)")
    parity.add_argument("--images", type=int, metavar="I", help="at most so many images (default: all)")
    parity.add_argument("--tolerance", type=float, metavar="PX", help="largest difference that passes (default: 0.05 for float forms; "
        f"others pass by the growth of the mean error, which may be {choice.limits()})")  # fmt: skip
    parity.set_defaults(run=commands.run_check_parity)

    serve = adding.add_parser("serve", help="answer requests on this machine, with TF Serving's REST routes", allow_abbrev=False)
    serve.add_argument("out", type=Path, metavar="OUT", help="folder of an exported SavedModel; the highest version in it is served")
    serve.add_argument("--host", default="127.0.0.1", help="address to listen on (default: 127.0.0.1, this machine alone)")
    serve.add_argument("--port", type=int, default=8501, help="default: 8501; 0 takes any free one")
    serve.add_argument("--name", default="scn", help="of the model in the routes (default: scn)")
    for name, kind, usual, text in (
        ("max_batch", int, 8, "images that run together"),
        ("batch_wait_ms", float, 2, "milliseconds that a lone request waits for company"),
        ("max_queue", int, 128, "images that wait; further requests get 503"),
        ("max_body_mb", float, 32, "size of a request; a larger one gets 413"),
        ("max_megapixels", float, 64, "size of an image, at most 64; a larger one gets 400"),
        ("body_seconds", float, 60, "time for a request to come in; a slower one gets 408"),
        ("stop_seconds", float, 30, "time for requests in flight when the server is stopped"),
    ):
        serve.add_argument(f"--{name}", type=kind, default=usual, metavar="N", help=f"{text} (default: {usual})")
    serve.set_defaults(run=commands.run_serve)

    demo = adding.add_parser("demo", help="find landmarks in a web page on this machine", allow_abbrev=False, description=(
        "Build a page that runs the network in the browser, serve it on this machine alone, and open it. "
        "Images stay in the browser. The first time, npm fetches LiteRT.js."))  # fmt: skip
    demo.add_argument("run_folder", type=Path, metavar="RUN", help=f"{RUN}; a 2D model")
    demo.add_argument("--out", type=Path, metavar="DIR", help="folder to write (default: RUN/demo, or NAME-demo for a file or name)")
    demo.add_argument("--port", type=int, default=8600, help="default: 8600; 0 takes any free one")
    demo.add_argument("--no-open", dest="open", action="store_false", help="do not open a browser")
    demo.set_defaults(run=commands.run_demo)
    deploy.add_parser(adding)
    client.add_parser(adding)
    for command in adding.choices.values():
        _accept_hyphens(command)
    return parser


def _accept_hyphens(parser: argparse.ArgumentParser) -> None:
    """Options may be spelled with hyphens or underscores: ``--run-dir`` as well as ``--run_dir``, which it was called before.

    Help shows the hyphens; settings keep the names that they have in files.
    """
    for action in parser._actions:
        for name in filter(lambda name: name.startswith("--"), list(action.option_strings)):
            for spelling in (name[2:].replace("_", "-"), name[2:].replace("-", "_")):
                parser._option_string_actions[f"--{spelling}"] = action
        action.option_strings = [name if "." in name else name.replace("_", "-") for name in action.option_strings]
