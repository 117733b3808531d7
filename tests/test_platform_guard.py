"""What becomes of the platform's tests where it is not up."""

import pytest

from tests import platform_guard


@pytest.fixture
def no_platform(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform_guard, "_is_up", lambda: False)
    monkeypatch.delenv("CI", raising=False)


def test_without_the_platform_a_test_is_skipped_with_advice(no_platform: None) -> None:
    with pytest.raises(pytest.skip.Exception, match="Start it with `make platform`"):
        platform_guard.require_platform()


def test_in_continuous_integration_it_fails_instead(
    no_platform: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CI", "true")

    with pytest.raises(pytest.fail.Exception, match="Start it with `make platform`"):
        platform_guard.require_platform()
