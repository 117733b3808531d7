"""The project's program on a stack of its own, through Pulumi's command line."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from kubernetes.dynamic import DynamicClient

from ft_serving.client import Generation, GenerationClient, InferenceProtocol
from local_platform import environment
from local_platform.settings import DATA, STACKS
from stacks.models import KNOWN_MODELS
from tests.pulumi_cli import PulumiCli, Report, platform_variables, resource, resources
from tests.serving import GOLDEN
from tests.stacks.documents import PROJECT, ROOT, Document, changed, shipped

_PROJECT_NAME = PROJECT.removesuffix(":")
_YES = ("--yes", "--skip-preview")


class Deployment:
    """A stack of the program whose configuration and state are beside the checkout's."""

    def __init__(self, folder: Path, stack: str, settings: Mapping[str, Any]) -> None:
        """Create the stack in an empty folder."""
        self.stack = stack
        self.settings: Document = dict(settings)
        self.cli = PulumiCli(
            folder=folder / "pulumi", passphrase="deployment", variables=platform_variables()
        )
        # Pulumi writes a stack's salt into its configuration: not into the checkout's.
        self._folder = folder / "project"
        self._folder.mkdir()
        (self._folder / "Pulumi.yaml").write_text((ROOT / "Pulumi.yaml").read_text())
        self.settings_file = self._folder / f"Pulumi.{stack}.yaml"
        self.cli.ask(self._folder, "stack", "init", stack)
        self.change({})

    @property
    def namespace(self) -> str:
        """The Kubernetes namespace that the stack is in."""
        return str(self.settings["cluster"]["namespace"])

    def namespace_exists(self, api: DynamicClient) -> bool:
        """Return whether the cluster has the namespace."""
        namespaces = api.resources.get(api_version="v1", kind="Namespace")
        selector = f"kubernetes.io/metadata.name={self.namespace}"
        return bool(namespaces.get(label_selector=selector).items)

    def change(self, changes: Mapping[str, Any]) -> None:
        """Set values at paths such as `gpu.type`."""
        self.settings = changed(self.settings, changes)
        text = self.settings_file.read_text() if self.settings_file.exists() else "{}"
        document = yaml.safe_load(text)
        kept = {
            name: value
            for name, value in (document.get("config") or {}).items()
            if isinstance(value, Mapping) and "secure" in value
        }
        sections = {f"{PROJECT}{name}": value for name, value in self.settings.items()}
        self.settings_file.write_text(yaml.safe_dump({**document, "config": {**kept, **sections}}))

    def copy_settings(self, folder: Path) -> None:
        """Read and change a copy of the settings file from now on."""
        self.settings_file = Path(shutil.copy(self.settings_file, folder))

    @contextmanager
    def changed(self, changes: Mapping[str, Any]) -> Iterator[None]:
        """Have other settings until the context ends."""
        before = self.settings
        self.change(changes)
        try:
            yield
        finally:
            self.settings = before
            self.change({})

    def set_secret(self, name: str, value: str) -> None:
        """Set a secret such as `registryPassword`, as `pulumi config set --secret` does."""
        self.cli.ask(
            self._folder, "config", "set", "--stack", self.stack, "--secret", f"{PROJECT}{name}",
            value,
        )  # fmt: skip

    def preview(self, *options: str) -> Report:
        """`pulumi preview --diff`: its steps, and what it shows."""
        return self.cli.report(ROOT, "preview", "--diff", *self._stack, *options)

    def up(self, *options: str) -> Report:
        return self.cli.report(ROOT, "up", *_YES, *self._stack, *options)

    def deploy(self, *options: str) -> Report:
        """`pulumi up`, which has to succeed."""
        report = self.up(*options)
        assert report.succeeded, report.messages
        return report

    def start_up(self) -> "subprocess.Popen[bytes]":
        """`pulumi up` that is not waited for; its output is thrown away."""
        return self.cli.start(ROOT, "up", *_YES, *self._stack)

    def under_way(self) -> set[str]:
        """The names of the resources that `start_up` works on now."""
        return self.cli.under_way()

    def refresh(self, *options: str) -> Report:
        return self.cli.report(ROOT, "refresh", *_YES, *self._stack, *options)

    def destroy(self, *options: str) -> Report:
        """`pulumi destroy`, which looks first whether it may."""
        return self.cli.report(ROOT, "destroy", "--yes", *self._stack, *options)

    def cancel(self) -> None:
        """`pulumi cancel`: take away the lock of a command that was killed."""
        self.cli.ask(ROOT, "cancel", "--yes", "--stack", self.stack)

    def state(self) -> str:
        """The state as it is stored: JSON, secrets encrypted."""
        return self.cli.state(_PROJECT_NAME, self.stack)

    def state_is_whole(self) -> bool:
        """Return whether a kill of `start_up` now would leave a state that Pulumi can read."""
        return self.cli.state_is_whole(_PROJECT_NAME, self.stack)

    def outputs(self) -> Mapping[str, Any]:
        """The stack's outputs; secrets are encrypted."""
        return dict(resource(self.state(), f"{_PROJECT_NAME}-{self.stack}")["outputs"])

    def client(self) -> GenerationClient:
        """A client of the deployed endpoint, through the ingress on 127.0.0.1."""
        outputs = self.outputs()
        return GenerationClient(
            str(outputs["url"]),
            protocol=InferenceProtocol(self.settings["serving"].get("protocol", "http")),
            host_header=str(outputs["host"]),
            tokenizer=str(ROOT / "models/tiny-gptj/tokenizer.json"),
        )

    def images(self) -> dict[str, Any]:
        """Return settings that name this stack's images, for stacks that need not build them."""
        outputs = self.outputs()
        names = ("server", "weights", "client", "openai")
        return {
            f"image.{name}": {"existing": outputs[f"{name}Image"]}
            for name in names
            if f"{name}Image" in outputs
        }

    def source(self) -> str:
        """Return the model's repository and commit, as `REPOSITORY@COMMIT`."""
        repository = self.settings["model"]["repository"]
        return f"{repository}@{KNOWN_MODELS[repository].revision}"

    def ask(self, prompt: str, output_length: int) -> Generation:
        """Return the endpoint's greedy answer to a prompt."""
        with self.client() as client:
            (answer,) = client.generate([prompt], output_length=output_length)
        return answer

    def is_right(self) -> bool:
        """Return whether the endpoint has the golden answer to the golden question."""
        answer = self.ask(GOLDEN["prompt"], GOLDEN["request_output_len"])
        return answer.output_ids == tuple(GOLDEN["output_ids"])

    def diagnose(self, *options: str) -> tuple[int, str]:
        """Return the exit code of `ft-serving diagnose`, and what it writes."""
        program = str(Path(sys.executable).with_name("ft-serving"))
        done = subprocess.run(
            [program, "diagnose", "--namespace", self.namespace, *options],
            env={**os.environ, **platform_variables()},
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.stderr == ""
        return done.returncode, done.stdout

    @property
    def _stack(self) -> tuple[str, ...]:
        return ("--stack", self.stack, "--config-file", str(self.settings_file))


class Demo(Deployment):
    """The stack `dev` as `make demo` deploys it, with the platform's own state and passphrase."""

    def __init__(self, folder: Path) -> None:
        """Find it; create nothing."""
        self.stack = "dev"
        self.settings = changed(shipped("dev"), {"cluster.namespace": "ft-serving"})
        cli = folder / "pulumi"
        cli.mkdir()
        (cli / "backend").symlink_to(STACKS)
        self.cli = PulumiCli(
            folder=cli,
            passphrase=environment.PASSPHRASE.read_text(),
            variables=platform_variables(),
        )
        self._folder = DATA / "demo"
        self.settings_file = self._folder / "Pulumi.dev.yaml"

    def is_up(self) -> bool:
        """Return whether the platform has the stack with resources."""
        try:
            return bool(resources(self.state()))
        except FileNotFoundError:
            return False


def openai_options(stack: Deployment) -> Document:
    """Return the official client's options for a stack, through the ingress."""
    outputs = stack.outputs()
    return {
        "base_url": outputs["openai"],
        "api_key": "none",
        "default_headers": {"Host": outputs["host"]},
    }


def platform_settings(namespace: str, changes: Mapping[str, Any] | None = None) -> Document:
    """Return the stack `dev` in another namespace, asking for little enough that several fit."""
    own = {
        "cluster.namespace": namespace,
        # Tests break the cluster, and load it: what comes of that is what most of them are about.
        "cluster.preflight": "warn",
        "resources.cpu": "100m",
        # It has pods of its own, which only few tests are about.
        "serving.openai": False,
    }
    return changed(shipped("dev"), {**own, **(changes or {})})
