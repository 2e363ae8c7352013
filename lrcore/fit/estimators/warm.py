"""Steps and endless decays after a linear warm-up, as torch's SequentialLR or a WarmUp around them."""

from __future__ import annotations

from collections.abc import Iterator

from lrcore.fit.candidate import Candidate
from lrcore.fit.estimators import levels
from lrcore.fit.estimators.falls import exponential, warmed
from lrcore.fit.estimators.phases import turns
from lrcore.fit.series import Series

AFTER = (levels.constant, levels.even_steps, levels.milestones, exponential)


def warm_then(series: Series) -> Iterator[Candidate]:
    """A warm-up, then what counts from its end."""
    seen = set()
    for turn in turns(series):
        if turn.warm == 0 or turn.warm in seen:
            continue
        seen.add(turn.warm)
        rest = series.after(turn.warm)
        for estimate in AFTER if len(rest) > 1 else ():
            for part in estimate(rest):
                if part.base_lr is not None:
                    yield from warmed(part, turn)
        top = float(rest.y[0])
        yield Candidate({"type": "constant_with_warmup", "num_warmup_steps": turn.warm}, top)


ESTIMATORS = (warm_then,)
