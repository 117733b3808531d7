"""Makes the cluster's certificate authority and the certificates that it signs.

Kubernetes' 'PKI certificates and requirements' lists the subject that each part needs.
"""

import datetime
import ipaddress
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from local_platform.files import write_whole
from local_platform.settings import CLUSTER_DOMAIN, DATA, KUBERNETES_SERVICE, NODE, NODE_ADDRESS

FOLDER = DATA / "certificates"

_LIFETIME = datetime.timedelta(days=365)
_RENEWED_BEFORE = datetime.timedelta(days=60)
_AUTHORITY_LIFETIME = datetime.timedelta(days=3650)


@dataclass(frozen=True)
class CertificateHolder:
    """The holder of a certificate.

    Attributes:
        file: The name of its two files, without `.crt` and `.key`.
        user: The common name, which Kubernetes takes for the user.
        group: The organization, which Kubernetes takes for the group.
        hosts: Names and addresses that it serves on.
    """

    file: str
    user: str
    group: str | None = None
    hosts: tuple[str, ...] = ()

    @property
    def certificate(self) -> Path:
        """The PEM file of the certificate."""
        return FOLDER / f"{self.file}.crt"

    @property
    def key(self) -> Path:
        """The PEM file of the private key."""
        return FOLDER / f"{self.file}.key"


AUTHORITY = CertificateHolder("ca", "ft-serving-ca")
SERVICE_ACCOUNTS = CertificateHolder("service-accounts", "service-accounts")
API_SERVER = CertificateHolder(
    "kube-apiserver",
    "kube-apiserver",
    hosts=(
        "localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc",
        f"kubernetes.default.svc.{CLUSTER_DOMAIN}", "127.0.0.1", KUBERNETES_SERVICE, NODE_ADDRESS,
    ),
)  # fmt: skip
KUBELET_CLIENT = CertificateHolder("kubelet-client", "kubelet-client", "system:masters")
ADMINISTRATOR = CertificateHolder("administrator", "administrator", "system:masters")
CONTROLLER_MANAGER = CertificateHolder("kube-controller-manager", "system:kube-controller-manager")
SCHEDULER = CertificateHolder("kube-scheduler", "system:kube-scheduler")
PROXY = CertificateHolder("kube-proxy", "system:kube-proxy")
KUBELET = CertificateHolder(
    "kubelet", f"system:node:{NODE}", "system:nodes", hosts=(NODE, NODE_ADDRESS)
)
VOLUMES = CertificateHolder("volumes", "ft-serving:volumes")
"""The provisioner of volumes; platform.yaml binds its role."""

KSERVE_WEBHOOK = CertificateHolder(
    "kserve-webhook", "kserve-webhook", hosts=("kserve-webhook-server-service.kserve.svc",)
)

_SIGNED = (
    API_SERVER, KUBELET_CLIENT, ADMINISTRATOR, CONTROLLER_MANAGER, SCHEDULER, PROXY, KUBELET,
    VOLUMES, KSERVE_WEBHOOK, SERVICE_ACCOUNTS,
)  # fmt: skip


def ensure() -> list[Path]:
    """Make the certificates that are missing, damaged or about to expire.

    Returns:
        The certificates that were made; the programs that use them must be started again.
    """
    FOLDER.mkdir(mode=0o700, parents=True, exist_ok=True)
    made: list[Path] = []
    if not _valid(AUTHORITY, None):
        _make(AUTHORITY, ec.generate_private_key(ec.SECP256R1()), None)
        made.append(AUTHORITY.certificate)
    authority = x509.load_pem_x509_certificate(AUTHORITY.certificate.read_bytes())
    for holder in _SIGNED:
        if not _valid(holder, authority):
            # A new key would void all tokens of service accounts, which are checked with theirs.
            _make(holder, _key(holder) or ec.generate_private_key(ec.SECP256R1()), _key(AUTHORITY))
            made.append(holder.certificate)
    return made


def _valid(holder: CertificateHolder, authority: x509.Certificate | None) -> bool:
    key = _key(holder)
    try:
        certificate = x509.load_pem_x509_certificate(holder.certificate.read_bytes())
        if authority is not None:
            certificate.verify_directly_issued_by(authority)
    except (FileNotFoundError, ValueError, TypeError, InvalidSignature):
        return False
    return (
        key is not None
        and certificate.public_key() == key.public_key()
        and certificate.not_valid_after_utc - _now() >= _RENEWED_BEFORE
        and _hosts(certificate) == set(holder.hosts)
    )


def _hosts(certificate: x509.Certificate) -> set[str]:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return set()
    return {str(name.value) for name in names}


def _make(
    holder: CertificateHolder,
    key: ec.EllipticCurvePrivateKey,
    signer: ec.EllipticCurvePrivateKey | None,
) -> None:
    """Write a holder's key and its certificate, which the authority signs, its own if no signer."""
    own = signer is None
    lifetime = _AUTHORITY_LIFETIME if own else _LIFETIME
    builder = (
        x509.CertificateBuilder()
        .subject_name(_subject(holder))
        .issuer_name(_subject(AUTHORITY))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(_now() - datetime.timedelta(minutes=5))
        .not_valid_after(_now() + lifetime)
        .add_extension(x509.BasicConstraints(ca=own, path_length=0 if own else None), critical=True)
    )
    if own:
        usage = x509.KeyUsage(
            digital_signature=True, key_cert_sign=True, crl_sign=True, content_commitment=False,
            key_encipherment=False, data_encipherment=False, key_agreement=False,
            encipher_only=False, decipher_only=False,
        )  # fmt: skip
        builder = builder.add_extension(usage, critical=True)
    else:
        extended = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
        builder = builder.add_extension(x509.ExtendedKeyUsage(extended), critical=False)
    if holder.hosts:
        names = x509.SubjectAlternativeName([_general_name(host) for host in holder.hosts])
        builder = builder.add_extension(names, critical=False)
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    # The key first: a certificate without its key would look complete.
    write_whole(holder.key, private, mode=0o600)
    certificate = builder.sign(signer or key, hashes.SHA256())
    public = certificate.public_bytes(serialization.Encoding.PEM)
    write_whole(holder.certificate, public, mode=0o600)


def _subject(holder: CertificateHolder) -> x509.Name:
    attributes = [x509.NameAttribute(NameOID.COMMON_NAME, holder.user)]
    if holder.group:
        attributes.insert(0, x509.NameAttribute(NameOID.ORGANIZATION_NAME, holder.group))
    return x509.Name(attributes)


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _key(holder: CertificateHolder) -> ec.EllipticCurvePrivateKey | None:
    """Return the key, or None if there is none or a power cut left half of one."""
    try:
        key = serialization.load_pem_private_key(holder.key.read_bytes(), password=None)
    except (FileNotFoundError, ValueError):
        return None
    return key if isinstance(key, ec.EllipticCurvePrivateKey) else None


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)
