from __future__ import annotations

import shutil
import stat
from pathlib import Path

import pytest
import yaml

from deploy.config.addresses import replace_addresses
from deploy.config.alertmanager import render_alertmanager
from deploy.config.channel import Receiver
from deploy.config.files import sync_directory, write_if_changed
from deploy.config.people import People
from deploy.config.render import Rendered, render
from deploy.config.settings import Ports, Settings
from deploy.config.site import native_site
from deploy.config.targets import Target
from deploy.errors import DeployError, SettingsError, TemplateError

ROOT = Path(__file__).resolve().parents[2]
PORTS = Ports(exporter=1855, healer=1856, prometheus=1090, alertmanager=1093)
SITE = native_site(PORTS, Path("/x"))
SETTINGS = Settings(targets=(Target("gpu2:8000", "gpu2:8000"),), ports=PORTS)


def render_into(out: Path, settings: Settings = SETTINGS, root: Path = ROOT) -> Rendered:
    home = out.parent if root == ROOT else root  # a developer's own files in this checkout do not count
    return render(root, home, out, settings, "gpu1")


def snapshot(directory: Path) -> dict[str, tuple[int, int]]:
    files = [path for path in directory.rglob("*") if path.is_file()]
    return {str(path): (path.stat().st_mtime_ns, path.stat().st_ino) for path in files}


def test_swapped_ports_do_not_meet() -> None:
    addresses = {"prometheus": "127.0.0.1:9093", "alertmanager": "127.0.0.1:9090"}
    text = "a: 127.0.0.1:9090\nb: 127.0.0.1:9093\n"
    swapped = replace_addresses(text, addresses, ["prometheus", "alertmanager"], "x.yml")
    assert swapped == "a: 127.0.0.1:9093\nb: 127.0.0.1:9090\n"


def test_longer_numbers_are_no_address_of_ours() -> None:
    text = "127.0.0.1:90901 1127.0.0.1:9090"
    assert replace_addresses(text, SITE.addresses, [], "x.yml") == text


def test_a_missing_address_is_an_error_that_names_it() -> None:
    with pytest.raises(TemplateError, match=r"x\.yml: no address of healer \(127\.0\.0\.1:9856\)"):
        replace_addresses("127.0.0.1:9855", SITE.addresses, ["exporter", "healer"], "x.yml")


def test_prometheus_scrapes_the_configured_ports(tmp_path: Path) -> None:
    config = yaml.safe_load(render_into(tmp_path).file("prometheus").read_text())
    static = {
        job["job_name"]: job["static_configs"][0]["targets"]
        for job in config["scrape_configs"]
        if "static_configs" in job
    }
    assert static == {
        "exporter": ["127.0.0.1:1855"],
        "healer": ["127.0.0.1:1856"],
        "prometheus": ["127.0.0.1:1090"],
        "alertmanager": ["127.0.0.1:1093"],
    }
    assert config["alerting"]["alertmanagers"][0]["static_configs"][0]["targets"] == ["127.0.0.1:1093"]


def test_tests_and_inputs_of_rules_stay_behind(tmp_path: Path) -> None:
    rendered = render_into(tmp_path)
    files = [path.name for path in rendered.file("prometheus").parent.rglob("*") if path.is_file()]
    kinds = {name.partition(".")[2] for name in files if not name.endswith("_password")}
    assert kinds == {"yml", "json", "rules.yml", "alerts.yml"}


def test_alertmanager_tells_the_healer_with_the_secret(tmp_path: Path) -> None:
    rendered = render_into(tmp_path)
    config = yaml.safe_load(rendered.file("alertmanager").read_text())
    [healer] = [receiver for receiver in config["receivers"] if receiver["name"] == "healer"]
    [webhook] = healer["webhook_configs"]
    assert webhook["url"] == "http://127.0.0.1:1856/alerts"
    secret = Path(webhook["http_config"]["authorization"]["credentials_file"])
    assert secret.parent == rendered.file("alertmanager").parent  # a copy, since it may be another user's
    assert secret.read_text() == rendered.token.read_text()


def test_without_a_channel_nobody_is_told(tmp_path: Path) -> None:
    config = yaml.safe_load(render_into(tmp_path).file("alertmanager").read_text())
    assert {"name": "human"} in config["receivers"]


def test_every_channel_goes_into_the_receiver_of_people() -> None:
    told = [("a_configs", {"url": "1"}), ("b_configs", {"url": "2"}), ("a_configs", {"url": "3"})]
    people = People(tuple(Receiver("words", kind, block) for kind, block in told))
    files = render_alertmanager(ROOT / "alertmanager", SITE, people)
    [human] = [item for item in yaml.safe_load(files["alertmanager.yml"])["receivers"] if item["name"] == "human"]
    assert human == {"name": "human", "a_configs": [{"url": "1"}, {"url": "3"}], "b_configs": [{"url": "2"}]}


def test_the_messages_templates_exist() -> None:
    defined = "".join(path.read_text() for path in (ROOT / "alertmanager" / "templates").glob("*.tmpl"))
    assert 'define "vllm.title"' in defined
    assert 'define "vllm.text"' in defined


def test_a_receiver_that_is_gone_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "alertmanager.yml").write_text("# 127.0.0.1:9856\nreceivers: [{name: healer}, {name: others}]\n")
    with pytest.raises(TemplateError, match="no receiver 'human'; there are: healer, others"):
        render_alertmanager(tmp_path, SITE, People())


def test_rendering_again_writes_nothing(tmp_path: Path) -> None:
    render_into(tmp_path)
    before = snapshot(tmp_path)
    assert render_into(tmp_path).changed == ()
    assert snapshot(tmp_path) == before


def test_another_server_changes_the_lists_of_servers_alone(tmp_path: Path) -> None:
    render_into(tmp_path)
    more = Settings(targets=(*SETTINGS.targets, Target("gpu3:8000", "gpu3:8000")), ports=PORTS)
    changed = render_into(tmp_path, more).changed
    assert changed == ("exporter.yml", "healer.yml", "prometheus/targets/vllm.json")  # the healer compares them


def test_the_secret_is_made_once_and_only_its_owner_reads_it(tmp_path: Path) -> None:
    token = render_into(tmp_path).token
    first = token.read_text()
    assert len(first.strip()) >= 43  # 256 bits in base64
    token.chmod(0o644)
    assert render_into(tmp_path).token.read_text() == first
    assert stat.S_IMODE(token.stat().st_mode) == 0o600
    assert stat.S_IMODE(token.parent.stat().st_mode) == 0o700


def test_an_error_leaves_the_old_configuration_whole(tmp_path: Path) -> None:
    render_into(tmp_path)
    before = snapshot(tmp_path)
    with pytest.raises(DeployError):
        render_into(tmp_path, root=tmp_path / "no-checkout")
    assert snapshot(tmp_path) == before


def test_a_file_that_is_no_longer_wanted_goes(tmp_path: Path) -> None:
    sync_directory(tmp_path, {"a.yml": "1", "rules/b.yml": "2"})
    assert sync_directory(tmp_path, {"a.yml": "1"}) == ("rules/b.yml",)
    assert not (tmp_path / "rules" / "b.yml").exists()


def test_a_written_file_is_private(tmp_path: Path) -> None:
    assert write_if_changed(tmp_path / "x", "text")
    assert stat.S_IMODE((tmp_path / "x").stat().st_mode) == 0o600


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """One with the defaults, to put a user's files into."""
    (tmp_path / "checkout").mkdir()
    for part in ("prometheus", "alertmanager", "exporter", "healer"):
        (tmp_path / "checkout" / part).symlink_to(ROOT / part)
    return tmp_path / "checkout"


def load(path: Path) -> dict[str, object]:
    loaded: dict[str, object] = yaml.safe_load(path.read_text())
    return loaded


@pytest.fixture
def guardrails_d(checkout: Path) -> Path:
    """The folder of guardrails of a checkout whose prometheus/ is a copy."""
    (checkout / "prometheus").unlink()
    shutil.copytree(ROOT / "prometheus", checkout / "prometheus")
    return checkout / "prometheus" / "guardrails.d"


GUARDRAIL = "guardrails:\n  - {name: Mine, signal: 'server:vllm_up:max', below: 1, for: 5m, severity: SEVERITY}\n"


def test_guardrails_of_the_user_are_rendered_with_the_rules(tmp_path: Path, checkout: Path, guardrails_d: Path) -> None:
    own = guardrails_d / "mine.yml"
    own.write_text(GUARDRAIL.replace("SEVERITY", "info"))
    rendered = render_into(tmp_path / "out", root=checkout)
    assert "alert: Mine" in (rendered.config / "prometheus" / "alerts" / "guardrails.alerts.yml").read_text()

    own.unlink()
    rendered = render_into(tmp_path / "out", root=checkout)
    assert not (rendered.config / "prometheus" / "alerts" / "guardrails.alerts.yml").exists()


def test_a_guardrail_that_is_wrong_is_named_with_its_line(tmp_path: Path, checkout: Path, guardrails_d: Path) -> None:
    (guardrails_d / "mine.yml").write_text(GUARDRAIL.replace("SEVERITY", "urgent"))
    with pytest.raises(SettingsError, match=r"prometheus/guardrails.d/mine.yml line 2: unknown severity 'urgent'"):
        render_into(tmp_path / "out", root=checkout)


def test_the_healer_gets_this_machines_addresses_and_paths(tmp_path: Path, checkout: Path) -> None:
    rendered = render_into(tmp_path / "out", root=checkout)
    healer = load(rendered.file("healer"))
    assert healer["mode"] == "dry_run"
    assert healer["listen"] == "127.0.0.1:1856"
    assert healer["prometheus_url"] == "http://127.0.0.1:1090"
    assert healer["alertmanager_url"] == "http://127.0.0.1:1093"
    assert healer["token_file"] == str(rendered.token)
    assert healer["journal"] == str(tmp_path / "out" / "data" / "healer" / "journal.sqlite")


def test_the_healer_is_told_what_is_watched(tmp_path: Path, checkout: Path) -> None:
    settings = Settings(targets=(Target("gpu2:8000", "gpu2:8000"), Target("localhost:1", "gpu1:1")))
    assert load(render_into(tmp_path / "out", settings, checkout).file("healer"))["watched"] == ["gpu2:8000", "gpu1:1"]


def test_the_users_healer_yml_goes_before_the_defaults(tmp_path: Path, checkout: Path) -> None:
    (checkout / "healer.yml").write_text(
        "mode: act\njournal: mine.sqlite\ntargets: [{server: 'a:1', api_key_file: key}]\n"
    )
    healer = load(render_into(tmp_path / "out", root=checkout).file("healer"))
    assert healer["mode"] == "act"
    assert healer["journal"] == str(checkout / "mine.sqlite")
    assert healer["targets"] == [{"server": "a:1", "api_key_file": str(checkout / "key")}]


def test_a_mode_of_the_settings_goes_before_the_file(tmp_path: Path, checkout: Path) -> None:
    (checkout / "healer.yml").write_text("mode: act\n")
    settings = Settings(passed={"healer": {"VLLM_HEALER_MODE": "dry_run"}})
    assert load(render_into(tmp_path / "out", settings, checkout).file("healer"))["mode"] == "dry_run"


def test_a_file_that_is_no_yaml_is_named(tmp_path: Path, checkout: Path) -> None:
    (checkout / "healer.yml").write_text("mode: dry_run\ntargets: [act\nlimits: {}\n")
    with pytest.raises(SettingsError, match=r"healer\.yml line 3: not YAML: expected ',' or ']', but got ':'$"):
        render_into(tmp_path / "out", root=checkout)


def test_without_a_choice_the_default_server_is_watched(tmp_path: Path, checkout: Path) -> None:
    rendered = render_into(tmp_path / "out", Settings(), checkout)
    assert rendered.computed.targets == (Target("localhost:8000", "gpu1:8000"),)
    assert not rendered.computed.chosen


def test_servers_of_exporter_yml_count_when_the_settings_name_none(tmp_path: Path, checkout: Path) -> None:
    (checkout / "exporter.yml").write_text("targets:\n  - gpu7:8000\n  - {address: 'gpu8:8443', scheme: https}\n")
    rendered = render_into(tmp_path / "out", Settings(), checkout)
    assert rendered.computed.targets == (Target("gpu7:8000", "gpu7:8000"), Target("gpu8:8443", "gpu8:8443", "https"))
    assert rendered.computed.chosen


def test_a_server_of_the_settings_keeps_its_options_of_exporter_yml(tmp_path: Path, checkout: Path) -> None:
    (checkout / "exporter.yml").write_text("targets: [{address: 'gpu2:8000', canary: false}, 'gpu7:8000']\n")
    settings = Settings(targets=(Target("gpu2:8000", "gpu2:8000"), Target("gpu3:8000", "gpu3:8000")))
    assert load(render_into(tmp_path / "out", settings, checkout).file("exporter"))["targets"] == [
        {"address": "gpu2:8000", "scheme": "http", "canary": False},
        {"address": "gpu3:8000", "scheme": "http"},
    ]


def test_the_key_of_the_settings_is_for_the_servers_that_have_none(tmp_path: Path, checkout: Path) -> None:
    (checkout / "exporter.yml").write_text("targets: [{address: 'gpu2:8000', api_key_file: own}, 'gpu7:8000']\n")
    settings = Settings(passed={"exporter": {"VLLM_API_KEY_FILE": "/s/key"}})
    assert load(render_into(tmp_path / "out", settings, checkout).file("exporter"))["targets"] == [
        {"address": "gpu2:8000", "scheme": "http", "api_key_file": str(checkout / "own")},
        {"address": "gpu7:8000", "scheme": "http", "api_key_file": "/s/key"},
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("targets: [{canary: false}]", "a target is host:port or a mapping with an address"),
        ("targets: ['']", "a target has an empty address"),
        ("targets: localhost:8000", "targets: expected a list, got 'localhost:8000'"),
        ("targets: ['localhost:1', '127.0.0.1:1']", "'127.0.0.1:1' and 'localhost:1' are the same server"),
        ("- targets", "expected keys with values at the top"),
    ],
)
def test_an_exporter_yml_that_cannot_be_used_is_named(tmp_path: Path, checkout: Path, text: str, message: str) -> None:
    (checkout / "exporter.yml").write_text(text)
    with pytest.raises(SettingsError, match=rf"exporter\.yml: .*{message}"):
        render_into(tmp_path / "out", Settings(), checkout)
