"""STL-10: 5,000 + 8,000 colour 96x96 photographs of ImageNet in 10 classes, 2.6 GB to download.

Coates, Lee and Ng, An analysis of single-layer networks in unsupervised feature learning (2011).
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from lrcore.datasets._base import Facts
from lrcore.datasets._from_torchvision import FromTorchvision


class STL10(FromTorchvision):
    """The labelled images; the 100,000 unlabelled ones are downloaded with them and not used."""

    summary = "5,000 + 8,000 colour 96x96 photographs, 10 classes; downloaded on first use"
    origin = "Stanford University, https://cs.stanford.edu/~acoates/stl10/"
    example = {"type": "stl10", "normalize": True, "flip": True, "crop": 12}
    source, place = "STL10", "stl10_binary"
    facts: ClassVar[Facts] = Facts(
        (3, 96, 96), 10, 5_000, 8_000, mean=(0.4467, 0.4398, 0.4066), std=(0.2603, 0.2566, 0.2713)
    )

    type: Literal["stl10"]

    def parts(self, train: bool) -> tuple[dict[str, Any], ...]:
        return ({"split": "train" if train else "test"},)
