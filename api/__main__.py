"""Serve the API: python -m api --host HOST --port PORT."""

from __future__ import annotations

import argparse

import uvicorn

from api.app import create_app
from api.settings import ApiSettings


def main() -> None:
    """Run one uvicorn process until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(prog="python -m api", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    arguments = parser.parse_args()
    settings = ApiSettings()
    uvicorn.run(
        create_app(settings),
        host=arguments.host,
        port=arguments.port,
        log_level="info",
        access_log=False,
        timeout_graceful_shutdown=settings.shutdown_seconds,  # an open event stream would hold it for ever
    )


if __name__ == "__main__":
    main()
