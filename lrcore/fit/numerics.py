"""Small numerical tools of the estimators: lines, geometric series, one-dimensional search, nonlinear least squares."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from lrcore.numerics.grid import Array

FEW = 200  # points that an estimate looks at


def whole(value: float) -> int:
    """The nearest step count, at least 1."""
    return round(min(max(float(value), 1.0), 1e15)) if np.isfinite(value) else 1


def rounded(value: float, digits: int) -> float:
    """The value with so many significant digits."""
    return float(f"{value:.{digits - 1}e}")


def thin(n: int, most: int = FEW) -> Array:
    """At most `most` of the indices 0 .. n - 1, the first and the last among them."""
    return np.unique(np.linspace(0, n - 1, min(n, most)).astype(np.int64))


def line(x: Array, y: Array, weight: Array | float = 1.0) -> tuple[float, float]:
    """Intercept and slope of the nearest line."""
    weight = np.broadcast_to(weight, x.shape)
    total = weight.sum()
    mx, my = (weight * x).sum() / total, (weight * y).sum() / total
    slope = (weight * (x - mx) * (y - my)).sum() / (weight * (x - mx) ** 2).sum()
    return float(my - slope * mx), float(slope)


def geometric(t: Array, y: Array) -> tuple[float, float]:
    """First value and factor of the nearest geometric series y[0] * factor ** t."""
    some = y > 1e-12 * y.max()
    start, slope = line(t[some], np.log(y[some]), (y[some] / y.max()) ** 2)
    return float(np.exp(start)), float(np.exp(slope))


def least(function: Callable[[float], float], low: float, high: float) -> float:
    """Where the function is least, by golden section."""
    ratio = (np.sqrt(5) - 1) / 2
    a, b = high - ratio * (high - low), low + ratio * (high - low)
    at_a, at_b = function(a), function(b)
    for _ in range(50):
        if at_a < at_b:
            high, b, at_b = b, a, at_a
            a = high - ratio * (high - low)
            at_a = function(a)
        else:
            low, a, at_a = a, b, at_b
            b = low + ratio * (high - low)
            at_b = function(b)
    return (low + high) / 2


def projected(shape: Array, y: Array, floored: bool) -> tuple[float, float, float]:
    """The nearest low + height * shape: low, height and the sum of squares that is left. Without `floored` low is 0."""
    if not floored:
        height = float(shape @ y) / max(float(shape @ shape), 1e-300)
        rest = y - height * shape
        return 0.0, height, float(rest @ rest)
    mean, level = float(shape.mean()), float(y.mean())
    own, wanted = shape - mean, y - level
    height = float(own @ wanted) / max(float(own @ own), 1e-300)
    rest = wanted - height * own
    return level - height * mean, height, float(rest @ rest)


def damped(residual: Callable[[Array], Array | None], x: Array, steps: int, enough: float) -> tuple[Array, float]:
    """Least squares by Levenberg and Marquardt's steps, with differences for slopes.

    Args:
        residual: of the parameters; None where they have none.
        x: where to start.
        steps: at most.
        enough: a sum of squares that need not become less.

    Returns:
        The parameters and their sum of squares, infinite if there is no residual at the start.
    """
    rest = residual(x)
    if rest is None:
        return x, np.inf
    found, damping = float(rest @ rest), 1e-3
    for _ in range(steps):
        if found <= enough:
            break
        moved = [residual(x + 1e-6 * np.eye(len(x))[i]) for i in range(len(x))]
        slopes = np.stack([np.zeros_like(rest) if m is None else (m - rest) / 1e-6 for m in moved], axis=1)
        normal, gradient = slopes.T @ slopes, slopes.T @ rest
        before = found
        for _ in range(5):
            try:
                change = np.linalg.solve(normal + damping * np.diag(np.diag(normal) + 1e-30), -gradient)
            except np.linalg.LinAlgError:
                return x, found
            trial = x + np.clip(change, -1.0, 1.0)
            other = residual(trial)
            if other is not None and float(other @ other) < found:
                x, rest, found, damping = trial, other, float(other @ other), damping / 10
                break
            damping *= 10
        if not found < before * (1 - 1e-3):
            break
    return x, found


def least_largest(slopes: Array, rest: Array) -> Array:
    """The x whose largest |rest - slopes x| is least, nearly: Newton's steps for growing powers of the distances."""
    x = best = np.asarray(np.linalg.lstsq(slopes, rest, rcond=1e-12)[0], dtype=np.float64)
    power = 2.0
    least = np.abs(rest - slopes @ x).max()
    while power < 2000 and least > 0:
        power *= 1.5
        for _ in range(3):
            off = rest - slopes @ x
            share = (np.abs(off) / np.abs(off).max() + 1e-12) ** (power / 2 - 1)
            x = x + np.linalg.lstsq(slopes * share[:, None], off * share, rcond=1e-12)[0] / (power - 1)
            largest = np.abs(rest - slopes @ x).max()
            if largest < least:
                best, least = x, largest
    return best


def wave_length(t: Array, y: Array) -> float:
    """Steps of half a wave of a cosine of any phase on evenly spaced t, by y[i - h] + y[i + h] = 2 cos(..) y[i] + c."""
    n = len(y)
    if n < 4:
        return float(t[-1] - t[0]) if n > 1 else 1.0
    h = max(1, n // 3)
    gap = (t[-1] - t[0]) / (n - 1)
    _, twice = line(y[h:-h], y[: -2 * h] + y[2 * h :])
    return float(np.pi * h * gap / np.arccos(np.clip(twice / 2, -1.0, 1.0)))
