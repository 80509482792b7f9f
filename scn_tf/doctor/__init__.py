"""The check of a data set: ``scn-tf check``. One row per kind of mistake, in ``checks/``."""

from scn_tf.doctor.finding import CHECKS, Check, Finding, Found, register_check

__all__ = ["CHECKS", "Check", "Finding", "Found", "register_check"]
