"""Profiles: where they are found, what they grant, and every mistake of a file at once."""

import pytest

from harness.errors import UserError
from studies.cluster.granting import granted
from studies.cluster.policy import POLICIES
from studies.cluster.profile import load_profile, read_profile
from tests.studies import fakes


@pytest.fixture
def home(tmp_path, monkeypatch):
    """The folder of profiles."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.delenv("WM_PROFILE", raising=False)
    folder = tmp_path / "config" / "wm"
    folder.mkdir(parents=True)
    return folder


def plan_config(design="quick", seed=0):
    return fakes.config(design, seed).model_dump(mode="json")


def test_without_a_file_nothing_is_said(home):
    profile = load_profile()
    assert profile.source is None
    assert profile.grants(plan_config()) == {}
    assert (profile.follow_up, profile.policies, profile.executor) == ({}, POLICIES, None)


def test_a_name_wins_over_the_environment_and_that_over_the_default(home, tmp_path, monkeypatch):
    (home / "profile.yaml").write_text("executor: slurm")
    (home / "big.yaml").write_text("executor: local")
    other = tmp_path / "other.yaml"
    other.write_text("# nothing yet\n")
    assert load_profile().source == home / "profile.yaml"
    monkeypatch.setenv("WM_PROFILE", str(other))
    assert load_profile().source == other
    assert load_profile().executor is None
    assert load_profile("big").executor == "local"


def test_home_is_used_where_the_configuration_folder_is_not_named(home, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", "")
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".config" / "wm").mkdir(parents=True)
    (tmp_path / ".config" / "wm" / "profile.yaml").write_text("executor: local")
    assert load_profile().executor == "local"


def test_a_missing_profile_that_was_named_lists_what_there_is(home, monkeypatch):
    with pytest.raises(UserError, match=r"no profile bigg: .* holds none"):
        load_profile("bigg")
    (home / "big.yaml").write_text("executor: local")
    (home / "cpu.yaml").write_text("executor: local")
    with pytest.raises(UserError, match=r"no profile bigg in .*did you mean big\?.*there are big, cpu"):
        load_profile("bigg")
    monkeypatch.setenv("WM_PROFILE", "/nowhere.yaml")
    with pytest.raises(UserError, match=r"\$WM_PROFILE is /nowhere\.yaml, and there is no such file"):
        load_profile()


def test_rules_reach_runs_by_any_field(home):
    (home / "profile.yaml").write_text(
        "resources:\n"
        "  default: {partition: cpu, memory_gb: 4}\n"
        "  rules:\n"
        "    - {where: {design: 'slo*', seed: range(2)}, partition: gpu}\n"
        "    - {where: {train.episodes: 11, task: toy/*}, memory_gb: 6, exclude: 'n[1-3]'}\n"
        "    - {where: {agent: random}, partition: none}\n"
        "    - {where: {model.widths.hidden: 7}, partition: none}\n"
    )
    profile = load_profile()
    assert profile.grants(plan_config("quick", 0)) == {"partition": "cpu", "memory_gb": 4}
    assert profile.grants(plan_config("slow", 1)) == {"partition": "gpu", "memory_gb": 6, "exclude": "n[1-3]"}
    assert granted(plan_config("slow", 1), profile=profile).partition == "gpu"
    random = plan_config() | {"agent": "random", "design": None}
    assert profile.grants(random)["partition"] == "none"


def test_policies_are_merged_over_the_built_in_ones(home):
    (home / "profile.yaml").write_text(
        "policies: {host-memory: {retries: 3}, code: {retries: 1, elsewhere: true}, killed: {retries: null}}"
    )
    policies = load_profile().policies
    assert policies["host-memory"].retries == 3
    assert policies["host-memory"].memory == POLICIES["host-memory"].memory
    assert (policies["code"].retries, policies["code"].elsewhere) == (1, True)
    assert policies["killed"].retries is None
    assert policies["node"] == POLICIES["node"]


def test_a_follow_up_has_resources_of_its_own_or_is_refused(home):
    (home / "profile.yaml").write_text("follow_up: {partition: cpu, cpus: 1}")
    assert load_profile().follow_up == {"partition": "cpu", "cpus": 1}
    (home / "profile.yaml").write_text("follow_up: false")
    assert load_profile().follow_up is False


def test_every_mistake_of_a_file_is_told_with_its_place(home):
    file = home / "profile.yaml"
    file.write_text(
        "executor: slrum\n"
        "resources:\n"
        "  default: {acount: me, hours: '12', gpus: 1}\n"
        "  rules:\n"
        "    - {where: {sise: large}, constraint: a100}\n"
        "follow_up: yes\n"
        "policies:\n"
        "  host-memory: {retries: -1, memory: 0.5, hors: 1}\n"
        "  hostmemory: {}\n"
        "  diverged: {retries: 1}\n"
        "  node: {alone: yes}\n"
        "polices: {}\n"
    )
    with pytest.raises(UserError) as caught:
        read_profile(file)
    lines = str(caught.value).replace(str(file), "F").splitlines()
    gpus = "gpus are what a study says (its resources): a profile's would never count"
    assert lines == [
        "F:1:11: executor: must be slurm or local, not the text 'slrum' (did you mean slurm?)",
        "F:3:13: resources.default.acount: unknown field resources.acount (did you mean resources.account?)",
        "F:3:32: resources.default.hours: must be a number or null, not the text '12' (remove the quotes)",
        f"F:3:44: resources.default.gpus: {gpus}",
        "F:5:16: resources.rules[0].where.sise: unknown field sise (did you mean size?)",
        "F:6:12: follow_up: must be a mapping of resources, or false for no such job, not the text 'yes'",
        "F:8:26: policies.host-memory.retries: must be at least 0, not -1",
        "F:8:38: policies.host-memory.memory: must be at least 1, not 0.5",
        "F:8:43: policies.host-memory.hors: unknown field of a policy (did you mean hours?)",
        "F:9:3: policies.hostmemory: unknown kind of failure (did you mean host-memory?)",
        "F:10:3: policies.diverged: diverged is a result: it is never tried again",
        "F:11:17: policies.node.alone: must be true or false, not the text 'yes' (write true)",
        "F:12:1: polices: unknown key (did you mean policies?)",
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- a\n", r":1:1: must be a mapping of fields, not a list"),
        ("a: [\n", r":2:1: not YAML"),
        ("executor: 1\n", r"executor: must be slurm or local, not the number 1"),
        ("policies: 3\n", r"policies: must be a mapping"),
        ("resources: {defaults: {}}\n", r"resources\.defaults: unknown key \(did you mean default\?\)"),
        ("executor: local\nexecutor: slurm\n", r":2:1: executor: duplicate key"),
    ],
)
def test_files_that_are_no_profile(home, text, message):
    (home / "profile.yaml").write_text(text)
    with pytest.raises(UserError, match=message):
        load_profile()
