"""What API and worker must agree on, from environment variables with the prefix LRSERVE_."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from lrcore.plugins import DISTRIBUTION
from lrcore.service import logs
from lrcore.store.connection import check_url


class Settings(BaseSettings):
    """What all processes read. Raises pydantic.ValidationError, which names the variable, if one is not valid."""

    model_config = SettingsConfigDict(env_prefix="LRSERVE_", frozen=True, hide_input_in_errors=True)

    redis_url: str = Field(
        "redis://127.0.0.1:6379/0",
        repr=False,
        description="the job store, a Redis or Valkey from 6.2 on: redis://, rediss:// or unix://, or "
        "redis+sentinel:// or rediss+sentinel:// for one that fails over. `lrserve up` starts one of its own if it is "
        "not set",
    )
    redis_wait_replicas: int = Field(
        0,
        ge=0,
        description="replicas that must have a submitted job before it is accepted, with 503 after a second without "
        "them; 0: none, and a failover may lose the jobs that were accepted last",
    )
    home: Path = Field(Path("~/.lrserve"), description="folder of the embedded Redis and of checkpoints")
    data_root: Path | None = Field(None, description="folder of the data sets; HOME/datasets if not set")
    artifact_root: str | None = Field(
        None,
        min_length=1,
        description="where jobs leave their files: a folder or an fsspec URL; HOME/artifacts if not set",
    )
    lease_seconds: float = Field(45.0, ge=1, description="seconds that a silent worker keeps its job")
    heartbeat_seconds: float = Field(
        0.5,
        gt=0,
        description="seconds between two reports of a training worker; a cancelled job stops within about as long",
    )
    stall_seconds: float = Field(
        600.0, gt=0, description="seconds without progress after which a worker ends; its job goes to another"
    )
    alive_file: Path | None = Field(
        None, description="file that a worker touches every 5 s, for the health check of its container; none if not set"
    )
    reap_seconds: float = Field(2.0, gt=0, description="seconds between two checks for lost jobs and lost messages")
    max_losses: int = Field(3, ge=0, description="workers a job may lose before it fails")
    max_kills: int = Field(
        2, ge=1, description="deaths of its worker's process, such as for lack of memory, at which a job fails"
    )
    previous_status: int | None = Field(
        None,
        description="exit status of the process that had the worker's name before, -9 for signal 9, if known; "
        "`lrserve up` sets it",
    )
    retention_days: float | None = Field(
        None, gt=0, description="days that ended jobs are kept, with their files; for ever if not set"
    )
    runs_at_once: int | None = Field(
        None, ge=1, description="runs of an experiment that a worker takes at once; 64 on a GPU, else 8, if not set"
    )
    hardware: str | None = Field(
        None,
        pattern=r"^[a-z0-9][a-z0-9._-]{0,31}(,[a-z0-9][a-z0-9._-]{0,31})*$",
        description="comma-separated labels of this machine's workers; if not set, what is found: "
        "cpu, or gpu and the card's name, such as gpu.h200",
    )
    plugins: str = Field(
        "",
        pattern=rf"^\s*({DISTRIBUTION}(\s*,\s*{DISTRIBUTION})*)?\s*$",
        description="comma-separated installed distributions whose schedules, models, data sets and optimizers "
        "are loaded at the start",
    )
    log_format: logs.Format = Field("text", description="text for people, or json: one object per line")
    log_level: logs.Level = Field(
        "info", description="debug, info, warning or error: the least severe messages that are logged"
    )

    @field_validator("redis_url")
    @classmethod
    def _understood(cls, url: str) -> str:
        check_url(url)
        return url

    @field_validator("artifact_root")
    @classmethod
    def _a_file_system(cls, root: str | None) -> str | None:
        protocol, separator, _ = (root or "").partition("://")
        if protocol == "memory":
            raise ValueError("memory:// is seen by one process only, and workers write what the API reads")
        if separator:
            import fsspec  # noqa: PLC0415  # most have a folder, and need not wait for it

            try:
                fsspec.get_filesystem_class(protocol)
            except (ImportError, ValueError) as error:  # such as: install s3fs
                raise ValueError(str(error)) from None
        return root

    @property
    def home_folder(self) -> Path:
        """`home` as an absolute path."""
        return self.home.expanduser().resolve()

    def job_folder(self, job_id: str) -> Path:
        """Where a worker keeps a job's checkpoint and weights until the job ends."""
        return self.home_folder / "jobs" / job_id

    @property
    def data_folder(self) -> Path:
        """Where data sets live."""
        return (self.data_root or self.home_folder / "datasets").expanduser().resolve()

    @property
    def artifact_url(self) -> str:
        """The artifact root as an fsspec URL."""
        if self.artifact_root is None:
            return f"file://{self.home_folder / 'artifacts'}"
        if "://" in self.artifact_root:
            return self.artifact_root
        return f"file://{Path(self.artifact_root).expanduser().resolve()}"
