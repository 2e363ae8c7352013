"""Which configurations of an experiment go on at a rung: Optuna's pruner decides, asked as if each came last."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from threading import Lock
from typing import TYPE_CHECKING

from lrcore.errors import MissingPackage
from lrcore.jobs.prune import Asha

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import FrozenTrial

_verbosity = Lock()


def check() -> None:
    """Find out before the training what could not be decided in it.

    Raises:
        MissingPackage: Optuna is not installed.
    """
    if find_spec("optuna") is None:
        raise MissingPackage("pruning needs optuna, which this worker has not: pip install 'lrserve[worker]'")


def survivors(rule: Asha, rung: int, values: Mapping[int, float]) -> set[int]:
    """Of the configurations with these accuracies at the rung, counted from 0, those that go on; NaN never does.

    Optuna compares a trial with those that came before it. In a batch nothing comes first: each is judged as the
    last one, against all others. Equal values share their fate, so that more than one in reduction_factor may go on.

    Raises:
        MissingPackage: Optuna is not installed.
    """
    check()
    ascending = sorted((index for index, value in values.items() if not math.isnan(value)), key=values.__getitem__)
    resource = rule.resource(rung)
    with _quiet():
        arrived = [_arrived(rule, rung, values[index]) for index in ascending]

        def goes_on(position: int) -> bool:
            study = _study(rule, rung)  # a judged trial stays in its study: at the next question it would count twice
            study.add_trials(arrived[:position] + arrived[position + 1 :])
            return _goes_on(study, resource, values[ascending[position]])

        first = bisect_left(range(len(ascending)), True, key=goes_on)
    return set(ascending[first:])


def _study(rule: Asha, rung: int) -> Study:
    import optuna  # noqa: PLC0415  # a third of a second, and a package that few jobs need

    # its first rung is the rule's rung-th, so that no trial needs a past at the rungs before
    rate = rule.min_early_stopping_rate + rung
    pruner = optuna.pruners.SuccessiveHalvingPruner(rule.min_resource, rule.reduction_factor, rate)
    return optuna.create_study(direction="maximize", pruner=pruner)


def _arrived(rule: Asha, rung: int, value: float) -> FrozenTrial:
    """A trial with Optuna's own record of what it had at the rung, for the next ones are compared with that."""
    study = _study(rule, rung)
    _goes_on(study, rule.resource(rung), value)
    (trial,) = study.get_trials(deepcopy=False)
    return trial


def _goes_on(study: Study, resource: int, value: float) -> bool:
    """What Optuna says of a trial that comes to the study after all others."""
    trial = study.ask()
    trial.report(value, resource)
    return not trial.should_prune()


@contextmanager
def _quiet() -> Iterator[None]:
    """Without a line of log for each new study. Optuna's level is the process's, so one thread at a time."""
    from optuna import logging  # noqa: PLC0415

    with _verbosity:
        before = logging.get_verbosity()
        logging.set_verbosity(max(before, logging.WARNING))
        try:
            yield
        finally:
            logging.set_verbosity(before)
