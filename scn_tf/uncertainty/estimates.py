"""From the heatmaps of a calibrated model to the estimates that its answers carry. Part of every export."""

from scn_tf.environment.backend import ops
from scn_tf.types import Tensor
from scn_tf.uncertainty.calibration import Calibration
from scn_tf.uncertainty.error_model import expected_error
from scn_tf.uncertainty.peak_statistics import peak_statistics

ESTIMATES = ("expected_error", "radius95")


def estimate(calibration: Calibration, heatmaps: Tensor) -> dict[str, Tensor]:
    """Estimates by name: fields of :class:`scn_tf.types.Located`.

    Args:
        calibration: of the model.
        heatmaps: (B, [D,] H, W, N).

    Returns:
        ``expected_error`` and ``radius95`` (B, N) float32, network pixels.
    """
    expected = expected_error(calibration.error_model, peak_statistics(heatmaps))
    # exp and log instead of a power, which TFLite has for constants alone
    radius = calibration.factor * ops.exp(calibration.power * ops.log(expected))
    return {"expected_error": expected, "radius95": radius}
