"""Time of a training step, as a sum of what its parts cost on the reference core (``benchmarks/step_costs.py``)."""

import math
from dataclasses import dataclass

from scn_tf.suggest.machine import Machine

# Seconds: per step; per 10^9 products of the convolutions; per 10^6 values of the local part, of the heatmaps, of the input.
COSTS = {
    (2, "mixed_bfloat16"): (0.0035, 0.0170, 0.0093, 0.0140, 0.057),
    (2, "float32"): (0.0060, 0.0340, 0.0, 0.0110, 0.058),
    (3, "mixed_bfloat16"): (0.0, 0.0047, 0.0680, 0.0065, 0.0),
    (3, "float32"): (0.0020, 0.0180, 0.0210, 0.0, 0.91),
}
SERIAL = 1.5  # more speed than this does not shorten what a step needs whatever its size
GPU_STEP = 0.012  # seconds that a GPU needs for the smallest step
WITHOUT_SPATIAL_PART = 1.5  # such networks have about half as many convolutions again in their other part


@dataclass(frozen=True)
class Shape:
    """The sizes of a network that its cost and memory depend on.

    Attributes:
        image_size: ([D,] H, W) of the input.
        landmarks: number of heatmaps N.
        filters: channels of the local part.
        levels: resolutions of the local part.
        spatial_filters: channels of the spatial part; 0: there is none.
        spatial_kernel: kernel side of the spatial part.
        spatial_pooling: reduction of resolution in the spatial part.
        finest_filters: channels at full resolution; None: ``filters``.
        separable: whether the spatial part has a kernel along each axis instead of whole ones.
    """

    image_size: tuple[int, ...]
    landmarks: int
    filters: int
    levels: int
    spatial_filters: int
    spatial_kernel: int
    spatial_pooling: int
    finest_filters: int | None = None
    separable: bool = False

    @property
    def dims(self) -> int:
        """2 or 3."""
        return len(self.image_size)

    @property
    def pixels(self) -> int:
        """Pixels of the input."""
        return math.prod(self.image_size)

    @property
    def products(self) -> float:
        """Products of all convolutions on one image."""
        dims, filters, finest, maps = self.dims, self.filters, self.finest, self.landmarks
        local = 3**dims * (3 * (filters**2 * self.coarser + finest**2 * self.pixels) + finest * (1 + maps) * self.pixels)
        if not self.spatial_filters:
            return WITHOUT_SPATIAL_PART * local
        cells = self.pixels / self.spatial_pooling**dims
        return local + self.taps * 2 * self.spatial_filters * (maps + self.spatial_filters) * cells

    @property
    def features(self) -> float:
        """Values of one layer of the local part, over all its resolutions."""
        return self.finest * self.pixels + self.filters * self.coarser

    @property
    def finest(self) -> int:
        """Channels at full resolution."""
        return self.finest_filters or self.filters

    @property
    def coarser(self) -> float:
        """Pixels of all resolutions but the full one."""
        return self.pixels * sum(0.5 ** (self.dims * level) for level in range(1, self.levels))

    @property
    def taps(self) -> int:
        """Weights of a kernel of the spatial part between two channels."""
        return self.dims * self.spatial_kernel if self.separable else self.spatial_kernel**self.dims

    @property
    def weights(self) -> float:
        """Trainable weights, about."""
        dims, spatial = self.dims, self.spatial_filters
        local = 3**dims * self.filters * (3 * self.levels * self.filters + self.landmarks)
        return local + self.taps * 2 * spatial * (self.landmarks + spatial)


def seconds(shape: Shape, machine: Machine, batch_size: int = 1) -> float:
    """Estimate the seconds of one image in a training step."""
    key = (shape.dims, "float32" if machine.precision == "float32" else "mixed_bfloat16")
    step, products, features, maps, pixels = COSTS[key]
    work = products * shape.products / 1e9
    work += (features * shape.features + maps * shape.landmarks * shape.pixels + pixels * shape.pixels) / 1e6
    alone = GPU_STEP if machine.gpu else step / min(machine.speed, SERIAL)
    return alone / batch_size + work / machine.speed
