"""The API's settings, from environment variables with the prefix LRSERVE_."""

from __future__ import annotations

from pydantic import Field

from lrcore.jobs.settings import Settings


class ApiSettings(Settings):
    """What only the API needs to know."""

    max_body_bytes: int = Field(4 * 2**20, ge=1024, description="largest request body; larger ones get 413")
    shutdown_seconds: int = Field(3, ge=0, description="how long open streams may go on after SIGTERM")
