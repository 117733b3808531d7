"""The groups of tools of which the platform is built, as data.

Versions and hashes are pinned by the `go.mod` and `go.sum` in `modules/<group>`, whose `tool` lines
name the programs. A group has a module of its own because one for all would force one version of
shared dependencies on all of them. The `replace` lines are those of the upstream modules, which Go
heeds in a main module only.
"""

from dataclasses import dataclass
from pathlib import Path

MODULES = Path(__file__).parent / "modules"

KUBERNETES_SDK = "4.34.2"
"""The version of pulumi-kubernetes, whose SDK asks for a plugin that is no older."""


@dataclass(frozen=True)
class ModuleSource:
    """A file or folder of a module's source.

    Attributes:
        module: The module's path.
        path: The file or folder inside the module.
        target: Its path inside the group's folder. Files in `bin` are made executable.
        pins: The group whose `go.mod` pins the module's version; None for the group itself.
    """

    module: str
    path: str
    target: str
    pins: str | None = None


@dataclass(frozen=True, kw_only=True)
class Group:
    """Tools that are built together from one `go.mod`.

    Attributes:
        name: The group's name, and that of its folder in `modules`.
        module: The module whose version is that of the tools.
        cost_s: Seconds that the group took to build on two cores, downloads excepted.
        variables: Go variables that upstream's own build sets by `-ldflags -X`, and their values:
            `{version}` is 1.2.3, `{major}` 1 and `{minor}` 2.
        copied: Parts of the sources that are taken as they are.
        embedded: Files of the sources that the group's own programs embed: copied into the folder
            of its pins, by `target`, before Go compiles it.
        compiled: C programs of one file each, linked statically.
        modules: The folder of all groups' pins.
    """

    name: str
    module: str
    cost_s: int
    variables: tuple[tuple[str, str], ...] = ()
    copied: tuple[ModuleSource, ...] = ()
    embedded: tuple[ModuleSource, ...] = ()
    compiled: tuple[ModuleSource, ...] = ()
    modules: Path = MODULES


GROUPS = (
    Group(
        name="kubernetes",
        module="k8s.io/kubernetes",
        cost_s=405,
        # hack/lib/version.sh of the module sets the same. Without it every part calls itself
        # v0.0.0-master, which clients that ask for a minimum version refuse.
        variables=(
            ("k8s.io/component-base/version.gitVersion", "v{version}"),
            ("k8s.io/component-base/version.gitMajor", "{major}"),
            ("k8s.io/component-base/version.gitMinor", "{minor}"),
            ("k8s.io/client-go/pkg/version.gitVersion", "v{version}"),
        ),
        compiled=(ModuleSource("k8s.io/kubernetes", "build/pause/linux/pause.c", "bin/pause"),),
    ),
    Group(
        name="pulumi",
        module="github.com/pulumi/pulumi/pkg/v3",
        cost_s=275,
        variables=(("github.com/pulumi/pulumi/sdk/v3/go/common/version.Version", "v{version}"),),
    ),
    # The language host is an old one: later ones are modules that no proxy serves. The program that
    # it runs has to be that of the SDK's version, which the group `pulumi` pins.
    Group(
        name="pulumi-python",
        module="github.com/pulumi/pulumi/sdk/v3",
        cost_s=20,
        copied=(
            ModuleSource(
                "github.com/pulumi/pulumi/sdk/v3",
                "python/cmd/pulumi-language-python-exec",
                "bin/pulumi-language-python-exec",
                pins="pulumi",
            ),
        ),
    ),
    # Symbolic links are lost in module archives, and with them the resources of the other two
    # modules that config/core links to.
    Group(
        name="knative",
        module="knative.dev/serving",
        cost_s=135,
        copied=(
            ModuleSource("knative.dev/serving", "config/core", "manifests/serving/config/core"),
            ModuleSource("knative.dev/networking", "config", "manifests/networking/config"),
            ModuleSource("knative.dev/caching", "config", "manifests/caching/config"),
        ),
    ),
    Group(
        name="kserve",
        module="github.com/kserve/kserve",
        cost_s=140,
        copied=(ModuleSource("github.com/kserve/kserve", "config", "manifests/kserve/config"),),
    ),
    Group(name="traefik", module="github.com/traefik/traefik/v3", cost_s=380),
    Group(name="coredns", module="github.com/coredns/coredns", cost_s=100),
)

# Built only where the plugin of the SDK's version can be neither found nor downloaded
# (provider_plugins.py). It is not one module with the CLI: its code needs a release of Pulumi's
# packages from before 3.248. Both pin the same versions of all else, so that Go compiles what they
# share once.
KUBERNETES_PLUGIN = Group(
    name="pulumi-kubernetes",
    module="github.com/pulumi/pulumi-kubernetes/provider/v4",
    cost_s=420,
    # Pulumi warns at each command about a plugin that calls itself older than the SDK. The part
    # behind the plus sign is the commit that it is.
    variables=(
        (
            "github.com/pulumi/pulumi-kubernetes/provider/v4/pkg/version.Version",
            f"{KUBERNETES_SDK}+f47bc2d6f199",
        ),
    ),
    embedded=(
        ModuleSource(
            "github.com/pulumi/pulumi-kubernetes/provider/v4",
            "cmd/pulumi-resource-kubernetes/schema.json",
            "pulumi-resource-kubernetes/schema.json",
        ),
    ),
)
