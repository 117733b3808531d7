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


@dataclass(frozen=True, kw_only=True)
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


AUTHORITY = CertificateHolder(file="ca", user="ft-serving-ca")
SERVICE_ACCOUNTS = CertificateHolder(file="service-accounts", user="service-accounts")
API_SERVER = CertificateHolder(
    file="kube-apiserver",
    user="kube-apiserver",
    hosts=(
        "localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc",
        f"kubernetes.default.svc.{CLUSTER_DOMAIN}", "127.0.0.1", KUBERNETES_SERVICE, NODE_ADDRESS,
    ),
)  # fmt: skip
KUBELET_CLIENT = CertificateHolder(
    file="kubelet-client", user="kubelet-client", group="system:masters"
)
ADMINISTRATOR = CertificateHolder(
    file="administrator", user="administrator", group="system:masters"
)
CONTROLLER_MANAGER = CertificateHolder(
    file="kube-controller-manager", user="system:kube-controller-manager"
)
SCHEDULER = CertificateHolder(file="kube-scheduler", user="system:kube-scheduler")
PROXY = CertificateHolder(file="kube-proxy", user="system:kube-proxy")
KUBELET = CertificateHolder(
    file="kubelet", user=f"system:node:{NODE}", group="system:nodes", hosts=(NODE, NODE_ADDRESS)
)
VOLUMES = CertificateHolder(file="volumes", user="ft-serving:volumes")
"""The provisioner of volumes; platform.yaml binds its role."""

KSERVE_WEBHOOK = CertificateHolder(
    file="kserve-webhook",
    user="kserve-webhook",
    hosts=("kserve-webhook-server-service.kserve.svc",),
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
        _make_authority()
        made.append(AUTHORITY.certificate)
    authority = x509.load_pem_x509_certificate(AUTHORITY.certificate.read_bytes())
    signer = _kept_key(AUTHORITY)
    assert signer is not None  # noqa: S101 (`_valid` has seen it, or it was made)
    for holder in _SIGNED:
        if not _valid(holder, authority):
            _sign(holder, authority, signer)
            made.append(holder.certificate)
    return made


def _valid(holder: CertificateHolder, authority: x509.Certificate | None) -> bool:
    key = _kept_key(holder)
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


def _make_authority() -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = _subject(AUTHORITY)
    usage = x509.KeyUsage(
        digital_signature=True, key_cert_sign=True, crl_sign=True, content_commitment=False,
        key_encipherment=False, data_encipherment=False, key_agreement=False,
        encipher_only=False, decipher_only=False,
    )  # fmt: skip
    certificate = (
        _builder(name, name, key, _AUTHORITY_LIFETIME)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .sign(key, hashes.SHA256())
    )
    _write(AUTHORITY, certificate, key)


def _sign(
    holder: CertificateHolder, authority: x509.Certificate, signer: ec.EllipticCurvePrivateKey
) -> None:
    # A new key would void all tokens of service accounts, which are checked with theirs.
    key = _kept_key(holder) or ec.generate_private_key(ec.SECP256R1())
    usage = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    builder = (
        _builder(_subject(holder), authority.subject, key, _LIFETIME)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage(usage), critical=False)
    )
    if holder.hosts:
        names = x509.SubjectAlternativeName([_general_name(host) for host in holder.hosts])
        builder = builder.add_extension(names, critical=False)
    _write(holder, builder.sign(signer, hashes.SHA256()), key)


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    lifetime: datetime.timedelta,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(_now() - datetime.timedelta(minutes=5))
        .not_valid_after(_now() + lifetime)
    )


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


def _kept_key(holder: CertificateHolder) -> ec.EllipticCurvePrivateKey | None:
    """Return the key, or None if there is none or a power cut left half of one."""
    try:
        key = serialization.load_pem_private_key(holder.key.read_bytes(), password=None)
    except (FileNotFoundError, ValueError):
        return None
    return key if isinstance(key, ec.EllipticCurvePrivateKey) else None


def _write(
    holder: CertificateHolder, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey
) -> None:
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    # The key first: a certificate without its key would look complete.
    write_whole(holder.key, private, mode=0o600)
    public = certificate.public_bytes(serialization.Encoding.PEM)
    write_whole(holder.certificate, public, mode=0o600)


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)
