"""The schedules that no log of rates can name, and those that are not looked for."""

UNIDENTIFIABLE = {
    "LambdaLR": "any expression at all",
    "MultiplicativeLR": "any expression at all",
    "manual": "a table of rates, one for each step if need be; its runs of equal rates are found as lists",
    "ReduceLROnPlateau": "not a function of the step, but of a metric; its drops are found as milestones",
    "greedy": "not a function of the step, but of a metric",
    "SequentialLR": "any schedules one after another; a warm-up and one family after it are found",
    "ChainedScheduler": "a product of any schedules",
    "WarmUp": "any schedule inside; a linear warm-up and one family after it are found",
    "Repeat": "any schedule inside",
    "BaseLR": "the curve of the schedule inside, which is found instead",
    "Scale": "the curve of the schedule inside at another rate, which is found instead",
    "Shift": "a part of any schedule's curve",
    "Noise": "any schedule inside, with random numbers on it",
    "Eden": "not looked for: it falls with two roots at once, and its drops from epoch to epoch are small",
    "PowerLR": "not looked for: a power of the step between two lines",
    "WSDS": "not looked for: a list of periods, each with numbers of its own",
    "Clamp": "any schedule inside, cut off",
    "sgdr_schedule": "a list of cycles, each with numbers of its own",
}
