"""Addresses, and who may see the token."""

from pathlib import Path

import pytest

from ft_serving.client import refusal
from ft_serving.client.endpoint import Endpoint, token_from_environment
from ft_serving.client.errors import InvalidRequestError
from ft_serving.client.refusal import Refusal
from ft_serving.client.transport import unreachable
from ft_serving.core.protocol import InferenceProtocol


@pytest.mark.parametrize(
    ("url", "protocol", "said"),
    [
        ("http://ft:8000", None, "http://ft:8000"),
        ("ft:8000", None, "http://ft:8000"),
        ("10.0.0.1", None, "http://10.0.0.1:80"),
        ("https://ft.example.com", None, "https://ft.example.com:443"),
        ("https://gateway/models/ft/", None, "https://gateway:443/models/ft"),
        ("HTTP://ft", None, "http://ft:80"),
        ("[::1]:8000", None, "http://[::1]:8000"),
        ("grpc://ft:8001", None, "grpc://ft:8001"),
        ("grpcs://ft", None, "grpcs://ft:443"),
        ("ft:8001", InferenceProtocol.GRPC, "grpc://ft:8001"),
        ("http://ft:8001", InferenceProtocol.GRPC, "grpc://ft:8001"),
        ("https://ft", InferenceProtocol.GRPC, "grpcs://ft:443"),
    ],
)
def test_an_address_says_protocol_encryption_host_and_port(
    url: str, protocol: InferenceProtocol | None, said: str
) -> None:
    assert str(Endpoint.parse(url, protocol=protocol)) == said


@pytest.mark.parametrize(
    ("url", "port"),
    [
        ("127.0.0.1", 8000),
        ("http://ft", 8000),
        ("grpc://ft", 8001),
        ("ft:80", 0),
        ("https://ft", 0),
    ],
)
def test_an_address_without_a_port_is_told_which_one_triton_has(url: str, port: int) -> None:
    endpoint = Endpoint.parse(url)
    asked = Refusal(status=200, said="", from_triton=False)
    said = [
        str(unreachable(endpoint, "refused", None)),
        str(refusal.error(asked, endpoint, "model", None)),
    ]
    hint = f"(no port was given, so 80 is asked; Triton's own is {port})"
    assert [hint in each for each in said] == [port > 0] * 2


@pytest.mark.parametrize("url", ["", "ftp://ft", "http://", "http://ft:port", "http://ft:99999999"])
def test_what_is_no_address_is_refused_with_examples(url: str) -> None:
    with pytest.raises(InvalidRequestError, match="must be like http://HOST:8000"):
        Endpoint.parse(url)


@pytest.mark.parametrize("url", ["http://me:secret@ft", "http://ft/?key=secret", "me:secret@[ft"])
def test_an_address_with_a_secret_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(InvalidRequestError, match="FT_SERVING_TOKEN") as refused:
        Endpoint.parse(url)
    assert "secret" not in str(refused.value)


def test_an_address_and_a_protocol_that_disagree_are_refused() -> None:
    with pytest.raises(InvalidRequestError, match="protocol is http, but the address is grpc://ft"):
        Endpoint.parse("grpc://ft", protocol=InferenceProtocol.HTTP)


def test_a_path_is_refused_for_grpc() -> None:
    with pytest.raises(InvalidRequestError, match="gRPC address has no path"):
        Endpoint.parse("grpc://ft/v2")


@pytest.mark.parametrize("name", ["ft.example.com\r\nX-Admin: yes", "http://ft", "", "ft/x"])
def test_a_host_header_is_a_host_alone(name: str) -> None:
    with pytest.raises(InvalidRequestError, match="host header"):
        Endpoint.parse("10.0.0.1", host_header=name)


def test_certificates_are_refused_where_they_would_not_be_used(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequestError, match="need an https:// or grpcs:// address"):
        Endpoint.parse("http://ft", ca_file=tmp_path)


def test_missing_certificates_are_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequestError, match=r"ca\.pem: no such file"):
        Endpoint.parse("https://ft", ca_file=tmp_path / "ca.pem")


def test_the_token_is_in_no_representation() -> None:
    endpoint = Endpoint.parse("https://ft", token="secret-token")
    assert endpoint.token == "secret-token"
    assert "secret-token" not in f"{endpoint} {endpoint!r}"


@pytest.mark.parametrize("token", ["two words", "line\r\nX-Admin: yes", "ünicode"])
def test_a_token_that_cannot_be_sent_is_refused_without_repeating_it(token: str) -> None:
    with pytest.raises(InvalidRequestError, match="FT_SERVING_TOKEN") as refused:
        Endpoint.parse("https://ft", token=token)
    assert token not in str(refused.value)


def test_the_token_comes_from_the_environment_without_the_newline_of_its_file() -> None:
    assert token_from_environment({"FT_SERVING_TOKEN": "secret\n"}) == "secret"
    assert token_from_environment({"FT_SERVING_TOKEN": ""}) is None
    assert token_from_environment({}) is None
