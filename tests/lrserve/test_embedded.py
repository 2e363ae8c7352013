from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from lrcore.service.machine import cores
from lrcore.store.connection import connect
from lrserve import embedded, supervisor
from lrserve.embedded import EmbeddedRedis, NoRedis, bundled_server, find_server, installed_server, version
from lrserve.supervisor import gpus, share_of_cores
from tests.conftest import SERVERS, redis_process


@pytest.fixture(params=SERVERS)
def server(request: pytest.FixtureRequest) -> Path:
    found = SERVERS[request.param]()
    if found is None:
        pytest.skip(f"no {request.param} Redis server")
    return found


def test_a_server_says_its_version(server: Path) -> None:
    assert (6, 2) <= version(server) < (10,)


def test_what_was_written_is_there_after_a_restart(server: Path, tmp_path: Path) -> None:
    with redis_process(tmp_path / "redis", server) as url:
        connect(url).set("kept", "yes")

    with redis_process(tmp_path / "redis", server) as url:
        assert connect(url).get("kept") == "yes"


def test_it_takes_a_quarter_of_the_memory_and_forgets_nothing(
    server: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit = tmp_path / "memory.max"
    monkeypatch.setattr(embedded, "CONTAINER_LIMIT", limit)
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    assert embedded.memory() == machine
    limit.write_text("max\n")
    assert embedded.memory() == machine
    limit.write_text(f"{256 * 2**20}\n")

    with redis_process(tmp_path / "redis", server) as url:
        info: Any = connect(url).info("memory")

    assert (info["maxmemory"], info["maxmemory_policy"]) == (64 * 2**20, "noeviction")


def test_only_this_user_can_enter_its_folders(server: Path, tmp_path: Path) -> None:
    redis = EmbeddedRedis(tmp_path / "redis", server)

    assert redis.command[0] == str(server)
    assert [folder.stat().st_mode & 0o777 for folder in (redis.folder, redis.socket.parent)] == [0o700, 0o700]
    redis.remove_socket()
    assert not redis.socket.parent.exists()


def test_a_deep_folder_does_not_make_the_socket_s_path_too_long(tmp_path: Path) -> None:
    folder = tmp_path / ("deep" * 30) / ("deeper" * 20)

    with redis_process(folder) as url:
        assert connect(url).ping()


def test_an_installed_server_goes_before_the_bundled_one() -> None:
    assert find_server() == (installed_server() or bundled_server())


def test_a_machine_without_any_server_is_told_how_to_get_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(embedded, "find_spec", lambda name: None)

    with pytest.raises(NoRedis, match=r"apt install valkey(.|\n)*brew install valkey(.|\n)*LRSERVE_REDIS_URL"):
        find_server()


def test_a_single_append_only_file_of_redis_6_is_not_opened_beside_a_newer_folder(tmp_path: Path) -> None:
    (tmp_path / "appendonlydir").mkdir()
    old = tmp_path / "redis-server"
    old.write_text("#!/bin/sh\necho 'Redis server v=6.2.14 sha=00000000:0 malloc=libc bits=64'\n")
    old.chmod(0o755)

    with pytest.raises(NoRedis, match="Redis 7 or later"):
        EmbeddedRedis(tmp_path, old)


def test_a_server_that_is_older_than_the_data_is_named_at_once(tmp_path: Path) -> None:
    new, old = bundled_server(), installed_server()
    if new is None or old is None or version(old) >= (7, 2):
        pytest.skip("needs a server of another file format than the bundled one's")
    with redis_process(tmp_path / "redis", new) as url:
        connect(url).set("kept", "yes")

    with pytest.raises(NoRedis, match=f"written by a newer server than {old}"), redis_process(tmp_path / "redis", old):
        pass

    with redis_process(tmp_path / "redis", new) as url:
        assert connect(url).get("kept") == "yes"


def test_a_server_that_does_not_start_is_reported_with_its_last_words(server: Path, tmp_path: Path) -> None:
    folder = tmp_path / "redis"
    (folder / "appendonlydir" / "appendonly.aof.manifest").mkdir(parents=True)

    with (
        pytest.raises(NoRedis, match=r"ended as it started; see .*redis\.log\n(.|\n)*manifest"),
        redis_process(folder, server),
    ):
        pass


@pytest.mark.parametrize(("visible", "expected"), [(None, ["0", "1"]), ("1", ["1"]), ("", []), ("-1", [])])
def test_the_gpus_are_those_of_the_machine_that_may_be_seen(
    visible: str | None, expected: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\necho 'GPU 0: one (UUID: a)'\necho 'GPU 1: another (UUID: b)'\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    if visible is None:
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    else:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)

    assert gpus() == expected


def test_a_machine_without_the_driver_has_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")

    assert supervisor.gpus() == []


def test_several_workers_on_the_cpu_share_its_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert share_of_cores(2) == {}
    monkeypatch.delenv("OMP_NUM_THREADS")
    assert share_of_cores(1) == {}
    assert share_of_cores(2) == {"OMP_NUM_THREADS": str(max(1, cores() // 2))}
    assert share_of_cores(10 * cores()) == {"OMP_NUM_THREADS": "1"}
