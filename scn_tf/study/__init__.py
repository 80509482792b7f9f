"""Studies compare systems: models x training sizes x folds x seeds. Each is an ordinary run; tables and the paper's curves follow."""

from scn_tf.study.cluster import kubernetes_manifest, slurm_script
from scn_tf.study.execute import check_data, check_settings, left_out, log_file, run_all, run_one, unfinished
from scn_tf.study.plan import Study, read_study
from scn_tf.study.report import check_out, write_report

__all__ = [
    "Study",
    "check_data",
    "check_out",
    "check_settings",
    "kubernetes_manifest",
    "left_out",
    "log_file",
    "read_study",
    "run_all",
    "run_one",
    "slurm_script",
    "unfinished",
    "write_report",
]
