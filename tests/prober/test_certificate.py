"""The end of a certificate's life, against OpenSSL's own reading of real certificates."""

from __future__ import annotations

import contextlib
import ssl
from datetime import UTC, datetime
from pathlib import Path

import pytest
import trustme
from cryptography import x509
from hypothesis import given
from hypothesis import strategies as st

from healthd.prober.certificate import not_after

BUNDLE = ssl.get_default_verify_paths().cafile


@pytest.mark.filterwarnings("ignore::cryptography.utils.CryptographyDeprecationWarning")
def test_it_agrees_with_the_library_on_every_authority_of_the_system():
    if BUNDLE is None or not Path(BUNDLE).is_file():
        pytest.skip("this system has no bundle of authorities")
    pems = Path(BUNDLE).read_text().split("-----END CERTIFICATE-----")[:-1]
    assert len(pems) > 50
    for pem in pems:
        der = ssl.PEM_cert_to_DER_cert(pem[pem.index("-----BEGIN") :] + "-----END CERTIFICATE-----\n")
        assert not_after(der) == x509.load_der_x509_certificate(der).not_valid_after_utc.timestamp()


@pytest.mark.parametrize("year", [2026, 2049, 2050, 2051, 3000])
def test_both_forms_of_time_are_read(year):
    ends = datetime(year, 12, 31, 23, 59, 58, tzinfo=UTC)
    leaf = trustme.CA().issue_cert("example.org", not_after=ends)
    assert not_after(ssl.PEM_cert_to_DER_cert(leaf.cert_chain_pems[0].bytes().decode())) == ends.timestamp()


@given(st.binary(max_size=200))
def test_bytes_that_are_no_certificate_are_an_error_and_nothing_else(data):
    with pytest.raises(ValueError):  # noqa: PT011 - its text is of many kinds
        not_after(data)


DER = ssl.PEM_cert_to_DER_cert(trustme.CA().issue_cert("example.org").cert_chain_pems[0].bytes().decode())


@given(st.integers(0, len(DER) - 1), st.integers(0, 255))
def test_a_damaged_certificate_gives_a_time_or_an_error_and_nothing_else(at, byte):
    damaged = DER[:at] + bytes([byte]) + DER[at + 1 :]
    with contextlib.suppress(ValueError):
        assert isinstance(not_after(damaged), float)
