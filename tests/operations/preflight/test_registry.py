"""Registries' answers about logins and images."""

import pytest

from operations.preflight.facts import RegistryAnswer
from operations.preflight.needs import Needs
from operations.preflight.registry import ask_image, ask_registry
from tests.fake_api import DIGEST, IMAGE, PASSWORD, USER, FakeRegistry, fake_registry
from tests.operations.preflight.cluster import needs

FINE = RegistryAnswer(reached=True)


def at(
    registry: FakeRegistry, username: str | None = USER, password: str | None = PASSWORD
) -> Needs:
    login = {} if username is None else {"image.username": username}
    return needs("dev", {"image.registry": registry.host, **login}, password)


@pytest.mark.parametrize("bearer", [False, True])
def test_a_right_password_is_accepted_and_a_wrong_one_refused(bearer: bool) -> None:
    with fake_registry(bearer=bearer) as registry:
        assert ask_registry(at(registry)) == FINE
        wrong = ask_registry(at(registry, password="another"))
    assert (wrong.reached, wrong.refused) == (True, True)
    assert "another" not in wrong.reason
    pushing = "repository:ft-serving/server-cpu:pull,push"
    assert registry.scopes == ([pushing] * 2 if bearer else [])


@pytest.mark.parametrize("realm", ["http://registry.example/token", "http://localhost.example/t"])
def test_a_password_goes_to_no_realm_that_is_not_encrypted(realm: str) -> None:
    with fake_registry(bearer=True, realm=realm) as registry:
        assert ask_registry(at(registry)).reason == "it gives no token"


@pytest.mark.parametrize(("username", "password"), [(None, None), (USER, None)])
def test_without_a_login_an_answer_is_enough(username: str | None, password: str | None) -> None:
    with fake_registry() as registry:
        assert ask_registry(at(registry, username, password)) == FINE


def test_a_registry_that_does_not_answer_says_why() -> None:
    answer = ask_registry(needs("dev", {"image.registry": "127.0.0.1:9"}))
    assert not answer.reached
    assert "refused" in answer.reason


@pytest.mark.parametrize("bearer", [False, True])
def test_an_image_exists_or_is_missing(bearer: bool) -> None:
    with fake_registry(bearer=bearer) as registry:
        there = f"{registry.host}/{IMAGE}@{DIGEST}"
        assert ask_image(at(registry), there) == FINE
        assert ask_image(at(registry), there.replace("server-cpu", "other")).missing
        assert ask_image(at(registry, password="another"), there).refused


def test_a_public_image_needs_no_login_and_gets_none() -> None:
    with fake_registry(bearer=True, public=True) as registry, fake_registry() as own:
        assert ask_image(at(own), f"{registry.host}/{IMAGE}@{DIGEST}") == FINE
    assert registry.scopes == ["repository:ft-serving/server-cpu:pull"]
