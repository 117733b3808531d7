"""Credentials in the folder that the docker command line reads them from."""

import json
import stat
from pathlib import Path
from typing import Any

import pytest

from local_platform.plugins.docker.credentials import Credentials, configuration, key
from local_platform.plugins.docker.errors import ConfigurationError

USER = Credentials(username="user", password="hunter2")
# base64 of "user:hunter2"
AUTH = {"auth": "dXNlcjpodW50ZXIy"}


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's own configuration folder, empty."""
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    return tmp_path


def merged(own: Path, config: dict[str, Any]) -> dict[str, Any]:
    (own / "config.json").write_text(json.dumps(config))
    with configuration({"localhost:5000": USER}) as folder:
        assert folder is not None
        return dict(json.loads((folder / "config.json").read_text()))


def test_the_folder_is_private_and_gone_at_the_end(own: Path) -> None:
    with configuration({"localhost:5000": USER}) as folder:
        assert folder is not None
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        file = folder / "config.json"
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert json.loads(file.read_text())["auths"] == {"localhost:5000": AUTH}
    assert not folder.exists()


def test_without_credentials_the_users_own_folder_serves(own: Path) -> None:
    with configuration({}) as folder:
        assert folder is None


def test_what_the_user_has_logged_in_to_stays(own: Path) -> None:
    config = merged(own, {"auths": {"a.test": {"auth": "x"}, "localhost:5000": {"auth": "y"}}})
    assert config["auths"] == {"a.test": {"auth": "x"}, "localhost:5000": AUTH}


def test_a_store_of_credentials_serves_only_the_registries_that_it_holds(own: Path) -> None:
    config = merged(
        own,
        {
            "auths": {"a.test": {}, "localhost:5000": {}},
            "credsStore": "desktop",
            "credHelpers": {"b.test": "other"},
        },
    )
    assert "credsStore" not in config, "Docker asks a store before the file"
    assert config["credHelpers"] == {"a.test": "desktop", "b.test": "other"}
    assert config["auths"]["localhost:5000"] == AUTH


def test_plugins_and_contexts_of_the_user_are_found(own: Path) -> None:
    (own / "contexts").mkdir()
    (own / "contexts" / "mark").touch()
    with configuration({"localhost:5000": USER}) as folder:
        assert folder is not None
        assert (folder / "contexts" / "mark").exists()
        config = json.loads((folder / "config.json").read_text())
    assert config["cliPluginsExtraDirs"] == [str(own / "cli-plugins")]
    assert (own / "contexts" / "mark").exists(), "only the link goes"


@pytest.mark.parametrize("text", ["{", "[]"])
def test_a_damaged_configuration_is_told(own: Path, text: str) -> None:
    (own / "config.json").write_text(text)
    with pytest.raises(ConfigurationError, match=r"config\.json"), configuration({"a": USER}):
        pass


@pytest.mark.parametrize(
    ("server", "expected"),
    [
        ("localhost:5000", "localhost:5000"),
        ("https://ghcr.io", "ghcr.io"),
        ("http://localhost:5000/v2/", "localhost:5000"),
        ("docker.io", "https://index.docker.io/v1/"),
        ("https://index.docker.io/v1/", "https://index.docker.io/v1/"),
    ],
)
def test_a_server_is_found_under_the_name_that_docker_uses(server: str, expected: str) -> None:
    assert key(server) == expected
