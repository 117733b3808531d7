"""The volume: a class that gives it, or a claim that is there already and is like it."""

from collections.abc import Iterator

from ft_serving.cluster.documents import Document, name
from operations.preflight.amounts import amount
from operations.preflight.facts import FactKind, Facts, PreflightFinding, error, warning
from operations.preflight.needs import Needs
from stacks.sections import AccessMode

_DEFAULT = "storageclass.kubernetes.io/is-default-class"

ONE_NODE_PROVISIONERS = {
    "cinder.csi.openstack.org",
    "disk.csi.azure.com",
    "dobs.csi.digitalocean.com",
    "ebs.csi.aws.com",
    "ebs.csi.eks.amazonaws.com",
    "kubernetes.io/aws-ebs",
    "kubernetes.io/azure-disk",
    "kubernetes.io/gce-pd",
    "linodebs.csi.linode.com",
    "openebs.io/local",
    "pd.csi.storage.gke.io",
    "rancher.io/local-path",
}
"""Those whose documentation says that a volume with a file system is for one node."""


def storage(needs: Needs, facts: Facts) -> Iterator[PreflightFinding]:
    """The claim that is there, or else the class that a new one gets."""
    claims = facts.all(FactKind.CLAIM)
    classes = {name(each): each for each in facts.all(FactKind.STORAGE_CLASSES)}
    if claims:
        yield from _existing(needs, claims[0], classes)
    elif facts.objects.get(FactKind.STORAGE_CLASSES) is not None:
        yield from _class(needs, classes)


def _class(needs: Needs, classes: dict[str, Document]) -> Iterator[PreflightFinding]:
    settings = needs.config.storage
    wanted = settings.storage_class
    known = ", ".join(sorted(classes)) or "none"
    chosen = classes.get(wanted) if wanted else _default(classes)
    if chosen is None:
        yield error(
            f"StorageClass {wanted}" if wanted else "The default StorageClass",
            found=f"no such class; there are: {known}",
            needed=f"one that gives volumes of {settings.size}, {settings.access_mode.value}",
            remedy="Set storage.storageClass to one of them; `kubectl get storageclass` shows more",
        )
        return
    provisioner = chosen["provisioner"]
    if settings.access_mode is AccessMode.READ_WRITE_MANY and provisioner in ONE_NODE_PROVISIONERS:
        yield error(
            f"StorageClass {name(chosen)}",
            found=f"the provisioner {provisioner}, whose volumes are for one node",
            needed=f"{settings.access_mode.value}, for pods on several",
            remedy=f"Set storage.storageClass to one with shared volumes (there are: {known}), or "
            "storage.accessMode: ReadWriteOnce if all pods run on one node",
        )
    if not chosen.get("allowVolumeExpansion"):
        yield warning(
            f"StorageClass {name(chosen)}",
            found="no allowVolumeExpansion",
            needed="that, for storage.size to grow later",
            remedy="Make storage.size large enough for the next models, too",
        )


def _existing(
    needs: Needs, claim: Document, classes: dict[str, Document]
) -> Iterator[PreflightFinding]:
    settings = needs.config.storage
    what = f"PersistentVolumeClaim {name(claim)} in namespace {needs.namespace}"
    remove = (
        f"or delete it with the weights on it: `kubectl --namespace {needs.namespace} delete "
        f"persistentvolumeclaim {name(claim)}`"
    )
    modes = claim["spec"].get("accessModes", [])
    if settings.access_mode.value not in modes:
        yield error(
            what,
            found=f"the access mode {', '.join(modes)}, which cannot change",
            needed=settings.access_mode.value,
            remedy=f"Set storage.accessMode: {modes[0] if modes else ''}, {remove}",
        )
    of_class = claim["spec"].get("storageClassName", "")
    if settings.storage_class and settings.storage_class != of_class:
        yield error(
            what,
            found=f"the class {of_class or 'none'}, which cannot change",
            needed=settings.storage_class,
            remedy=f"Set storage.storageClass: {of_class}, {remove}",
        )
    size = claim["spec"]["resources"]["requests"]["storage"]
    if amount(settings.size) < amount(size):
        yield error(
            what,
            found=f"the size {size}, which cannot shrink",
            needed=settings.size,
            remedy=f"Set storage.size: {size}, {remove}",
        )
    chosen = classes.get(of_class)
    grows = amount(settings.size) > amount(size)
    if grows and chosen is not None and not chosen.get("allowVolumeExpansion"):
        yield error(
            what,
            found=f"the size {size}, of a class whose volumes do not grow",
            needed=settings.size,
            remedy=f"Set storage.size: {size}, {remove}",
        )


def _default(classes: dict[str, Document]) -> Document | None:
    found = (
        each
        for each in classes.values()
        if (each["metadata"].get("annotations") or {}).get(_DEFAULT) == "true"
    )
    return next(found, None)
