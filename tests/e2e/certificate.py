"""Certificates for servers that tests start."""

import os
import subprocess


def write_certificate(directory, name="mx.test"):
    """One that it signed itself, EC P-256, good for two days: cert.pem, with key.pem, whose paths are
    returned."""
    cert, key = (os.path.join(directory, file) for file in ("cert.pem", "key.pem"))
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
                    "-nodes", "-days", "2", "-subj", "/CN=" + name, "-keyout", key, "-out", cert],
                   check=True, capture_output=True)
    return cert, key
