"""What every request passes before the routes: bounds, origins, keys, limits, metrics."""
