"""Every exported form of a 2D run beside Keras and a PyTorch twin, on the same images in one run: `python benchmarks/forms.py RUN`.

Needs PyTorch for the twin (any CPU build); it is no dependency of the project. Times are medians over the
validation images, all forms taking turns on each image. One image at a time.
"""

import argparse
import importlib.util
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import scn_tf  # noqa: F401  sets TensorFlow's log level first
from benchmarks import machine
from scn_tf.data import pipeline
from scn_tf.data.dataset import open_dataset
from scn_tf.export import export_onnx, export_saved_model, export_tflite, parity
from scn_tf.export.forms import tflite
from scn_tf.runs import checkpoints
from scn_tf.scoring import localization
from scn_tf.systems import opening
from scn_tf.types import Located


def twins(run, network, settings):
    """The PyTorch twin in both memory layouts, as forms; none where PyTorch is not installed."""
    if importlib.util.find_spec("torch") is None:
        print("PyTorch is not installed: no twin")
        return []
    import torch

    from benchmarks.torch_twin import Twin

    forms = []
    for name, layout in (("channels first", torch.contiguous_format), ("channels last", torch.channels_last)):
        twin = Twin(network, settings.model).eval().to(memory_format=layout)

        def find(example, twin=twin, layout=layout):
            image = torch.from_numpy(example["image"].numpy()).permute(2, 0, 1)[None].contiguous(memory_format=layout)
            with torch.inference_mode():
                return Located(*(tensor[0].numpy() for tensor in twin(image)))

        forms.append(parity.Compared(f"PyTorch twin, {name}", opening.network_file(run), None, find))
    return forms


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="run folder; its own data set is read")
    parser.add_argument("--images", type=int, help="at most so many validation images")
    options = parser.parse_args()
    print(machine.describe())
    path = opening.network_file(options.run)
    network, info = checkpoints.load_model(path)
    settings = info.config
    dataset = open_dataset(settings.data.root)
    ids = dataset.split(settings.data.val_split)[: options.images]
    fitted = pipeline.examples(dataset, ids, settings)
    examples = [{**example, "file": dataset.files[image_id]} for image_id, example in zip(ids, fitted, strict=True)]

    with tempfile.TemporaryDirectory() as folder:
        exports = [export_saved_model(options.run, Path(folder) / "saved_model").parent]
        exports.append(export_onnx(options.run, Path(folder) / "network.onnx"))
        for form in tflite.QUANTIZATIONS:
            exports.append(export_tflite(options.run, Path(folder) / f"{form}.tflite", quantize=form))
        keras = localization.localizer(network, settings.heatmap.decoder, info.calibration)
        forms = [parity.Compared("Keras", path, None, parity.on_input(keras))]
        forms += twins(options.run, network, settings)
        sent = parity.Sent(dataset, settings.model, [example["file"] for example in examples])
        for export in exports:
            forms += parity.open_forms(export, info, sent)
        rows = parity.measure(forms, examples)
    sides, filters = " x ".join(map(str, settings.model.image_size)), settings.model.filters
    print(f"{settings.model.name}, {sides} pixels, F = {filters}, {len(ids)} images")
    print(parity.table(rows, dataset.unit))
    times = {row.form: row.milliseconds for row in rows}
    if whole := times.get("saved_model, encoded images"):
        print(f"serving_default / bare network (serve_input): {whole / times['saved_model']:.2f}")
    twin = min((time for name, time in times.items() if name.startswith("PyTorch")), default=None)
    if twin:
        name = min((name for name in times if not name.startswith("PyTorch")), key=times.get)
        print(f"fastest form ({name}) against the twin's faster layout: {twin / times[name]:.2f} times as fast")


if __name__ == "__main__":
    main()
