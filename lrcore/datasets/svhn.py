"""Street View House Numbers: 73,257 + 26,032 colour 32x32 digits, for non-commercial use, 250 MB to download.

Netzer, Wang, Coates, Bissacco, Wu and Ng, Reading digits in natural images with unsupervised feature learning (2011).
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from lrcore.datasets._base import Facts
from lrcore.datasets._from_torchvision import FromTorchvision
from lrcore.family import Flag


class SVHN(FromTorchvision):
    """The cropped digits; 0 has label 0."""

    summary = "73,257 + 26,032 colour 32x32 digits of house numbers, 10 classes; downloaded on first use"
    origin = "Stanford University and Google, http://ufldl.stanford.edu/housenumbers/"
    example = {"type": "svhn", "normalize": True}
    source, place = "SVHN", ""  # its three files lie in the data root itself

    type: Literal["svhn"]
    extra: Flag = Field(
        False, description="train on the 531,131 simpler extra digits, too: 1.3 GB to download, 2 GB in memory"
    )

    @property
    def facts(self) -> Facts:
        if self.extra:
            mean, std = (0.4309, 0.4302, 0.4463), (0.1965, 0.1983, 0.1994)
            return Facts((3, 32, 32), 10, 73_257 + 531_131, 26_032, mean, std)
        return Facts((3, 32, 32), 10, 73_257, 26_032, (0.4377, 0.4438, 0.4728), (0.1980, 0.2010, 0.1970))

    def parts(self, train: bool) -> tuple[dict[str, Any], ...]:
        if not train:
            return ({"split": "test"},)
        return ({"split": "train"}, {"split": "extra"}) if self.extra else ({"split": "train"},)
