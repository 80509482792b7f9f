"""Random regression forests that vote for landmarks, in 2D and 3D. The paper compares the networks with them.

They use multi-scale patch features and displacement voting from coarse to fine (Ebner et al. 2014). A PCA shape model may choose
among the peaks of the votes (after Lindner et al. 2015, Stern et al. 2016, Urschler et al. 2018).
"""

from typing import Any

import numpy as np

from scn_tf.scoring import evaluation, localization
from scn_tf.systems import points
from scn_tf.systems.forest import files, training
from scn_tf.systems.system import System
from scn_tf.training import resuming
from scn_tf.training.job import Job
from scn_tf.types import known


def train(job: Job) -> dict[str, Any]:
    """See :class:`scn_tf.systems.system.System`. There are no epochs, so an interrupted training starts again."""
    path = job.folder.forests
    if not path.exists():
        if job.changed:
            resuming.keep_data(job.folder, job.data)
        size = " x ".join(map(str, known(job.config.model.image_size)))
        system = f"Forests  {job.config.model.name}, {job.config.forest.trees} trees each, {size} pixels"
        print(points.greeting(job, system, board=False), flush=True)
        training.train(job.config, points.arrays(job.examples.training), path, job.info)
    locate, info = files.load_localizer(path)
    errors = localization.point_errors(localization.localize(locate, job.examples.validation))
    return {"epoch": None, "error": float(np.nanmean(errors[:, info.trained])), "unit": info.unit}


FOREST = System(
    name="forest",
    suffix=".npz",
    prepare=points.prepare,
    sheet=points.sheet,
    train=train,
    info=files.read_info,
    open=files.load_localizer,
    evaluate=points.evaluator(lambda file: (files.load_localizer(file)[0], None)),
    files=evaluation.FILES,
    resumable=False,
    on_devices=False,
    exportable=False,
    what_else="holds random forests, which only predict and evaluate can use",
    rank=3,
)
