"""The certificates of the cluster: for whom, signed by whom, and when they are made again."""

import datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from local_platform.node import certificates
from local_platform.node.certificates import API_SERVER, AUTHORITY, KUBELET, SERVICE_ACCOUNTS

# 'PKI certificates and requirements' and 'Using Node Authorization' of Kubernetes' documentation.
SUBJECTS = {
    "kube-apiserver": ("kube-apiserver", None),
    "kubelet-client": ("kubelet-client", "system:masters"),
    "administrator": ("administrator", "system:masters"),
    "kube-controller-manager": ("system:kube-controller-manager", None),
    "kube-scheduler": ("system:kube-scheduler", None),
    "kube-proxy": ("system:kube-proxy", None),
    "kubelet": ("system:node:ft-serving", "system:nodes"),
    "volumes": ("ft-serving:volumes", None),
    "service-accounts": ("service-accounts", None),
}


@pytest.fixture
def made(certificate_folder: Path) -> list[str]:
    """The names of what was made at first."""
    return [path.stem for path in certificates.ensure()]


def load(name: str, folder: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate((folder / f"{name}.crt").read_bytes())


def public_key(path: Path) -> bytes:
    key = serialization.load_pem_private_key(path.read_bytes(), password=None).public_key()
    return key.public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def one(name: x509.Name, attribute: x509.ObjectIdentifier) -> str | None:
    values = [str(found.value) for found in name.get_attributes_for_oid(attribute)]
    return values[0] if values else None


def test_each_part_has_the_subject_by_which_kubernetes_knows_it(
    made: list[str], certificate_folder: Path
) -> None:
    assert set(made) == {"ca", *SUBJECTS}
    for name, (user, group) in SUBJECTS.items():
        subject = load(name, certificate_folder).subject
        found = one(subject, NameOID.COMMON_NAME), one(subject, NameOID.ORGANIZATION_NAME)
        assert found == (user, group), name


def test_the_api_server_is_known_by_every_name_it_is_called_by(
    made: list[str], certificate_folder: Path
) -> None:
    names = load("kube-apiserver", certificate_folder).extensions.get_extension_for_class(
        x509.SubjectAlternativeName
    )
    assert set(map(str, names.value.get_values_for_type(x509.IPAddress))) == {
        "127.0.0.1", "10.96.0.1", "10.0.2.100",
    }  # fmt: skip
    assert set(names.value.get_values_for_type(x509.DNSName)) == {
        "localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc",
        "kubernetes.default.svc.cluster.local",
    }  # fmt: skip


def test_the_authority_signs_certificates_and_nothing_else_does(
    made: list[str], certificate_folder: Path
) -> None:
    authority = load("ca", certificate_folder)
    for name in ("ca", *SUBJECTS):
        certificate = load(name, certificate_folder)
        certificate.verify_directly_issued_by(authority)
        constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints)
        assert constraints.value.ca is (name == "ca")
    usage = load("kubelet", certificate_folder).extensions.get_extension_for_class(
        x509.ExtendedKeyUsage
    )
    assert set(usage.value) == {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH}


def test_no_other_user_of_the_machine_reads_a_key(
    made: list[str], certificate_folder: Path
) -> None:
    assert certificate_folder.stat().st_mode & 0o777 == 0o700
    for name in ("ca", *SUBJECTS):
        assert (certificate_folder / f"{name}.key").stat().st_mode & 0o777 == 0o600


def test_a_second_time_nothing_is_made(made: list[str]) -> None:
    assert certificates.ensure() == []


def test_what_expires_within_sixty_days_is_made_again_with_the_same_key(
    made: list[str], certificate_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = SERVICE_ACCOUNTS.key.read_bytes()
    later = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=365 - 61)
    monkeypatch.setattr(certificates, "_now", lambda: later)
    assert certificates.ensure() == []

    monkeypatch.setattr(certificates, "_now", lambda: later + datetime.timedelta(days=2))

    assert {path.stem for path in certificates.ensure()} == set(SUBJECTS), "the authority lasts"
    assert SERVICE_ACCOUNTS.key.read_bytes() == key, "tokens of service accounts stay valid"
    expires = load("kubelet", certificate_folder).not_valid_after_utc
    assert expires - later > datetime.timedelta(days=365)


def test_under_another_authority_everything_is_signed_again(
    made: list[str], certificate_folder: Path
) -> None:
    AUTHORITY.certificate.unlink()
    AUTHORITY.key.unlink()

    assert {path.stem for path in certificates.ensure()} == {"ca", *SUBJECTS}
    load("kubelet", certificate_folder).verify_directly_issued_by(load("ca", certificate_folder))


def test_a_certificate_for_other_hosts_is_made_again(
    made: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    moved = certificates.CertificateHolder(
        file=KUBELET.file, user=KUBELET.user, group=KUBELET.group, hosts=("elsewhere",)
    )
    monkeypatch.setattr(certificates, "_SIGNED", (moved, API_SERVER))

    assert certificates.ensure() == [moved.certificate]


@pytest.mark.parametrize("content", [None, b"", b"-----BEGIN CERTIFICATE-----\nMIIB"])
def test_a_certificate_that_is_missing_or_cut_short_is_made_again(
    made: list[str], content: bytes | None
) -> None:
    if content is None:
        KUBELET.certificate.unlink()
    else:
        KUBELET.certificate.write_bytes(content)

    assert certificates.ensure() == [KUBELET.certificate]
    assert certificates.ensure() == []


@pytest.mark.parametrize("content", [None, b"", b"-----BEGIN PRIVATE KEY-----\nMIGH"])
def test_a_key_that_is_missing_or_cut_short_is_made_again_with_its_certificate(
    made: list[str], certificate_folder: Path, content: bytes | None
) -> None:
    if content is None:
        KUBELET.key.unlink()
    else:
        KUBELET.key.write_bytes(content)

    assert certificates.ensure() == [KUBELET.certificate]
    certified = load("kubelet", certificate_folder).public_key()
    assert public_key(KUBELET.key) == certified.public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def test_a_certificate_of_another_key_is_made_again(made: list[str]) -> None:
    KUBELET.key.write_bytes(API_SERVER.key.read_bytes())

    assert certificates.ensure() == [KUBELET.certificate]


def test_an_authority_whose_key_is_cut_short_is_made_again(made: list[str]) -> None:
    AUTHORITY.key.write_bytes(b"")

    assert {path.stem for path in certificates.ensure()} == {"ca", *SUBJECTS}
