"""Addresses, and the token for them."""

from pathlib import Path
from typing import Any

import pytest

from ft_serving.client.endpoint import Endpoint, token_from_environment
from ft_serving.client.errors import InvalidRequestError
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


@pytest.mark.parametrize(("url", "port"), [("http://ft", 8000), ("grpc://ft", 8001)])
def test_an_address_without_a_port_is_told_which_one_triton_has(url: str, port: int) -> None:
    hint = f" (no port was given, so 80 is asked; Triton's own is {port})"
    assert Endpoint.parse(url).port_hint == hint
    assert Endpoint.parse(f"{url}:80").port_hint == Endpoint.parse("https://ft").port_hint == ""


@pytest.mark.parametrize(
    ("url", "arguments", "problem"),
    [
        ("", {}, "must be like http://HOST:8000"),
        ("ftp://ft", {}, "must be like http://HOST:8000"),
        ("http://", {}, "must be like http://HOST:8000"),
        ("http://ft:port", {}, "must be like http://HOST:8000"),
        ("http://ft:99999999", {}, "must be like http://HOST:8000"),
        ("http://me:secret@ft", {}, "FT_SERVING_TOKEN"),
        ("http://ft/?key=secret", {}, "FT_SERVING_TOKEN"),
        ("me:secret@[ft", {}, "FT_SERVING_TOKEN"),
        ("grpc://ft", {"protocol": InferenceProtocol.HTTP}, "http, but the address is grpc://ft"),
        ("grpc://ft/v2", {}, "gRPC address has no path"),
        ("ft", {"host_header": "ft.example.com\r\nX-Admin: yes"}, "host header"),
        ("ft", {"host_header": "http://ft"}, "host header"),
        ("ft", {"host_header": ""}, "host header"),
        ("ft", {"host_header": "ft/x"}, "host header"),
        ("http://ft", {"ca_file": Path("ca.pem")}, "need an https:// or grpcs:// address"),
        ("https://ft", {"ca_file": Path("none/ca.pem")}, "none/ca.pem: no such file"),
        ("https://ft", {"token": "two secret words"}, "FT_SERVING_TOKEN"),
        ("https://ft", {"token": "secret\r\nX-Admin: yes"}, "FT_SERVING_TOKEN"),
        ("https://ft", {"token": "s\u00e9cret secret"}, "FT_SERVING_TOKEN"),
    ],
)
def test_what_is_no_address_is_refused_without_repeating_a_secret(
    url: str, arguments: dict[str, Any], problem: str
) -> None:
    with pytest.raises(InvalidRequestError, match=problem) as refused:
        Endpoint.parse(url, **arguments)
    assert "secret" not in str(refused.value)


def test_the_token_is_in_no_representation() -> None:
    endpoint = Endpoint.parse("https://ft", token="secret-token")
    assert endpoint.token == "secret-token"
    assert "secret-token" not in f"{endpoint} {endpoint!r}"


def test_the_token_comes_from_the_environment_without_the_newline_of_its_file() -> None:
    assert token_from_environment({"FT_SERVING_TOKEN": "secret\n"}) == "secret"
    assert token_from_environment({"FT_SERVING_TOKEN": ""}) is None
    assert token_from_environment({}) is None
