"""The public names for plug-ins: the bases of the four families, their field types, and helpers.

Semantic versioning applies to these names and to what their docstrings say; everything else in lrcore may change in
any version. A plug-in is a distribution whose entry points name its modules:

    [project.entry-points."lrserve.schedules"]
    acme = "acme_lrserve"

`acme` is the vendor: the `type` of each member is `acme:` and a name. A member is a class defined in the
module, with `summary`, `origin` and `example`; a schedule also has `formula`. Import torch inside `build` or `load`:
the API lists models and data sets without it. The operator names the distribution in LRSERVE_PLUGINS.
"""

from __future__ import annotations

from lrcore.datasets._base import Dataset, Files, Images, Labels, Splits
from lrcore.errors import CurveError, DataUnavailable, MissingPackage
from lrcore.family import Flag, Items, Name, Number, Spec, Whole
from lrcore.models._base import ImageShape, Model
from lrcore.numerics.cost import Load
from lrcore.numerics.formulas import Node, NoFormula, Value, call, less, where
from lrcore.numerics.grid import Extent, Grid, constant, elementwise, extent
from lrcore.optimizers._base import Beta, Betas, Decay, Epsilon, Optimizer
from lrcore.schedules._base import (
    Count,
    Factor,
    Fraction,
    GroupRates,
    Index,
    Milestones,
    Rate,
    Rates,
    RatesByStep,
    Schedule,
    SignedSteps,
    StepCount,
    StepIndex,
    of_group,
)

__all__ = [
    "Beta",
    "Betas",
    "Count",
    "CurveError",
    "DataUnavailable",
    "Dataset",
    "Decay",
    "Epsilon",
    "Extent",
    "Factor",
    "Files",
    "Flag",
    "Fraction",
    "Grid",
    "GroupRates",
    "ImageShape",
    "Images",
    "Index",
    "Items",
    "Labels",
    "Load",
    "Milestones",
    "MissingPackage",
    "Model",
    "Name",
    "NoFormula",
    "Node",
    "Number",
    "Optimizer",
    "Rate",
    "Rates",
    "RatesByStep",
    "Schedule",
    "SignedSteps",
    "Spec",
    "Splits",
    "StepCount",
    "StepIndex",
    "Value",
    "Whole",
    "call",
    "constant",
    "elementwise",
    "extent",
    "less",
    "of_group",
    "where",
]
