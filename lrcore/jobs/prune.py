"""Rules by which bad configurations of an experiment are stopped early. Which go on is decided in a worker."""

from __future__ import annotations

from itertools import count, takewhile
from typing import Annotated, Literal

from pydantic import Field

from lrcore.family import Spec, Whole
from lrcore.jobs.training_spec import MAX_EPOCHS

MAX_RATE = MAX_EPOCHS.bit_length() - 1  # beyond it, even the slowest powers, those of 2, exceed any training


class Asha(Spec):
    """Asynchronous successive halving, Li et al., arXiv:1810.05934, as Optuna's SuccessiveHalvingPruner decides it.

    At rung k, after min_resource * reduction_factor ** (min_early_stopping_rate + k) epochs, a configuration is
    compared with all that have come as far. The best, one in reduction_factor, go on; the others end there.
    """

    type: Literal["asha"]
    min_resource: Annotated[int, Whole(ge=1, le=MAX_EPOCHS)] = Field(
        1, description="epochs before the first judgement, if min_early_stopping_rate is 0"
    )
    reduction_factor: Annotated[int, Whole(ge=2, le=MAX_EPOCHS)] = Field(
        4, description="one in so many goes on, and so many times as many epochs come before the next judgement"
    )
    min_early_stopping_rate: Annotated[int, Whole(ge=0, le=MAX_RATE)] = Field(
        0, description="how many of the first judgements are left out"
    )

    def resource(self, rung: int) -> int:
        """After how many finished epochs the configurations are judged for the rung-th time, counted from 0."""
        return self.min_resource * int(self.reduction_factor ** (self.min_early_stopping_rate + rung))

    def rungs(self, epochs: int) -> tuple[int, ...]:
        """After how many finished epochs a configuration is judged; not at the end, where nothing is left to save."""
        return tuple(takewhile(lambda resource: resource < epochs, map(self.resource, count())))
