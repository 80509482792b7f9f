"""SLURM: a batch script with one task on each node."""

from scn_tf.launch.kind import Kind, Launch, filled


def files(launch: Launch) -> dict[str, str]:
    """See :class:`scn_tf.launch.kind.Kind`."""
    gpus = f"#SBATCH --gpus-per-node={launch.gpus}" if launch.gpus else ""
    return {"train.sbatch": filled("train.sbatch", launch, gpus=gpus)}


SLURM = Kind(
    name="slurm", description="a batch script of SLURM", files=files, start="sbatch train.sbatch", uses=("workers", "gpus"), rank=1
)
