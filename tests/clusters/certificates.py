"""A certificate authority of a test's own."""

import ipaddress
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

_DAY = timedelta(days=1)


class Authority:
    """Issues certificates; as kubeadm's own, without key identifiers."""

    def __init__(self, name: str = "cluster") -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _named(name)
        built = _built(self._name, self._key, self._name)
        self._certificate = built.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True).sign(
            self._key, hashes.SHA256()
        )

    @property
    def pem(self) -> str:
        return _pem(self._certificate)

    def issue(self, name: str, *alternatives: str) -> tuple[str, str]:
        """A certificate for that name, and its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        built = _built(_named(name), key, self._name)
        if alternatives:
            built = built.add_extension(
                x509.SubjectAlternativeName([_alternative(one) for one in alternatives]), critical=False
            )
        return _pem(built.sign(self._key, hashes.SHA256())), _key_pem(key)

    def server(self, folder: Path, *alternatives: str) -> ssl.SSLContext:
        """What a server shows that asks for a certificate of its callers, and does not insist."""
        certificate, key = self.issue("kube-apiserver", *alternatives)
        file = folder / "server.pem"
        file.write_text(certificate + key)
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cadata=self.pem)
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        context.load_cert_chain(file)
        context.verify_mode = ssl.CERT_OPTIONAL
        return context


def _built(name: x509.Name, key: ec.EllipticCurvePrivateKey, issuer: x509.Name) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _DAY)
        .not_valid_after(now + _DAY)
    )


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _alternative(text: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(text))
    except ValueError:
        return x509.DNSName(text)


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def _key_pem(key: ec.EllipticCurvePrivateKey) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
