"""The settings file: the example is valid, and what cannot be used is named."""

from __future__ import annotations

import tomllib

import pytest

from ctdenoise.errors import InputError
from ctdenoise.service.settings import EXAMPLE, Settings, check_environment, load_settings
from tests.service.conftest import make_settings


def test_the_example_is_valid_and_has_the_defaults(tmp_path):
    settings = load_settings(EXAMPLE)
    shown = tomllib.loads(EXAMPLE.read_text())
    least = {"node": {"allowed_ae_titles": ["*"]}, "spool": {"folder": "spool"}}
    default = Settings.model_validate({**least, "destinations": shown["destinations"], "rules": shown["rules"]})
    assert settings.retry == default.retry
    assert settings.http == default.http
    assert settings.spool == default.spool
    assert settings.work == default.work
    assert settings.node.quiet_s == default.node.quiet_s
    check_environment(settings)


def test_the_example_names_every_setting():
    text = EXAMPLE.read_text()
    schema = Settings.model_json_schema()
    sections = [schema, *schema["$defs"].values()]
    names = {name for section in sections for name in section.get("properties", {})}
    assert [name for name in sorted(names) if name not in text] == []


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"node": {"allowed_ae_titles": []}}, "node.allowed_ae_titles"),
        ({"node": {"ae_title": "much too long a title"}}, "node.ae_title"),
        ({"node": {"allowed_addresses": ["10.0.0.300"]}}, "node.allowed_addresses"),
        ({"node": {"colour": "red"}}, "node.colour"),
        ({"rules": [{"name": "a", "strength": 2}]}, "rules.0.strength"),
        ({"rules": [{"name": "a", "destinations": ["nowhere"]}]}, "nowhere"),
        ({"rules": [{"name": "a"}, {"name": "a"}]}, "twice"),
        ({"destinations": [{"name": "a", "host": "h"}]}, "port, ae_title"),
        ({"destinations": [{"name": "a", "url": "http://user:secret@host"}]}, "destinations.0.url"),
        ({"destinations": [{"name": "a", "host": "h", "port": 1, "ae_title": "A", "tls": True}]}, "tls"),
    ],
)
def test_what_cannot_be_used_is_named(changed, named, tmp_path):
    with pytest.raises(ValueError, match=named.replace(".", r"\.")):
        make_settings(tmp_path, **changed)


@pytest.mark.parametrize(
    ("shown", "written", "message"),
    [
        ("10.0.0.0/8", "10.0.0.0/99", "node.allowed_addresses[1]: expected an IP address or network, as 10.0.0.0/8"),
        ("quiet_s", "quiet", "node.quiet: expected a setting, found no such one"),
        ('strength = "auto"', "strength = 80", "rules[thin-chest].strength: Input should be less than or equal to 1"),
        ("[0.0, 2.0]", "[0.0]", "rules[thin-chest].thickness_mm[1]: Field required"),
    ],
)
def test_errors_of_a_file_name_the_setting_as_the_file_does(shown, written, message, tmp_path):
    path = tmp_path / "node.toml"
    path.write_text(EXAMPLE.read_text().replace(shown, written, 1))
    with pytest.raises(InputError) as caught:
        load_settings(path)
    assert message in str(caught.value)


def test_what_cannot_be_listened_on_or_written_is_found_before_the_start(tmp_path):
    with pytest.raises(InputError, match="expected two ports, found 11112"):
        check_environment(make_settings(tmp_path, node={"port": 11112}, http={"port": 11112}))
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="folder that can be written"):
        check_environment(make_settings(tmp_path, spool={"folder": tmp_path / "file" / "spool"}))


def test_errors_of_a_file_show_no_values(tmp_path):
    path = tmp_path / "node.toml"
    path.write_text(EXAMPLE.read_text().replace('host = "10.0.0.2"', 'url = "http://user:secret@host"'))
    with pytest.raises(InputError, match="destinations") as caught:
        load_settings(path)
    assert "secret" not in str(caught.value)


def test_absent_models_and_tokens_are_noticed(tmp_path, monkeypatch):
    with pytest.raises(InputError, match="absent-model"):
        check_environment(make_settings(tmp_path, rules=[{"name": "a", "model": "absent-model"}]))
    with pytest.raises(InputError, match="for photographs"):
        check_environment(make_settings(tmp_path, rules=[{"name": "a", "model": "natural-lite"}]))
    web = make_settings(tmp_path, destinations=[{"name": "a", "url": "http://host", "token_variable": "NODE_TOKEN"}])
    with pytest.raises(InputError, match="NODE_TOKEN"):
        check_environment(web)
    monkeypatch.setenv("NODE_TOKEN", "secret")
    check_environment(web)


def test_addresses(tmp_path):
    node = make_settings(tmp_path, node={"allowed_addresses": ["10.1.0.0/16", "::1"]}).node
    assert [node.allows(a) for a in ("10.1.2.3", "10.2.0.1", "::1", "::ffff:10.1.0.9")] == [True, False, True, True]
