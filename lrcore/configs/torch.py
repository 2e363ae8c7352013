"""torch: the state_dict() of a scheduler, or a class by its path and arguments."""

from __future__ import annotations

from typing import Any

from lrcore.configs._base import Context, Found, Json, Path, an_object, choose, from_spec
from lrcore.configs._pieces import product
from lrcore.dialects._read import own_names
from lrcore.errors import CurveError

CLASS = ("class_path", "_target_", "target", "type", "name")  # keys that hold the path of a class
ARGUMENTS = ("init_args", "params", "args", "kwargs")  # keys that hold its arguments; else they are beside the path
NESTED = ("SequentialLR", "ChainedScheduler")
LEFT_OUT = ("verbose", "_partial_", "optimizer", "last_epoch")
# what tells the state of a class: the arguments that it holds, the most telling class first
STATES: dict[str, tuple[str, ...]] = {
    "ReduceLROnPlateau": ("factor", "patience", "threshold", "threshold_mode", "cooldown", "mode", "eps"),
    "CosineAnnealingWarmRestarts": ("T_0", "T_mult", "eta_min"),
    "CosineAnnealingLR": ("T_max", "eta_min"),
    "StepLR": ("step_size", "gamma"),
    "MultiStepLR": ("milestones", "gamma"),
    "LinearLR": ("start_factor", "end_factor", "total_iters"),
    "ConstantLR": ("factor", "total_iters"),
    "PolynomialLR": ("power", "total_iters"),
    "SequentialLR": ("_schedulers", "_milestones"),
    "ChainedScheduler": ("_schedulers",),
    "ExponentialLR": ("gamma",),
}
INCOMPLETE = {
    "_schedule_phases": "OneCycleLR",
    "total_size": "CyclicLR",
    "lr_lambdas": "LambdaLR",
    "lr_lambda": "LambdaLR",
    "swa_lrs": "SWALR",
}


def fits(config: Any) -> bool:
    """Whether this looks like the state of a scheduler of torch, or like one of its classes."""
    if not isinstance(config, dict):
        return False
    return bool(config.keys() & {"last_epoch", "_schedulers"}) or any(
        str(config.get(key)).startswith("torch.optim.") for key in CLASS
    )


def read(config: Any, context: Context) -> Found:
    """Read a scheduler, which takes a step where the training loop steps it."""
    if not isinstance(config, dict):
        raise CurveError((), "Input should be a valid object: a scheduler's state_dict(), or its class and arguments")
    if any(isinstance(config.get(key), str) for key in CLASS):
        return Found(of_class(config, ()), context.known_rate())
    state = of_state(config, ())
    rates = config.get("base_lrs")
    if rates is None and "_schedulers" in config:
        rates = config["_schedulers"][0].get("base_lrs")
    found = _base_rates(rates)
    if (step := config.get("last_epoch")) not in (None, 0):
        context.note(f"the state is that of step {step:g}" if isinstance(step, int | float) else "the state has a step")
        context.note("the schedule is given from its beginning")
    if isinstance(found, list) and context.base_lr is None:
        return Found(state, found)
    return Found(state, context.rate(found[0] if isinstance(found, list) else found))


def of_class(config: Json, path: Path) -> Json:
    """The schedule of a class, by its path or name and its arguments, beside it or in an object of their own."""
    key = next((key for key in CLASS if isinstance(config.get(key), str)), None)
    if key is None:
        raise CurveError((*path, CLASS[0]), "Field required")
    name = choose(config[key].rpartition(".")[2], own_names("torch"), "the scheduler", (*path, key))
    inside = next((each for each in ARGUMENTS if isinstance(config.get(each), dict)), None)
    given = config[inside] if inside else {each: value for each, value in config.items() if each != key}
    path = (*path, inside) if inside else path
    arguments = {each: value for each, value in given.items() if each not in LEFT_OUT}
    if given.get("last_epoch", -1) != -1:
        raise CurveError((*path, "last_epoch"), "a schedule begun later is not supported: leave it out")
    if name in NESTED:
        parts = arguments.get("schedulers")
        if not isinstance(parts, list):
            raise CurveError((*path, "schedulers"), "Input should be a valid list")
        arguments["schedulers"] = [
            of_class(an_object(part, where := (*path, "schedulers", i)), where) for i, part in enumerate(parts)
        ]
    return from_spec("torch", name, arguments, path)


def of_state(state: Json, path: Path) -> Json:
    """The schedule that a state belongs to: torch does not write its class."""
    for key, name in INCOMPLETE.items():
        if key in state:
            raise CurveError((*path, key), f"the state of {name} has not its arguments: give its class and arguments")
    name = next((each for each, keys in STATES.items() if all(key in state for key in keys)), "")
    if not name:
        raise CurveError(path, "not the state of a scheduler of torch: give its class_path and init_args")
    if name == "MultiStepLR" and isinstance(state["milestones"], dict):
        return _counted(state["milestones"], state["gamma"], path)
    arguments = {key: state[key] for key in STATES[name] if not key.startswith("_")}
    if name in NESTED:
        parts = state["_schedulers"]
        if not (isinstance(parts, list) and parts and all(isinstance(part, dict) for part in parts)):
            raise CurveError((*path, "_schedulers"), "Input should be a valid list of states")
        arguments["schedulers"] = [of_state(part, (*path, "_schedulers", i)) for i, part in enumerate(parts)]
        if name == "SequentialLR":
            arguments["milestones"] = state["_milestones"]
    try:
        return from_spec("torch", name, arguments, path)
    except CurveError as error:
        here = error.field[len(path) :]
        raise CurveError((*path, *(f"_{part}" if f"_{part}" in state else part for part in here)), str(error)) from None


def _counted(milestones: Json, gamma: Any, path: Path) -> Json:
    """MultiStepLR by the Counter of its milestones: one of them for each time that a step counts."""
    most = 0
    for step, count in milestones.items():
        if not (str(step).isdecimal() and len(str(step)) <= 15 and type(count) is int and 1 <= count <= 32):
            raise CurveError((*path, "milestones", step), "a milestone must be a step, with how often it is there")
        most = max(most, count)
    times = [sorted(int(step) for step, count in milestones.items() if count > i) for i in range(max(1, most))]
    return product([from_spec("torch", "MultiStepLR", {"milestones": each, "gamma": gamma}, path) for each in times])


def _base_rates(rates: Any) -> float | list[float] | None:
    if rates is None:
        return None
    numbers = isinstance(rates, list) and rates and all(isinstance(rate, int | float) and rate >= 0 for rate in rates)
    if not numbers:
        raise CurveError(("base_lrs",), "Input should be a valid list of rates")
    return float(rates[0]) if len(set(rates)) == 1 else [float(rate) for rate in rates]
