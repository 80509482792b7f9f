"""From the heatmaps of a calibrated model to the estimates that its answers carry. Part of every export."""

from scn_tf.environment.backend import ops
from scn_tf.types import Tensor
from scn_tf.uncertainty import ordinary
from scn_tf.uncertainty.calibration import Calibration
from scn_tf.uncertainty.error_model import expected_error
from scn_tf.uncertainty.peak_statistics import peak_statistics

ESTIMATES = ("expected_error", "radius95", "present", "image_ok")


def estimate(calibration: Calibration, heatmaps: Tensor) -> dict[str, Tensor]:
    """Estimates by name: fields of :class:`scn_tf.types.Located`.

    Args:
        calibration: of the model.
        heatmaps: (B, [D,] H, W, N).

    Returns:
        ``expected_error`` and ``radius95`` (B, N) float32, network pixels; ``present`` (B, N) and ``image_ok`` (B,) int32, 1 or 0.
    """
    statistics, usual = peak_statistics(heatmaps), calibration.ordinary
    expected = expected_error(calibration.error_model, statistics)
    # exp and log instead of a power, which TFLite has for constants alone
    radius = calibration.factor * ops.exp(calibration.power * ops.log(expected))
    present = ordinary.presence(usual, statistics) >= calibration.lowest_presence
    image_ok = ordinary.strangeness(usual, statistics) <= calibration.largest_strangeness
    return {
        "expected_error": expected,
        "radius95": radius,
        "present": ops.cast(present, "int32"),
        "image_ok": ops.cast(image_ok, "int32"),
    }
