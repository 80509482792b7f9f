"""Hosts that are reached by ssh: a script that starts a worker on each."""

import shlex

from scn_tf.environment.cluster import PORT, checked
from scn_tf.errors import ConfigError
from scn_tf.launch.kind import Kind, Launch, filled


def files(launch: Launch) -> dict[str, str]:
    """See :class:`scn_tf.launch.kind.Kind`. Workers of one host have ports of their own.

    Raises:
        ConfigError: there are no two workers, or one has no name of a host.
    """
    if len(launch.hosts) < 2:
        raise ConfigError(f"`hosts`: expected two or more names, received {len(launch.hosts)}; name a host twice for two workers there.")
    names = [host.rsplit("@", 1)[-1] for host in launch.hosts]
    addresses = [f"{name}:{PORT + names[:rank].count(name)}" for rank, name in enumerate(names)]
    checked(addresses, 0, "`hosts`")
    values = {"hosts": shlex.join(launch.hosts), "addresses": ",".join(addresses), "port": PORT}
    return {"train.sh": filled("train.sh", launch, **values), "worker.sh": filled("worker.sh", launch)}


SSH = Kind(name="ssh", description="scripts that start the workers by ssh", files=files, start="bash train.sh", uses=("hosts",), rank=2)
