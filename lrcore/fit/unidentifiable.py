"""The schedules that no log of rates can name."""

UNIDENTIFIABLE = {
    "LambdaLR": "any expression at all",
    "MultiplicativeLR": "any expression at all",
    "manual": "a table of rates, one for each step if need be; its runs of equal rates are found as lists",
    "ReduceLROnPlateau": "not a function of the step, but of a metric; its drops are found as milestones",
    "SequentialLR": "any schedules one after another; a warm-up and one family after it are found",
    "ChainedScheduler": "a product of any schedules",
    "WarmUp": "any schedule inside; a linear warm-up and one family after it are found",
    "Repeat": "any schedule inside",
    "BaseLR": "the curve of the schedule inside, which is found instead",
    "Scale": "the curve of the schedule inside at another rate, which is found instead",
    "Shift": "a part of any schedule's curve",
    "Clamp": "any schedule inside, cut off",
    "sgdr_schedule": "a list of cycles, each with numbers of its own",
}
