"""Settings that find themselves: a data set and the machine are measured, and every setting is decided with its reason.

``measure`` and ``shapes`` hold the facts of a data set, ``machine`` those of the machine. ``cost``, ``memory`` and ``accuracy``
estimate what a network takes and gives. ``layout`` lists networks, ``plan`` chooses one. ``network``, ``augmentation`` and
``schedule`` decide single settings, ``decide`` all of them; ``suggestion`` makes a configuration of them.
"""

from scn_tf.suggest.suggestion import Suggestion, suggest

__all__ = ["Suggestion", "suggest"]
