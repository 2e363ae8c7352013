"""A service that asks for no keys is for this machine's user alone: not for the web pages that the user looks at."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from fastapi.testclient import TestClient
from pydantic import ValidationError

from lrcore.access.audit import AuditLog
from lrcore.access.keys import KeyStore, Role
from lrcore.store.connection import connect
from lrserve.api.app import create_app
from lrserve.api.middleware.first_key import FirstKey
from lrserve.api.settings import ApiSettings
from tests.conftest import Service, redis_process, until
from tests.factories import long_job
from tests.security.conftest import api_process

EVIL = "https://evil.example"
TOKEN = re.compile(r"lrs_[0-9a-z]{12}_[A-Za-z0-9_-]{43}")


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """An API without keys and without a Redis."""
    with api_process(tmp_path_factory.mktemp("open")) as port:
        yield port


def is_problem(answer: httpx.Response, status: int, kind: str, *words: str) -> None:
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json"), answer.text
    assert answer.json()["type"] == f"urn:lrserve:problem:{kind}"
    assert all(word in answer.json()["detail"] for word in words), answer.text
    assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.sampled(4)
@pytest.mark.parametrize(
    ("method", "path"),
    [
        *(("GET", path) for path in ("/", "/docs", "/healthz", "/readyz", "/metrics", "/v1/jobs", "/v1/keys")),
        *(("POST", path) for path in ("/v1/jobs", "/v1/keys", "/v1/curves", "/v1/jobs/a/cancel")),
        ("DELETE", "/v1/jobs/a"),
        ("OPTIONS", "/v1/jobs"),
    ],
)
def test_a_page_whose_name_is_rebound_to_this_machine_gets_nothing(method: str, path: str, port: int) -> None:
    """For the browser all of this is the page's own origin, so that no other check would refuse it."""
    host = f"evil.example:{port}"
    page = {"Host": host, "Origin": f"http://{host}", "Sec-Fetch-Site": "same-origin"}
    answer = httpx.request(method, f"http://127.0.0.1:{port}{path}", headers=page)

    is_problem(answer, 421, "misdirected-request", "'evil.example'", "LRSERVE_ALLOWED_HOSTS")


OWN = ["localhost", "LocalHost", "localhost.", "lrserve.localhost", "127.0.0.1", "127.8.9.10", "[::1]"]
OTHERS = [
    *("localhost.evil.example", "evillocalhost", "127.0.0.1.evil.example", "evil.example.", "10.0.0.1", "[::2]"),
    *("2130706433", "127.1", "0.0.0.0", "a@localhost", "localhost/evil.example", "localhost, evil.example"),
]
NONE = ["", ":8000", "[::1", "::1", "localhost:80:80", "localhost:evil", "[::1].evil.example"]


@pytest.mark.parametrize("suffix", ["", ":8000"])
def test_this_machine_s_names_and_no_others(suffix: str, port: int) -> None:
    with httpx.Client(base_url=f"http://127.0.0.1:{port}") as client:
        for expected, hosts in ((200, OWN), (421, OTHERS)):
            for host in hosts:
                status = client.get("/healthz", headers={"Host": f"{host}{suffix}"}).status_code
                assert status == expected, host


def test_what_is_no_host_is_refused(port: int) -> None:
    for head in (
        b"",
        b"Host: localhost\r\nHost: evil.example\r\n",
        *(b"Host: %b\r\n" % host.encode() for host in NONE),
    ):
        with socket.create_connection(("127.0.0.1", port), timeout=60) as client:
            client.sendall(b"GET /healthz HTTP/1.1\r\n%bConnection: close\r\n\r\n" % head)
            assert client.recv(65536).startswith(b"HTTP/1.1 400 "), head


@pytest.mark.slowest
def test_names_that_the_operator_adds(tmp_path: Path) -> None:
    """Without keys on every address, as somebody who knows what it means may have it."""
    names = '["lab.example", "*.lab.example"]'
    with api_process(tmp_path, host="0.0.0.0", allowed_hosts=names) as port:
        for host, status in [
            *((host, 200) for host in ("lab.example", "LAB.example:8000", "a.lab.example", "a.b.lab.example", *OWN)),
            *((host, 421) for host in ("evil.example", "evillab.example", "lab.example.evil.example", "10.0.0.1")),
        ]:
            assert httpx.get(f"http://127.0.0.1:{port}/healthz", headers={"Host": host}).status_code == status, host
    assert "LRSERVE_ALLOWED_HOSTS" in (tmp_path / "api.log").read_text()


@pytest.mark.parametrize(
    ("settings", "listening", "status"),
    [
        (ApiSettings(auth=False), "127.0.0.1", 421),
        (ApiSettings(auth=False), "lab", 200),
        (ApiSettings(auth=False), "10.1.2.3", 421),
        (ApiSettings(auth=False, allowed_hosts=("*",)), "127.0.0.1", 200),
        (ApiSettings(auth=True), "0.0.0.0", 200),  # probes come with a pod's address, and a page has no key
        (ApiSettings(auth=True, allowed_hosts=("*",)), "0.0.0.0", 200),
        (ApiSettings(auth=True, allowed_hosts=("lab.example",)), "0.0.0.0", 421),
        (ApiSettings(auth=True, allowed_hosts=("lab",)), "0.0.0.0", 200),
    ],
)
def test_which_names_are_checked(settings: ApiSettings, listening: str, status: int) -> None:
    assert TestClient(create_app(settings, listening), "http://lab").get("/healthz").status_code == status


def test_the_address_that_it_listens_on_is_its_own() -> None:
    for address, url in (("10.1.2.3", "http://10.1.2.3:8000"), ("fd00::1", "http://[fd00::1]:8000")):
        assert TestClient(create_app(ApiSettings(auth=False), address), url).get("/healthz").is_success


@pytest.mark.parametrize("name", ["", "*.", "*a.example", "a.*", "lab.example:80", "http://lab.example", "LAB", "a b"])
def test_what_is_no_name_is_refused(name: str) -> None:
    with pytest.raises(ValidationError, match="allowed_hosts"):
        ApiSettings(allowed_hosts=(name,))


HERE = "http://127.0.0.1:{port}"
PAGES: dict[str, tuple[dict[str, str], bool]] = {  # what a browser says, and whether the page may change something
    "no page: curl": ({}, True),
    "this page": ({"Origin": HERE, "Sec-Fetch-Site": "same-origin"}, True),
    "this page, in an older browser": ({"Origin": HERE}, True),
    "this page, whose policy hides its origin": ({"Origin": "null", "Sec-Fetch-Site": "same-origin"}, True),
    "the user, not a page": ({"Sec-Fetch-Site": "none"}, True),
    "another site": ({"Origin": EVIL, "Sec-Fetch-Site": "cross-site"}, False),
    "another site, in an older browser": ({"Origin": EVIL}, False),
    "another site without an origin": ({"Sec-Fetch-Site": "cross-site"}, False),
    "another port of this machine": ({"Origin": "http://127.0.0.1:1", "Sec-Fetch-Site": "same-site"}, False),
    "another port, in an older browser": ({"Origin": "http://127.0.0.1:1"}, False),
    "another of this machine's names": ({"Origin": "http://localhost:{port}"}, False),
    "a sandboxed frame": ({"Origin": "null", "Sec-Fetch-Site": "cross-site"}, False),
    "a file, in an older browser": ({"Origin": "null"}, False),
    "something new": ({"Sec-Fetch-Site": "other-galaxy"}, False),
    "an origin that ends like this one": ({"Origin": "http://evil127.0.0.1:{port}"}, False),
    "an empty origin": ({"Origin": ""}, False),
}


@pytest.mark.parametrize("case", PAGES)
def test_which_pages_may_change_something(case: str, port: int) -> None:
    headers = {name: value.format(port=port) for name, value in PAGES[case][0].items()}
    answer = httpx.post(f"http://127.0.0.1:{port}/v1/jobs/a/cancel", headers=headers)

    if PAGES[case][1]:
        assert answer.status_code == 503, answer.text  # there is no Redis
    else:
        is_problem(answer, 403, "foreign-origin", "LRSERVE_CORS_ORIGINS")
    assert httpx.get(f"http://127.0.0.1:{port}/healthz", headers=headers).is_success


@pytest.mark.slow
def test_no_route_changes_anything_for_another_site_s_page(port: int) -> None:
    url, tried = f"http://127.0.0.1:{port}", 0
    for path, methods in httpx.get(f"{url}/openapi.json", timeout=60).json()["paths"].items():
        for method in methods.keys() - {"get", "head", "options"}:
            page = {"Origin": EVIL, "Sec-Fetch-Site": "cross-site"}
            is_problem(httpx.request(method, url + re.sub(r"{\w+}", "a", path), headers=page), 403, "foreign-origin")
            tried += 1
    assert tried >= 30


def test_another_site_s_page_cancels_no_job(service: Service) -> None:
    """It needs no leave of CORS: a POST without a body is what a form could send."""
    job = service.client.submit(long_job(epochs=1000))
    page = {"Origin": EVIL, "Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}
    answer = service.http.post(f"/v1/jobs/{job.id}/cancel", headers=page)

    is_problem(answer, 403, "foreign-origin")
    assert service.client.job(job.id).state in ("queued", "running")
    own = {"Origin": service.url, "Sec-Fetch-Site": "same-origin"}
    assert service.http.post(f"/v1/jobs/{job.id}/cancel", headers=own).is_success
    assert service.ended(job.id).state == "cancelled"


def test_pages_of_named_origins_may(tmp_path: Path) -> None:
    settings = ApiSettings(
        auth=False, cors_origins=("https://lab.example", "*"), redis_url=f"unix://{tmp_path}/none.sock"
    )
    client = TestClient(create_app(settings), "http://127.0.0.1")
    named = {"Origin": "https://lab.example", "Sec-Fetch-Site": "cross-site"}
    assert client.post("/v1/jobs/a/cancel", headers=named).status_code == 503
    for origin in (EVIL, "http://lab.example", "https://lab.example:8443", "null"):
        answer = client.post("/v1/jobs/a/cancel", headers={"Origin": origin, "Sec-Fetch-Site": "cross-site"})
        is_problem(answer, 403, "foreign-origin")


def test_where_keys_are_asked_for_the_key_decides() -> None:
    page = {"Origin": EVIL, "Sec-Fetch-Site": "cross-site", "Host": "evil.example"}
    client = TestClient(create_app(ApiSettings(auth=True)), "http://evil.example")
    assert client.post("/v1/jobs/a/cancel", headers=page).status_code == 401


def test_keys_are_not_made_over_http_while_nobody_needs_one(service: Service) -> None:
    for method, path, body in (("POST", "/v1/keys", {"role": "admin"}), ("DELETE", "/v1/keys/a", None)):
        answer = service.http.request(method, path, json=body)
        is_problem(answer, 403, "not-allowed", "lrserve keys create", "LRSERVE_AUTH")
    assert service.http.get("/v1/keys").json() == {"keys": []}


@pytest.fixture
def empty(tmp_path: Path) -> Iterator[str]:
    with redis_process(tmp_path / "redis") as url:
        yield url


def printed(redis: str, capfd: pytest.CaptureFixture[str]) -> list[str]:
    """The tokens that one more API would print as it starts."""
    client = connect(redis)
    thread = FirstKey(KeyStore(client), AuditLog(client), "text")
    thread.start()
    thread._thread.join(60)
    return TOKEN.findall(capfd.readouterr().err)


def test_the_first_start_prints_an_admin_key_once(
    empty: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with api_process(tmp_path, auth="true", redis_url=empty) as port:
        (token,) = until(lambda: TOKEN.findall((tmp_path / "api.log").read_text()))
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", headers={"Authorization": f"Bearer {token}"}) as client:
            (key,) = client.get("/v1/keys").raise_for_status().json()["keys"]
            assert (key["tenant"], key["role"]) == ("default", "admin")
            assert [entry["key"] for entry in client.get("/v1/audit").json()["entries"]] == ["api"]
            assert client.post("/v1/keys", json={"role": "submit"}).status_code == 201
            client.delete(f"/v1/keys/{key['id']}").raise_for_status()
    assert printed(empty, capfd) == []


def test_of_several_that_start_together_one_prints(empty: str, tmp_path: Path) -> None:
    commands = []
    for _ in range(4):
        environment = os.environ | {"LRSERVE_AUTH": "true", "LRSERVE_REDIS_URL": empty, "LRSERVE_HOME": str(tmp_path)}
        command = [sys.executable, "-c", FIRST]
        commands.append(subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True))
    output = "".join(process.communicate(timeout=120)[1] for process in commands)

    assert len(TOKEN.findall(output)) == 1, output
    assert len(KeyStore(connect(empty)).all()) == 1


# what the application does at its start, ten times a process
FIRST = """
from lrserve.api.middleware.first_key import FirstKey
from lrserve.api.settings import ApiSettings
from lrcore.access.audit import AuditLog
from lrcore.store.connection import connect
from lrcore.access.keys import KeyStore
redis = connect(ApiSettings().redis_url)
threads = [FirstKey(KeyStore(redis), AuditLog(redis), "text") for _ in range(10)]
for each in threads: each.start()
for each in threads: each._thread.join()
"""


def test_the_key_is_printed_when_redis_comes(tmp_path: Path) -> None:
    address, late = tmp_path / "late.sock", tmp_path / "redis"
    with api_process(tmp_path, auth="true", redis_url=f"unix://{address}", log_format="json"):
        time.sleep(1)
        with redis_process(late) as url:
            address.symlink_to(url.removeprefix("unix://").partition("?")[0])
            (token,) = until(lambda: TOKEN.findall((tmp_path / "api.log").read_text()))
            assert KeyStore(connect(url)).check(token)
    lines = [json.loads(line) for line in (tmp_path / "api.log").read_text().splitlines()]
    assert [line["token"] for line in lines if "token" in line] == [token]


@pytest.mark.parametrize("revoked", [False, True])
def test_a_store_that_has_had_a_key_gets_none(revoked: bool, empty: str, capfd: pytest.CaptureFixture[str]) -> None:
    keys = KeyStore(connect(empty))
    key, _ = keys.create("ours", Role.READ)
    if revoked:
        keys.revoke(key.id)

    assert printed(empty, capfd) == []
    assert len(keys.all()) == 1


def test_where_no_keys_are_asked_for_none_is_printed(service: Service) -> None:
    service.client.curve({"type": "Constant"}, base_lr=0.1, steps=1)

    assert not TOKEN.search(service.log.read_text())
    assert service.http.get("/v1/keys").json() == {"keys": []}


@pytest.mark.slow
def test_the_command_line_s_changes_are_in_the_audit(empty: str) -> None:
    def lrserve(*arguments: str) -> str:
        command = [sys.executable, "-m", "lrserve", *arguments]
        env = os.environ | {"LRSERVE_REDIS_URL": empty}
        return subprocess.run(command, capture_output=True, text=True, env=env, check=True).stdout.strip()

    key_id = lrserve("keys", "create", "ours", "--role", "admin").split("_")[1]
    lrserve("keys", "revoke", key_id)
    lrserve("limits", "set", "queued=3", "--tenant", "ours")
    entries = AuditLog(connect(empty)).last(10, "ours")

    assert [(entry["key"], entry["path"], entry["made"]) for entry in entries] == [
        ("cli", "limits set queued=3", ""),
        ("cli", "keys revoke", f"/v1/keys/{key_id}"),
        ("cli", "keys create --role admin", f"/v1/keys/{key_id}"),
    ]
