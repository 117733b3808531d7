"""Checks of the class of a new volume, or of the claim that is there already."""

from collections.abc import Iterator

from ft_serving.cluster.documents import Document, annotation, name
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
"""Provisioners whose documentation says that a volume with a file system is for one node."""


def storage(needs: Needs, facts: Facts) -> Iterator[PreflightFinding]:
    """Check the claim that is there, or else the class that a new one gets."""
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
    defaults = (each for each in classes.values() if annotation(each, _DEFAULT) == "true")
    chosen = classes.get(wanted) if wanted else next(defaults, None)
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
            needed="allowVolumeExpansion: true, so that storage.size can grow later",
            remedy="Make storage.size large enough for the next models, too",
        )


def _existing(
    needs: Needs, claim: Document, classes: dict[str, Document]
) -> Iterator[PreflightFinding]:
    wanted, spec = needs.config.storage, claim["spec"]
    modes, of_class = spec.get("accessModes", []), spec.get("storageClassName", "")
    size = spec["resources"]["requests"]["storage"]
    fixed = of_class in classes and not classes[of_class].get("allowVolumeExpansion")
    wrong = []
    if wanted.access_mode.value not in modes:
        found = f"the access mode {', '.join(modes)}, which cannot change"
        setting = f"storage.accessMode: {modes[0] if modes else ''}"
        wrong.append((found, wanted.access_mode.value, setting))
    if wanted.storage_class and wanted.storage_class != of_class:
        found = f"the class {of_class or 'none'}, which cannot change"
        wrong.append((found, wanted.storage_class, f"storage.storageClass: {of_class}"))
    if amount(wanted.size) < amount(size):
        found = f"the size {size}, which cannot shrink"
        wrong.append((found, wanted.size, f"storage.size: {size}"))
    if amount(wanted.size) > amount(size) and fixed:
        found = f"the size {size}, of a class whose volumes do not grow"
        wrong.append((found, wanted.size, f"storage.size: {size}"))
    for found, needed, setting in wrong:
        yield error(
            f"PersistentVolumeClaim {name(claim)} in namespace {needs.namespace}",
            found=found,
            needed=needed,
            remedy=f"Set {setting}, or delete it with the weights on it: `kubectl --namespace "
            f"{needs.namespace} delete persistentvolumeclaim {name(claim)}`",
        )
