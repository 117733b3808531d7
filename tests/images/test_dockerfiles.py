"""The Dockerfiles: rules for all images, and the places of their parts."""

import re
from pathlib import Path

import pytest

from ft_serving import __version__
from ft_serving.server.vllm.settings import KNOWN_VERSIONS
from tests.images.dockerfile import IMAGES, NAMES, ROOT, read_dockerfile

every_image = pytest.mark.parametrize("name", NAMES)
servers = pytest.mark.parametrize("name", ["server", "server-cpu", "server-vllm"])
python_servers = pytest.mark.parametrize("name", ["server-cpu", "server-vllm"])
commands = pytest.mark.parametrize("name", ["client", "openai", "weights"])

DIGEST = re.compile(r"[\w./:-]+@sha256:[0-9a-f]{64}")
FILES = sorted(path for path in IMAGES.rglob("*") if path.is_file())


def test_every_folder_of_an_image_is_tested() -> None:
    assert tuple(sorted(path.parent.name for path in IMAGES.glob("*/Dockerfile"))) == NAMES


@every_image
def test_bases_are_arguments_and_a_default_is_pinned_by_its_digest(name: str) -> None:
    dockerfile = read_dockerfile(name)
    for stage in dockerfile.stages:
        match = re.fullmatch(r"\$\{(\w+)\}(?: AS \w+)?", stage[0].text)
        assert match, f"{stage[0].text}: a base that no argument replaces works on one site only"
        assert match[1] in dockerfile.defaults
    for argument, default in dockerfile.defaults.items():
        assert not default or default == "scratch" or DIGEST.fullmatch(default), (
            f"{argument}={default}: a tag can be moved to another image"
        )
    assert name != "server" or set(dockerfile.defaults.values()) == {""}, "its user names both"


@every_image
def test_processes_are_not_root_and_have_a_home_on_a_read_only_root(name: str) -> None:
    assert read_dockerfile(name).final("USER") == ["1000:1000"], (
        "runAsNonRoot needs a number, and volumes are shared between the images"
    )
    assert 'HOME="/tmp"' in " ".join(read_dockerfile(name).final("ENV"))


@every_image
def test_layers_are_copied_from_stages_and_no_instruction_has_a_secret(name: str) -> None:
    dockerfile = read_dockerfile(name)
    assert dockerfile.final("RUN") == [], "files written in the final stage carry the build's time"
    for copy in dockerfile.final("COPY"):
        assert re.fullmatch(r"--from=\w+ /layer /", copy)
    for instruction in dockerfile.instructions:
        assert instruction.name != "ADD"
        if instruction.name in ("ARG", "ENV"):
            assert not re.search("TOKEN|SECRET|PASSW|KEY|CRED", instruction.text.upper())


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(IMAGES)))
def test_no_file_names_a_host_or_a_moving_tag(path: Path) -> None:
    text = path.read_text()
    assert not re.findall(r"https?://(?!127\.0\.0\.1[:/])", text), "index and mirror are the site's"
    assert ":latest" not in text


@every_image
def test_an_image_says_what_it_is(name: str) -> None:
    labels = read_dockerfile(name).labels()
    prefix = "org.opencontainers.image."
    assert labels[prefix + "title"] == f"ft-serving-{name}"
    assert labels[prefix + "version"] == __version__
    assert labels[prefix + "base.name"] == "${BASE_IMAGE}"
    assert labels[prefix + "licenses"].startswith("Apache-2.0")
    assert labels[prefix + "description"]


def test_every_installation_by_pip_checks_hashes_and_builds_nothing() -> None:
    installations = [
        line
        for path in FILES
        for line in path.read_text().replace("\\\n", " ").splitlines()
        if re.search(r"\bpip\b.* install ", line)
    ]
    assert len(installations) == 1
    assert "--require-hashes" in installations[0]
    assert "--only-binary :all:" in installations[0]


@pytest.mark.parametrize(
    ("name", "locks"),
    [
        ("client", "client"),
        ("openai", "openai"),
        ("server-cpu", "server triton"),
        ("server-vllm", "server triton gpu vllm"),
        ("weights", "weights"),
    ],
)
def test_an_image_installs_its_own_extra(name: str, locks: str) -> None:
    runs = " ".join(i.text for i in read_dockerfile(name).instructions if i.name == "RUN")
    assert re.findall(r"install-packages\.sh ([\w ]+\w)", runs) == [locks]


def test_the_images_install_the_versions_that_the_tests_run() -> None:
    tested = _pins("dev")
    for lock in ("client", "openai", "server", "weights"):
        pins = _pins(lock)
        assert pins
        assert pins.items() <= tested.items()


def test_vllm_and_torch_are_versions_that_have_run_on_gpus() -> None:
    assert _pins("vllm") == {"vllm": KNOWN_VERSIONS[0]}
    pins = _pins("gpu")
    assert pins["torch"] == "2.11.0", "vLLM's libraries are compiled for one torch"
    shared = _pins("server").keys() & pins.keys()
    assert shared
    assert {name: pins[name] for name in shared} == {name: _pins("server")[name] for name in shared}


def _pins(lock: str) -> dict[str, str]:
    text = (ROOT / "requirements" / f"{lock}.lock").read_text()
    return dict(re.findall(r"^([\w.-]+)==(\S+)", text, re.MULTILINE))


@commands
def test_a_command_is_the_entry_point(name: str) -> None:
    entrypoint = read_dockerfile(name).stages[-1][-1]
    subcommand = {"client": "generate", "openai": "openai", "weights": "weights"}[name]
    assert entrypoint.name == "ENTRYPOINT"
    assert entrypoint.words() == ["/opt/ft-serving/bin/ft-serving", subcommand]


@servers
def test_a_server_is_triton_as_a_child_of_the_first_process(name: str) -> None:
    words = read_dockerfile(name).stages[-1][-1].words()
    child = words[words.index("/opt/ft-serving/bin/as-child") + 1 :]
    # This project's engines check their releases by themselves.
    checked = {
        "server": ["/opt/ft-serving/bin/check-release"],
        "server-cpu": [],
        "server-vllm": ["/opt/ft-serving/bin/check-gpus"],
    }[name]
    assert child[: len(checked) + 1] == [*checked, "/opt/tritonserver/bin/tritonserver"]
    assert "--disable-auto-complete-config" in words, (
        "config.pbtxt is complete, and to complete it Triton loads a model twice"
    )


@python_servers
def test_no_client_can_name_memory_of_the_server_to_read_and_write(name: str) -> None:
    # As `ft-serving serve` starts it, whose test asks a real one.
    words = read_dockerfile(name).stages[-1][-1].words()
    for option in ("--http-restricted-api", "--grpc-restricted-protocol"):
        assert f"{option}=shared-memory:restricted={{unknown}}" in words


@servers
def test_a_server_says_when_it_is_ready(name: str) -> None:
    dockerfile = read_dockerfile(name)
    assert "http://127.0.0.1:8000/v2/health/ready" in dockerfile.final("HEALTHCHECK")[0]
    assert dockerfile.final("EXPOSE") == ["8000 8001 8002"]


def test_what_vllm_compiles_with_is_where_its_image_says() -> None:
    [environment] = read_dockerfile("server-vllm").final("ENV")
    assert 'CC="/opt/ft-serving/bin/cc"' in environment, "Triton's kernels are started by C"
    assert 'FT_SERVING_CACHE="/tmp/' in environment, "the root file system is read-only"
    assert 'USER="ft-serving"' in environment, "torch asks for the name of a number that has none"
    script = (IMAGES / "server-vllm" / "prepare-vllm.sh").read_text()
    for path in ("bin/cc", "bin/check-gpus", "share/compiled/vllm", "share/compiled/triton"):
        assert f'"/layer$target/{path}"' in script
