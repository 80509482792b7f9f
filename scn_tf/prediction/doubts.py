"""How many answers of a table look doubtful, in one line, with points that do not lie where the others say; and models that can tell."""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from scn_tf.errors import CheckpointError
from scn_tf.messages import cut, visible
from scn_tf.prediction.tables import Found
from scn_tf.runs.info import ModelInfo
from scn_tf.storage.files import counted
from scn_tf.types import PathName

NAMED = 3  # misplaced points that the line names


def check_calibrated(model: PathName, info: ModelInfo) -> None:
    """Refuse a model that cannot tell which of its answers are doubtful.

    Raises:
        CheckpointError: the model is not calibrated; the message says how to calibrate it.
    """
    if info.calibration is None:
        raise CheckpointError(
            f"{model}: is not calibrated, so it cannot tell where it may be wrong. Calibrate its run with annotated images that did not "
            "train it: scn-tf calibrate RUN. Then export it again, if this is an export."
        )


class Doubts:
    """Counts over the images of a table whose model is calibrated. ``names``: of the landmarks."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = names
        self.units: set[str] = set()
        self.misplaced: list[str] = []
        self.images = self.points = self.doubtful = self.doubtful_images = self.absent = self.unlike = 0

    def watch(self, found: Iterable[Found]) -> Iterator[Found]:
        """The same predictions, counted as they pass."""
        for one in found:
            if one.estimates is not None:
                estimates = one.estimates
                present = np.ones(len(one.points), bool) if estimates.present is None else estimates.present
                doubtful = 0 if estimates.doubtful is None else int((estimates.doubtful & present).sum())
                self.units.add(estimates.unit)
                self.images += 1
                self.points += int(present.sum())
                self.absent += int((~present).sum())
                self.doubtful += doubtful
                self.doubtful_images += doubtful > 0
                self.unlike += estimates.image_ok is False
                if estimates.misplaced is not None:
                    self.misplaced += [f"{self.names[number]} of {one.id}" for number in np.flatnonzero(estimates.misplaced).tolist()]
            yield one

    def text(self) -> str | None:
        """One line; None if the model is not calibrated."""
        if not self.images:
            return None
        parts = [f"expected errors are in {' or '.join(sorted(self.units))}"]
        if self.doubtful:
            within = "" if self.images == 1 else f" in {counted(self.doubtful_images, 'image')}"
            parts.append(f"{self.doubtful} of {counted(self.points, 'point')}{within} look doubtful")
        else:
            parts.append("no point looks doubtful")
        if self.misplaced:
            several = len(self.misplaced) > 1
            named = ", ".join(cut(visible(name), 60) for name in self.misplaced[:NAMED])
            more = f" and {len(self.misplaced) - NAMED} more" if len(self.misplaced) > NAMED else ""
            parts.append(f"{named}{more} {'do' if several else 'does'} not lie where the other points say")
        if self.absent:
            parts.append(f"{counted(self.absent, 'landmark')} not in the image")
        if self.unlike:
            parts.append(f"{counted(self.unlike, 'image')} unlike the training images")
        return "; ".join(parts)
