"""What registries answer about logins and images."""

import pytest

from operations.preflight.facts import RegistryAnswer
from operations.preflight.needs import Needs
from operations.preflight.registry import ask_image, ask_registry
from tests.operations.preflight.cluster import needs
from tests.operations.preflight.fake_registry import (
    DIGEST,
    IMAGE,
    PASSWORD,
    USER,
    FakeRegistry,
    fake_registry,
)

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
    assert wrong.reached
    assert wrong.refused
    assert "another" not in wrong.reason


def test_a_token_is_asked_for_pushing() -> None:
    with fake_registry(bearer=True) as registry:
        ask_registry(at(registry))
    assert registry.scopes == ["repository:ft-serving/server-cpu:pull,push"]


@pytest.mark.parametrize(("username", "password"), [(None, None), (USER, None)])
def test_without_a_login_that_it_answers_is_all(username: str | None, password: str | None) -> None:
    with fake_registry() as registry:
        assert ask_registry(at(registry, username, password)) == FINE


def test_a_registry_that_is_not_there_says_why() -> None:
    answer = ask_registry(needs("dev", {"image.registry": "127.0.0.1:9"}))
    assert not answer.reached
    assert "refused" in answer.reason


@pytest.mark.parametrize("bearer", [False, True])
def test_an_image_is_there_or_missing(bearer: bool) -> None:
    with fake_registry(bearer=bearer) as registry:
        there = f"{registry.host}/{IMAGE}@{DIGEST}"
        assert ask_image(at(registry), there) == FINE
        assert ask_image(at(registry), there.replace("server-cpu", "other")).missing
        assert ask_image(at(registry, password="another"), there).refused


def test_a_public_image_needs_no_login_and_gets_none() -> None:
    with fake_registry(bearer=True, public=True) as registry, fake_registry() as own:
        assert ask_image(at(own), f"{registry.host}/{IMAGE}@{DIGEST}") == FINE
    assert registry.scopes == ["repository:ft-serving/server-cpu:pull"]
