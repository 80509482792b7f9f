"""Facts of images that are read when they are asked for: most formats need none."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from scn_tf.data.images.facts import ImageFacts, read_facts


class FactsOnDemand(Mapping[str, ImageFacts]):
    """Image ID -> facts. An image is read the first time its facts are asked for.

    Args:
        paths: image ID -> file, or folder of a DICOM series.
        dims: 2 or 3.
    """

    def __init__(self, paths: Mapping[str, Path], dims: int) -> None:
        self._paths, self._dims = paths, dims
        self._read: dict[str, ImageFacts] = {}

    def __getitem__(self, image_id: str) -> ImageFacts:
        """Facts of an image.

        Raises:
            KeyError: there is no such image.
            ImageError: it cannot be read.
        """
        if image_id not in self._read:
            self._read[image_id] = read_facts(self._paths[image_id], dims=self._dims)
        return self._read[image_id]

    def __contains__(self, image_id: object) -> bool:
        """Whether there is an image, which is not read."""
        return image_id in self._paths

    def __iter__(self) -> Iterator[str]:
        """All IDs."""
        return iter(self._paths)

    def __len__(self) -> int:
        """Number of images."""
        return len(self._paths)
