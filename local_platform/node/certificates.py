"""The cluster's certificate authority, and what it signs.

Kubernetes' 'PKI certificates and requirements' lists who needs which subject.
"""

import datetime
import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
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
    """Whom a certificate is for.

    Attributes:
        file: The name of its two files, without `.crt` and `.key`.
        user: The common name: what Kubernetes takes for the user.
        group: The organization: what Kubernetes takes for the group.
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
        "localhost",
        "kubernetes",
        "kubernetes.default",
        "kubernetes.default.svc",
        f"kubernetes.default.svc.{CLUSTER_DOMAIN}",
        "127.0.0.1",
        KUBERNETES_SERVICE,
        NODE_ADDRESS,
    ),
)
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
"""The provisioner of volumes; storage.yaml binds its role."""

_SIGNED = (
    API_SERVER,
    KUBELET_CLIENT,
    ADMINISTRATOR,
    CONTROLLER_MANAGER,
    SCHEDULER,
    PROXY,
    KUBELET,
    VOLUMES,
    SERVICE_ACCOUNTS,
)


def ensure() -> list[Path]:
    """Make what is missing or about to expire.

    Returns:
        The certificates that were made just now; whoever uses one must be started again.
    """
    FOLDER.mkdir(mode=0o700, parents=True, exist_ok=True)
    made: list[Path] = []
    if not _valid(AUTHORITY, None):
        _make_authority()
        made.append(AUTHORITY.certificate)
    authority = x509.load_pem_x509_certificate(AUTHORITY.certificate.read_bytes())
    signer = _load_key(AUTHORITY.key)
    for identity in _SIGNED:
        if not _valid(identity, authority):
            _sign(identity, authority, signer)
            made.append(identity.certificate)
    return made


def _valid(identity: CertificateHolder, authority: x509.Certificate | None) -> bool:
    key = _kept_key(identity)
    try:
        certificate = x509.load_pem_x509_certificate(identity.certificate.read_bytes())
    except (FileNotFoundError, ValueError):
        return False
    if key is None or certificate.public_key() != key.public_key():
        return False
    if certificate.not_valid_after_utc - _now() < _RENEWED_BEFORE:
        return False
    if authority is None:
        return True
    try:
        certificate.verify_directly_issued_by(authority)
    except Exception:  # noqa: BLE001 - of whatever kind: it is not this authority's, make a new one
        return False
    return _hosts(certificate) == set(identity.hosts)


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
    identity: CertificateHolder, authority: x509.Certificate, signer: ec.EllipticCurvePrivateKey
) -> None:
    # Service accounts' tokens are checked with such a key: a new one would void all of them.
    key = _kept_key(identity) or ec.generate_private_key(ec.SECP256R1())
    builder = (
        _builder(_subject(identity), authority.subject, key, _LIFETIME)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(
            x509.ExtendedKeyUsage(
                [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
            ),
            critical=False,
        )
    )
    if identity.hosts:
        builder = builder.add_extension(
            x509.SubjectAlternativeName(_names(identity.hosts)), critical=False
        )
    _write(identity, builder.sign(signer, hashes.SHA256()), key)


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


def _subject(identity: CertificateHolder) -> x509.Name:
    attributes = [x509.NameAttribute(NameOID.COMMON_NAME, identity.user)]
    if identity.group:
        attributes.insert(0, x509.NameAttribute(NameOID.ORGANIZATION_NAME, identity.group))
    return x509.Name(attributes)


def _names(hosts: Iterable[str]) -> list[x509.GeneralName]:
    names: list[x509.GeneralName] = []
    for host in hosts:
        try:
            names.append(x509.IPAddress(ipaddress.ip_address(host)))
        except ValueError:
            names.append(x509.DNSName(host))
    return names


def _kept_key(identity: CertificateHolder) -> ec.EllipticCurvePrivateKey | None:
    """The key there is; `None` before the first time, and where a power cut left half of one."""
    try:
        return _load_key(identity.key)
    except (FileNotFoundError, ValueError):
        return None


def _load_key(path: Path) -> ec.EllipticCurvePrivateKey:
    key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise TypeError(f"{path} holds another kind of key than this program writes")
    return key


def _write(
    identity: CertificateHolder, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey
) -> None:
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    # The key first: a certificate without its key would look complete.
    for path, content in (
        (identity.key, private),
        (identity.certificate, certificate.public_bytes(serialization.Encoding.PEM)),
    ):
        write_whole(path, content, mode=0o600)


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)
