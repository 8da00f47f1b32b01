"""An issuer of access tokens: one RSA key, its JWK set as a file, and tokens that last for a measurement. By openssl, as
Python's library has no signatures."""

import base64
import json
import subprocess
import time

URL = "https://issuer.test"
AUDIENCE = "https://sluice.test"


class Issuer:
    """Its key and its JWK set are files in a folder."""

    def __init__(self, folder):
        self.key, self.keys = folder / "issuer.pem", folder / "issuer-keys.json"
        openssl("genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", self.key)
        modulus = openssl("rsa", "-in", self.key, "-noout", "-modulus").decode().strip().removeprefix("Modulus=")
        key = {"kty": "RSA", "kid": "k1", "use": "sig", "alg": "RS256", "n": base64url(bytes.fromhex(modulus)), "e": "AQAB"}
        self.keys.write_text(json.dumps({"keys": [key]}))

    def configuration(self):
        """What Sluice has to know."""
        return {"measured": {"issuer": URL, "audiences": [AUDIENCE], "jwks_file": str(self.keys)}}

    def token(self):
        """Somebody's access token (RFC 9068), good for an hour."""
        now = int(time.time())
        claims = {"iss": URL, "aud": AUDIENCE, "sub": "measured", "iat": now, "exp": now + 3600, "scope": "mcp:use"}
        said = ".".join(base64url(json.dumps(part).encode()) for part in ({"alg": "RS256", "typ": "at+jwt", "kid": "k1"}, claims))
        return f"{said}.{base64url(openssl('dgst', '-sha256', '-sign', self.key, given=said.encode()))}"


def openssl(*arguments, given=b""):
    return subprocess.run(["openssl", *arguments], input=given, capture_output=True, check=True).stdout


def base64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
