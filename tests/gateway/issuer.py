"""An OpenID Connect issuer on loopback: discovery, keys, the code flow with PKCE. It does what a
real one does with what it is asked, and can be told to do wrong things."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlencode, urlsplit

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

CLIENT, SECRET = "propeller", "issuer-knows-this-secret"


class Issuer:
    """Listens on a free port. claims: what it says of who logs in. spoil: changes to its tokens."""

    def __init__(self):
        self.key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self.kid = "one"
        self.claims = {"sub": "ana-1", "email": "ana@example.org", "groups": ["plant-a"]}
        self.spoil = {}
        self.codes = {}
        self.asked = []
        self.speaks_for = None
        issuer = self

        class Handler(BaseHTTPRequestHandler):
            """One request."""

            def log_message(self, *_):
                """Silent."""

            def do_GET(self):
                issuer.get(self)

            def do_POST(self):
                size = int(self.headers.get("content-length", 0))
                issuer.post(self, self.rfile.read(size).decode())

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join(timeout=5)

    # -- what it answers ----------------------------------------------------------------------

    def get(self, handler):
        parts = urlsplit(handler.path)
        self.asked.append(parts.path)
        if parts.path == "/.well-known/openid-configuration":
            self._json(
                handler,
                {
                    "issuer": self.speaks_for or self.url,
                    "authorization_endpoint": f"{self.url}/authorize",
                    "token_endpoint": f"{self.url}/token",
                    "jwks_uri": f"{self.url}/keys",
                },
            )
        elif parts.path == "/keys":
            public = json.loads(RSAAlgorithm.to_jwk(self.key.public_key()))
            self._json(handler, {"keys": [{**public, "kid": self.kid, "use": "sig"}]})
        elif parts.path == "/authorize":
            query = {name: values[0] for name, values in parse_qs(parts.query).items()}
            assert query["response_type"] == "code"
            assert query["code_challenge_method"] == "S256"
            code = secrets.token_urlsafe(16)
            self.codes[code] = query
            back = urlencode({"code": code, "state": query["state"]})
            handler.send_response(302)
            handler.send_header("Location", f"{query['redirect_uri']}?{back}")
            handler.end_headers()
        else:
            self._json(handler, {"error": "not_found"}, 404)

    def post(self, handler, body):
        form = {name: values[0] for name, values in parse_qs(body).items()}
        begun = self.codes.pop(form.get("code", ""), None)
        challenge = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        proven = base64.urlsafe_b64encode(challenge).rstrip(b"=").decode()
        good = (
            begun is not None
            and begun["code_challenge"] == proven
            and begun["redirect_uri"] == form["redirect_uri"]
            and form.get("client_id") == CLIENT
            and form.get("client_secret") == SECRET
        )
        if not good:
            self._json(handler, {"error": "invalid_grant"}, 400)
            return
        token = self.token(aud=CLIENT, nonce=begun["nonce"])
        self._json(handler, {"id_token": token, "access_token": "x", "token_type": "Bearer"})

    def token(self, *, key=None, algorithm="RS256", kid=None, **claims):
        """A signed token for somebody."""
        now = int(time.time())
        words = {
            "iss": self.url,
            "aud": CLIENT,
            "iat": now,
            "exp": now + 600,
            **self.claims,
            **claims,
            **self.spoil,
        }
        words = {name: value for name, value in words.items() if value is not None}
        headers = {"kid": kid or self.kid}
        return jwt.encode(words, key or self.key, algorithm=algorithm, headers=headers)

    def _json(self, handler, words, status=200):
        data = json.dumps(words).encode()
        handler.send_response(status)
        handler.send_header("Content-Type", "application/json")
        handler.send_header("Content-Length", str(len(data)))
        handler.end_headers()
        handler.wfile.write(data)
