"""HTTP in, HTTP out. Stands on lrcore; knows nothing of the worker and never imports torch."""
