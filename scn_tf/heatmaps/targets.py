"""Targets of the heatmaps: Gaussians with fixed or learned widths."""

from scn_tf import geometry
from scn_tf.environment.backend import keras, ops
from scn_tf.heatmaps import gaussians, losses
from scn_tf.types import Array, Sizes, Tensor, known

MIN_SIGMA = 0.5  # a narrower target would fall between the pixels
ANGLES = {2: 1, 3: 3}


class GaussianTargets(keras.layers.Layer):
    """Target heatmaps of all landmarks, with the variables of their shape.

    ``fixed`` and ``learned``: one sigma per landmark (Payer et al. 2019). ``anisotropic``: one sigma along each of d axes
    and a rotation of these axes per landmark (Thaler et al., MELBA 2021).

    Args:
        num_landmarks: N.
        size: ([D,] H, W) of the maps.
        sigma: standard deviation at the start, pixels of the maps.
        mode: ``"fixed"``, ``"learned"`` or ``"anisotropic"``.
        gamma: scale of the targets.
        alpha: weight of the term that keeps learned sigmas small.

    Attributes:
        sigmas: (N,), or (N, d) if anisotropic, network pixels.
        angles: (N, 1) in 2D, (N, 3) in 3D, radians; None unless anisotropic.
    """

    def __init__(self, num_landmarks: int, size: Sizes, *, sigma: float, mode: str, gamma: float, alpha: float) -> None:
        super().__init__(name="targets", dtype="float32")
        self.size = tuple(size)
        self.gamma, self.alpha = gamma, alpha
        dims = len(size)
        self.oriented = mode == "anisotropic"
        self.sigmas = self.add_weight(
            name="sigmas",
            shape=(num_landmarks, dims) if self.oriented else (num_landmarks,),
            initializer=keras.initializers.Constant(sigma),
            trainable=mode != "fixed",
            constraint=lambda sigmas: ops.maximum(sigmas, MIN_SIGMA),
        )
        self.angles = self.add_weight(name="angles", shape=(num_landmarks, ANGLES[dims]), initializer="zeros") if self.oriented else None
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
        """Term that keeps the Gaussians narrow: 0.5 sigma^2, or the product of a landmark's sigmas, times alpha."""
        extents = ops.prod(self.sigmas, axis=-1) if self.oriented else 0.5 * ops.square(self.sigmas)
        return losses.sigma_loss(extents, visible, alpha=self.alpha)

    def covariances(self) -> Array:
        """Covariances (N, d, d) in squared network pixels, a NumPy array."""
        dims = len(self.size)
        if self.oriented:
            rotations = self.rotations()
            scaled = rotations * ops.square(self.sigmas)[:, None, :]
            return ops.convert_to_numpy(ops.matmul(scaled, ops.transpose(rotations, (0, 2, 1))))
        return ops.convert_to_numpy(ops.square(self.sigmas)[:, None, None] * ops.eye(dims))
