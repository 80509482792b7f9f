"""What the heatmaps are trained towards: Gaussians whose widths are fixed or learned."""

from scn_tf import geometry
from scn_tf.config import HeatmapConfig
from scn_tf.environment.backend import keras, ops
from scn_tf.heatmaps import gaussians, losses
from scn_tf.types import Array, Sizes, Tensor, known

SMALLEST_SIGMA = 0.5  # a narrower target would fall between the pixels
ANGLES = {2: 1, 3: 3}


class GaussianTargets(keras.layers.Layer):
    """Target heatmaps of all landmarks, with the variables that give them their shape.

    ``fixed`` and ``learned``: one sigma a landmark (Payer et al. 2019). ``anisotropic``: one sigma along each of d axes
    and a rotation of these axes a landmark (Thaler et al., MELBA 2021).

    Args:
        config: resolved :class:`scn_tf.config.HeatmapConfig`.
        landmarks: number of landmarks N.
        size: ([D,] H, W) of the maps.

    Attributes:
        sigmas: (N,), or (N, d) if anisotropic, network pixels.
        angles: (N, 1) in 2D, (N, 3) in 3D, radians; None unless anisotropic.
    """

    def __init__(self, config: HeatmapConfig, landmarks: int, size: Sizes) -> None:
        super().__init__(name="targets", dtype="float32")
        self.size = tuple(size)
        self.gamma, self.alpha = known(config.gamma), known(config.alpha)
        dims = len(size)
        self.oriented = config.sigma_mode == "anisotropic"
        self.sigmas = self.add_weight(
            name="sigmas",
            shape=(landmarks, dims) if self.oriented else (landmarks,),
            initializer=keras.initializers.Constant(config.sigma),
            trainable=config.sigma_mode != "fixed",
            constraint=lambda sigmas: ops.maximum(sigmas, SMALLEST_SIGMA),
        )
        self.angles = self.add_weight(name="angles", shape=(landmarks, ANGLES[dims]), initializer="zeros") if self.oriented else None
        self.built = True

    def call(self, landmarks: Tensor) -> Tensor:
        """Landmarks (B, N, d) network pixels -> targets (B, [D,] H, W, N)."""
        if self.oriented:
            return gaussians.render_oriented_gaussians(landmarks, self.sigmas, self.rotations(), self.size, gamma=self.gamma)
        return gaussians.render_gaussians(landmarks, self.sigmas, self.size, gamma=self.gamma)

    def rotations(self) -> Tensor:
        """(N, d, d) matrices whose columns are the axes of the Gaussians."""
        return geometry.rotations(known(self.angles), len(self.size))

    def peak(self) -> Tensor:
        """Height of the targets, (N,)."""
        if self.oriented:  # as of a round Gaussian of the same area
            return gaussians.gaussian_height(ops.prod(self.sigmas, axis=-1) ** (1 / len(self.size)), self.gamma, len(self.size))
        return gaussians.gaussian_height(self.sigmas, self.gamma, len(self.size))

    def sigma_loss(self, visible: Tensor) -> Tensor:
        """The term that keeps the Gaussians narrow: 0.5 sigma^2, or the product of a landmark's sigmas, times alpha."""
        extents = ops.prod(self.sigmas, axis=-1) if self.oriented else 0.5 * ops.square(self.sigmas)
        return losses.sigma_loss(extents, visible, alpha=self.alpha)

    def covariances(self) -> Array:
        """(N, d, d) in network pixels squared, NumPy."""
        dims = len(self.size)
        if self.oriented:
            rotations = self.rotations()
            scaled = rotations * ops.square(self.sigmas)[:, None, :]
            return ops.convert_to_numpy(ops.matmul(scaled, ops.transpose(rotations, (0, 2, 1))))
        return ops.convert_to_numpy(ops.square(self.sigmas)[:, None, None] * ops.eye(dims))
