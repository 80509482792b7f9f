"""From any tool's annotations to a data set, and from one format to another.

``making`` turns images and annotation files into a data-set folder, ``conversion`` one format into another. Both read with ``sources``
(walk), ``parts`` (formats; ``damage`` tells why a file is of none), ``matching`` (annotations to images), ``looks`` (facts and thumbnails
of images), brought together by ``gathering``, and ``decision`` (frame of the coordinates). It chooses among ``candidates``, each an
``interpretation``, with the images as ``witness``.
Conversions of data sets read images ``on_demand``. ``patients``, ``placeholders``, ``splits``, ``sides``, ``writing`` and ``summary``
serve ``making`` alone.
"""
