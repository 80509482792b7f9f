"""The network once more in plain PyTorch, with the weights of a Keras one: a yardstick for speed, and a check of the method."""

import numpy as np
import torch
from torch.nn import functional

from scn_tf.models.parts.blocks import LEAKY_SLOPE
from scn_tf.models.parts.layers import cubic_matrix


class Twin(torch.nn.Module):
    """SCN in 2D with the argmax and quadratic decoder: (B, C, H, W) -> landmarks (B, N, 2), scores (B, N).

    Args:
        network: functional Keras model of :func:`scn_tf.models.scn.build_scn`, 2D.
        settings: its resolved :class:`scn_tf.config.ModelConfig`.
    """

    def __init__(self, network, settings):
        super().__init__()
        self.levels, self.pooling = settings.levels, settings.spatial_pooling
        self.convolutions = torch.nn.ModuleDict()
        for layer in network.layers:
            if hasattr(layer, "kernel"):
                kernel, bias = (torch.from_numpy(np.array(weight)) for weight in layer.get_weights())
                outputs, inputs, side = kernel.shape[3], kernel.shape[2], kernel.shape[0]
                twin = torch.nn.Conv2d(inputs, outputs, side, padding="same")
                twin.weight.data, twin.bias.data = kernel.permute(3, 2, 0, 1).contiguous(), bias
                self.convolutions[layer.name] = twin
        for axis, size in zip("yx", settings.image_size, strict=True):
            self.register_buffer(f"cubic_{axis}", torch.from_numpy(cubic_matrix(size // self.pooling, size)))

    def forward(self, image):
        return _decode(self.heatmaps(image))

    def heatmaps(self, image):
        """(B, C, H, W) -> (B, N, H, W)."""
        tensor, skips = self._leaky("la_stem", image), []
        for level in range(self.levels):
            if level > 0:
                tensor = functional.avg_pool2d(tensor, 2)
            tensor = self._leaky(f"la_{level}_conv2", self._leaky(f"la_{level}_conv1", tensor))
            skips.append(self._leaky(f"la_{level}_parallel", tensor))
        tensor = skips.pop()
        while skips:
            tensor = functional.interpolate(tensor, scale_factor=2, mode="bilinear", align_corners=False) + skips.pop()
        local = self.convolutions["local_appearance"](tensor)
        tensor = functional.avg_pool2d(local, self.pooling)
        for index in (1, 2, 3):
            tensor = self._leaky(f"sc_conv{index}", tensor)
        coarse = torch.tanh(self.convolutions["sc_head"](tensor))
        return local * (self.cubic_y @ coarse @ self.cubic_x.T)

    def _leaky(self, name, tensor):
        return functional.leaky_relu(self.convolutions[name](tensor), LEAKY_SLOPE)


def _decode(maps):
    """Maximum and a parabola through it and its neighbours, as :func:`scn_tf.heatmaps.quadratic_coordinates`."""
    height, width = maps.shape[-2:]
    flat = maps.flatten(2)
    scores, index = flat.max(dim=2)
    whole = torch.stack([index % width, index // width], dim=-1)
    steps = []
    for axis, (size, stride) in enumerate(((width, 1), (height, width))):
        position = whole[..., axis]
        inner = (position > 0) & (position < size - 1)
        before = flat.gather(2, (index - stride * (position > 0))[..., None])[..., 0]
        after = flat.gather(2, (index + stride * (position < size - 1))[..., None])[..., 0]
        curvature = 2 * scores - before - after
        curved = inner & (curvature > 0)
        step = 0.5 * (after - before) / torch.where(curved, curvature, torch.ones_like(curvature))
        steps.append(torch.where(curved, step.clamp(-0.5, 0.5), torch.zeros_like(step)))
    return whole + torch.stack(steps, dim=-1), scores
