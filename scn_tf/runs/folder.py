"""The files of a run folder. Only this module knows their names."""

from dataclasses import dataclass
from pathlib import Path

SETTINGS, MODEL, FORESTS = "config.yaml", "model.keras", "model.npz"
DATA, HISTORY, ANNOTATIONS = "data.json", "history.csv", "annotations.png"
REASONS = "settings.txt"
STATE = "checkpoints/last.npz"
MODELS = (MODEL, FORESTS)  # a run has one of them
WRITTEN = (*MODELS, DATA, HISTORY, SETTINGS, ANNOTATIONS, REASONS)  # in the folder itself


@dataclass(frozen=True)
class RunFolder:
    """Paths of all files of a run, whether they exist yet or not.

    Args:
        path: the folder.
    """

    path: Path

    def __str__(self) -> str:
        return str(self.path)

    @property
    def settings(self) -> Path:
        """The run's resolved configuration."""
        return self.path / SETTINGS

    @property
    def reasons(self) -> Path:
        """Why the settings are as they are, if scn_tf decided them."""
        return self.path / REASONS

    @property
    def model(self) -> Path:
        """The best network."""
        return self.path / MODEL

    @property
    def forests(self) -> Path:
        """The model of a run with random forests."""
        return self.path / FORESTS

    @property
    def data(self) -> Path:
        """Fingerprint of the data."""
        return self.path / DATA

    @property
    def history(self) -> Path:
        """Table with one row per epoch."""
        return self.path / HISTORY

    @property
    def annotations(self) -> Path:
        """Picture of the first training images with their annotations."""
        return self.path / ANNOTATIONS

    @property
    def tensorboard(self) -> Path:
        """Folder of TensorBoard's events."""
        return self.path / "tensorboard"

    @property
    def checkpoints(self) -> Path:
        """Folder of the files that resuming needs."""
        return self.path / "checkpoints"

    @property
    def state(self) -> Path:
        """The whole training state."""
        return self.path / STATE

    @property
    def older_state(self) -> Path:
        """State of a run whose model was removed, kept when a new run begins."""
        return self.checkpoints / "older.npz"

    @property
    def lock(self) -> Path:
        """Lock of the process that trains the run. The file stays after training."""
        return self.checkpoints / "lock"

    @property
    def demo(self) -> Path:
        """Folder of the browser page."""
        return self.path / "demo"

    def fold(self, number: int, of: int) -> "RunFolder":
        """Folder of a run of the same settings without a part of the images; see :mod:`scn_tf.calibrate_folds`."""
        return RunFolder(self.path / "folds" / f"{number}-of-{of}")

    def evaluation(self, split: str) -> Path:
        """Folder of the evaluation on a split."""
        return self.path / "evaluation" / split

    def kept_models(self) -> list[Path]:
        """Best models from before changes of the data, kept beside the new one; see :meth:`unused_model`."""
        return sorted(self.path.glob("model.before-data-change*.keras"))

    def unused_model(self) -> Path:
        """Unused file name for the best model before a change of the data."""
        number, path = 1, self.path / "model.before-data-change.keras"
        while path.exists():
            number += 1
            path = path.with_name(f"model.before-data-change-{number}.keras")
        return path

    def written(self) -> list[Path]:
        """Files that runs of all systems write directly into the folder."""
        return [self.path / name for name in WRITTEN]

    def model_file(self) -> Path | None:
        """The existing model, network or forests. None if there is none yet."""
        return next((path for path in (self.model, self.forests) if path.is_file()), None)
