"""The certificate of a webhook inside the cluster: signed by itself, and its own authority.

The API server is told the very certificate that it is to meet, so an authority between the two
would prove nothing more.
"""

import datetime
from dataclasses import dataclass
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

_VALIDITY: Final = datetime.timedelta(days=3650)
_RENEWED_BEFORE: Final = datetime.timedelta(days=90)
_CLOCK_SKEW: Final = datetime.timedelta(hours=1)


@dataclass(frozen=True, kw_only=True)
class Certificate:
    """A certificate and its private key, both as PEM."""

    certificate: bytes
    key: bytes

    @property
    def fingerprint(self) -> str:
        """The certificate's SHA-256 in hexadecimal, shortened."""
        return (
            x509.load_pem_x509_certificate(self.certificate).fingerprint(hashes.SHA256()).hex()[:16]
        )


def serves(certificate: Certificate, host: str, now: datetime.datetime) -> bool:
    """Whether a stored certificate can go on being used for that host.

    Args:
        certificate: As it was found; anything may have happened to it.
        host: The DNS name that clients call.
        now: The time, with a time zone.
    """
    try:
        found = x509.load_pem_x509_certificate(certificate.certificate)
        key = serialization.load_pem_private_key(certificate.key, password=None)
        names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (ValueError, TypeError, x509.ExtensionNotFound):
        return False
    return (
        key.public_key() == found.public_key()
        and host in names.get_values_for_type(x509.DNSName)
        and found.not_valid_before_utc <= now <= found.not_valid_after_utc - _RENEWED_BEFORE
    )


def make(host: str, now: datetime.datetime) -> Certificate:
    """A new certificate for a host, valid for ten years.

    Args:
        host: The DNS name that clients call.
        now: The time, with a time zone.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _CLOCK_SKEW)
        .not_valid_after(now + _VALIDITY)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    return Certificate(
        certificate=certificate.public_bytes(serialization.Encoding.PEM),
        key=key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ),
    )
