"""Train one job without any service: python -m worker.engine SPEC.json [--data-root DIR] [--checkpoint FILE]."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from pydantic import ValidationError

from lrcore.errors import LrcoreError
from lrcore.jobs.job import Best, Epoch
from lrcore.jobs.spec import JobSpec
from worker.engine import Diverged, Hooks, train


def main() -> int:
    """Print a line of JSON for each epoch. Returns the exit status: 0, or 1 with the reason on stderr."""
    parser = argparse.ArgumentParser(prog="python -m worker.engine", description=__doc__)
    parser.add_argument("spec", type=Path, help="the job as JSON, as POST /v1/jobs takes it")
    parser.add_argument("--data-root", type=Path, default=Path("data"))
    parser.add_argument("--checkpoint", type=Path, help="written after each epoch; taken up if it is there")
    arguments = parser.parse_args()

    def report(epoch: Epoch, best: Best) -> None:
        print(epoch.model_dump_json(), flush=True)

    try:
        spec = JobSpec.model_validate_json(arguments.spec.read_bytes())
        train(spec, data_root=arguments.data_root, checkpoint=arguments.checkpoint, hooks=Hooks(epoch=report))
    except (OSError, ValidationError, LrcoreError, Diverged) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
