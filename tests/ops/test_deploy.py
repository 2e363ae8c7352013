"""The dashboard and the alert rules ask for metrics that there are."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

DEPLOY = Path(__file__).parents[2] / "docs" / "deploy"
RULES = DEPLOY / "prometheus" / "alerts.yml"
NAME = re.compile(r"\b(?:lrserve|process)_[a-z0-9_]+")
LABEL = re.compile(r"((?:lrserve)_[a-z0-9_]+)\{([a-z]+)")


@pytest.fixture
def known(http: httpx.Client) -> dict[str, set[str]]:
    """Every name in the real output, and its labels."""
    http.post("/v1/curves", json={"schedule": {"type": "Constant"}, "base_lr": 0.1, "steps": 2}).raise_for_status()
    found: dict[str, set[str]] = {}
    for _ in range(2):  # the first scrape is itself a request that the second one has
        for family in text_string_to_metric_families(http.get("/metrics").raise_for_status().text):
            for sample in family.samples:
                found.setdefault(sample.name, set()).update(sample.labels)
    return found


def asked() -> dict[str, str]:
    dashboard = json.loads((DEPLOY / "grafana" / "lrserve.json").read_text())
    targets = [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", ())]
    assert len(targets) > 20
    variables = [each["query"] for each in dashboard["templating"]["list"]]
    return {"dashboard": "\n".join(targets + variables), "alerts": "\n".join(expressions())}


def expressions() -> list[str]:
    found = re.findall(r"expr: (?:>-\n((?: {10}.*\n)+)|(.*)\n)", RULES.read_text())
    assert len(found) == RULES.read_text().count("- alert:") > 5
    return [folded or plain for folded, plain in found]


@pytest.mark.parametrize("where", ["dashboard", "alerts"])
def test_every_metric_that_is_asked_for_exists(where: str, known: dict[str, set[str]]) -> None:
    text = asked()[where]

    names = set(NAME.findall(text))

    assert len(names) > 8
    assert names <= known.keys()
    assert all(label in known[name] for name, label in LABEL.findall(text))


def test_every_metric_is_documented(known: dict[str, set[str]]) -> None:
    text = (DEPLOY.parent / "operations.md").read_text()
    families = {re.sub(r"_(bucket|count|sum)$", "", name) for name in known if name.startswith("lrserve_")}

    assert {name for name in families if f"`{name}`" not in text} == set()


def test_every_alert_says_what_to_do() -> None:
    text = (DEPLOY.parent / "operations.md").read_text()

    assert [name for name in re.findall(r"- alert: (\w+)", RULES.read_text()) if f"`{name}`" not in text] == []


def test_prometheus_reads_the_rules() -> None:
    if shutil.which("promtool") is None:
        pytest.skip("no promtool here: apt-get install prometheus")
    subprocess.run(["promtool", "check", "rules", RULES], check=True)
    config = RULES.with_name("prometheus.yml")
    subprocess.run(["promtool", "check", "config", "--syntax-only", config], check=True)
