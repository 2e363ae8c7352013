"""What becomes a plug-in, and what stops a process as it starts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from lrserve.checks import Finding, Level
from lrserve.checks import plugins as checks
from tests.plugins.installed import ROOT, SCHEDULE, install, install_example, python

LOADED = "from lrcore import families; import json; print(json.dumps(families.load()))"
ENTRY = {"lrserve.schedules": {"acme": "acme_plugin"}}
GOOD = SCHEDULE.format(vendor="acme", name="Flat")


def with_plugins(environment: Mapping[str, str], *names: str) -> Mapping[str, str]:
    return {**environment, "LRSERVE_PLUGINS": ",".join(names)}


def test_an_installed_package_does_nothing_until_it_is_named(tmp_path: Path) -> None:
    tripwire = f"open({str(tmp_path / 'imported')!r}, 'w')"
    environment = install(tmp_path, "acme", "1.0", ENTRY, acme_plugin=tripwire)

    assert python(LOADED, environment).strip() == "{}"
    assert not (tmp_path / "imported").exists()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["lrserve-example", "LRServe_Example", " lrserve.example ", "lrserve-example,"])
def test_a_name_is_read_as_pip_reads_it(name: str, tmp_path: Path) -> None:
    found = json.loads(python(LOADED, with_plugins(install_example(tmp_path), name)))

    assert found == {
        "lrserve-example==1.0.0": {
            "schedules": ["example:HalfLife"],
            "models": ["example:conv"],
            "datasets": ["example:stripes"],
        }
    }


@pytest.mark.slowest
def test_one_module_may_have_members_of_several_families(tmp_path: Path) -> None:
    optimizer = '''
    from typing import Any, Literal
    from lrcore.plugin import Optimizer
    class Sign(Optimizer):
        """Plain SGD."""
        summary, origin = "SGD under another name", "a test"
        example = {"type": "acme:Sign"}
        type: Literal["acme:Sign"]
        def build(self, groups: list[dict[str, Any]], **implementation: bool) -> Any:
            import torch
            return [torch.optim.SGD(groups)]
    '''
    entries = ENTRY | {"lrserve.optimizers": {"acme": "acme_plugin"}}
    environment = with_plugins(install(tmp_path, "acme", "1.0", entries, acme_plugin=GOOD + optimizer), "acme")

    assert json.loads(python(LOADED, environment)) == {
        "acme==1.0": {"schedules": ["acme:Flat"], "optimizers": ["acme:Sign"]}
    }
    job = {"model": {"type": "lenet"}, "dataset": {"type": "fake", "samples": 64, "test_samples": 16}}
    job |= {"optimizer": {"type": "acme:Sign", "lr": 0.1}, "schedule": {"type": "acme:Flat"}, "epochs": 1}
    (tmp_path / "job.json").write_text(json.dumps(job))
    trained = subprocess.run(
        [sys.executable, "-m", "lrserve.worker.engine", str(tmp_path / "job.json")],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=environment,
        check=True,
    )
    assert json.loads(trained.stdout)["lr"] == [0.1]


WRONG = [
    ("a built-in class", ENTRY, GOOD.replace("class Flat", "class StepLR"), "acme", "has the name of a built-in class"),
    ("not installed", ENTRY, GOOD, "acme,nowhere", "'nowhere' of LRSERVE_PLUGINS: it is not installed"),
    ("no entry points", {"console_scripts": {"acme": "acme_plugin"}}, GOOD, "acme", "it has no entry points in any of"),
    ("import error", ENTRY, "1 / 0", "acme", "acme_plugin cannot be imported: ZeroDivisionError: division by zero"),
    ("missing module", ENTRY, "import nowhere_at_all", "acme", "No module named 'nowhere_at_all'"),
    ("no member", ENTRY, "x = 1", "acme", "acme_plugin defines no member of the schedules"),
    ("no vendor", ENTRY, GOOD.replace('"acme:Flat"', '"Flat"'), "acme", "the type 'Flat' of acme_plugin.Flat must be"),
    (
        "a built-in name",
        ENTRY,
        GOOD.replace('"acme:Flat"', '"StepLR"'),
        "acme",
        "the type 'StepLR' of acme_plugin.Flat",
    ),
    ("another vendor", ENTRY, GOOD.replace('"acme:', '"other:'), "acme", "must be 'acme', a colon and a name"),
    ("reserved vendor", {"lrserve.schedules": {"torch": "acme_plugin"}}, GOOD, "acme", "is reserved"),
    ("bad vendor", {"lrserve.schedules": {"Acme!": "acme_plugin"}}, GOOD, "acme", "must be the vendor's name"),
    ("an attribute", {"lrserve.schedules": {"acme": "acme_plugin:Flat"}}, GOOD, "acme", "must name a module"),
    ("two members", ENTRY, GOOD + GOOD.replace("class Flat", "class Again"), "acme", "both define 'acme:Flat'"),
    (
        "no field",
        ENTRY,
        GOOD.replace("summary,", "other = 1\n        summary,"),
        "acme",
        "PydanticUserError: A non-annotated attribute was detected",
    ),
    ("no origin", ENTRY, GOOD.replace("origin =", "__doc__ ="), "acme", "lacks origin"),
    ("no formula", ENTRY, GOOD.replace("formula,", "__doc__,"), "acme", "lacks formula"),
    ("wrong example", ENTRY, GOOD.replace('{"type": "acme:Flat"}', '{"a": 1}'), "acme", "the example of acme:Flat"),
    (
        "a built-in base",
        ENTRY,
        "from lrcore.schedules.step import StepLR\n" + GOOD.replace("(Schedule)", "(StepLR)").replace("\n    ", "\n"),
        "acme",
        "derives from StepLR, which is not public; derive from Schedule",
    ),
    (
        "a family at import",
        ENTRY,
        "from lrcore.schedules import SCHEDULES\nlen(SCHEDULES)",
        "acme",
        "the module uses the members of a family while it is imported",
    ),
    (
        "torch",
        ENTRY,
        "import torch",
        "acme",
        "acme_plugin imports torch when it is imported, but the API must start without it; import torch inside",
    ),
]


@pytest.mark.sampled(6)
@pytest.mark.parametrize(("entries", "code", "names", "words"), [w[1:] for w in WRONG], ids=[w[0] for w in WRONG])
def test_a_plugin_that_cannot_be_used_stops_the_start(
    entries: Mapping[str, Mapping[str, str]], code: str, names: str, words: str, tmp_path: Path
) -> None:
    environment = with_plugins(install(tmp_path, "acme", "1.0", entries, acme_plugin=code), names)

    printed = python("from lrcore.families import load_or_exit; load_or_exit()", environment, os.EX_CONFIG)

    assert len(printed.splitlines()) == 1, printed
    assert printed.startswith("lrserve: plug-in '"), printed
    assert words in printed


def test_two_plugins_cannot_share_a_vendor(tmp_path: Path) -> None:
    install(tmp_path, "acme", "1.0", ENTRY, acme_plugin=GOOD)
    twin = {"lrserve.schedules": {"acme": "other_plugin"}}
    environment = with_plugins(install(tmp_path, "other", "1.0", twin, other_plugin=GOOD), "acme", "other")

    printed = python("from lrcore.families import load_or_exit; load_or_exit()", environment, os.EX_CONFIG)

    assert printed == "lrserve: plug-in 'other' of LRSERVE_PLUGINS: the vendor 'acme' belongs to 'acme' already\n"


def test_a_member_outside_the_named_modules_is_not_left_out_in_silence(tmp_path: Path) -> None:
    modules = {"acme_plugin": "from acme_inner import Flat", "acme_inner": GOOD}
    environment = with_plugins(install(tmp_path, "acme", "1.0", ENTRY, **modules), "acme")

    printed = python("from lrcore.families import load_or_exit; load_or_exit()", environment, os.EX_CONFIG)

    assert "Flat is defined in acme_inner, which no entry point names" in printed


@pytest.mark.sampled(6)
@pytest.mark.parametrize(
    ("command", "status"),
    [
        (["-m", "lrserve.api", "--port", "0"], os.EX_CONFIG),
        (["-m", "lrserve.worker"], os.EX_CONFIG),
        (["-m", "lrserve", "up"], 1),
        (["-m", "lrserve", "api"], 1),
        (["-m", "lrserve", "worker"], 1),
    ],
    ids=lambda each: " ".join(each[1:]) if isinstance(each, list) else "",
)
def test_every_process_stops_with_one_line(command: list[str], status: int, tmp_path: Path) -> None:
    environment = with_plugins(install(tmp_path, "acme", "1.0", ENTRY, acme_plugin="import torch"), "acme")
    environment = {**environment, "LRSERVE_HOME": str(tmp_path / "home")}

    done = subprocess.run(
        [sys.executable, *command],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=environment,
        timeout=120,
        check=False,
    )

    assert done.returncode == status, done.stderr
    assert done.stderr == (
        "lrserve: plug-in 'acme' of LRSERVE_PLUGINS: acme_plugin imports torch when it is imported, but the API must "
        "start without it; import torch inside the method that needs it\n"
    )


def test_the_doctor_says_what_is_loaded_and_what_cannot_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", install_example(tmp_path)["PYTHONPATH"])

    def finding(names: str) -> Finding:
        monkeypatch.setenv("LRSERVE_PLUGINS", names)
        [found] = checks.check()
        return found

    good = finding("lrserve-example")
    assert good.level is Level.OK
    assert good.found.startswith("lrserve-example==1.0.0 adds schedules: example:HalfLife; models: example:conv")
    bad = finding("nowhere")
    assert bad.level is Level.PROBLEM
    assert "'nowhere' of LRSERVE_PLUGINS: it is not installed" in bad.found
