"""From a logged learning rate back to the schedule that drew it.

Closed-form estimators (`estimators`) propose specs; each is drawn, its numbers and lengths are refined by least squares
and rounded to the shortest decimals that cost no accuracy (`refine`), and what is returned carries the error of the
curve that the spec really draws.
"""

from lrcore.fit.sampling import StepError
from lrcore.fit.search import MAX_LENGTH, Fit, fit
from lrcore.fit.unidentifiable import UNIDENTIFIABLE

__all__ = ["MAX_LENGTH", "UNIDENTIFIABLE", "Fit", "StepError", "fit"]
