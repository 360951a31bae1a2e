"""OpenID Connect: who somebody is, by the word of an issuer we were told to trust.

Browsers go through the code flow with PKCE, state and nonce; programs bring a bearer token of the
same issuer. Signatures are PyJWT's work, with keys from the issuer's JWKS; only asymmetric
algorithms are taken. What a person may is decided here, from groups and subjects in our own
configuration: the issuer only says who they are.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlencode, urlsplit

from propeller.errors import Unavailable, UsageError
from propeller.gateway.access.roles import Grant, Principal

ALGORITHMS: Final = ("RS256", "RS384", "RS512", "PS256", "ES256", "ES384", "EdDSA")
TIMEOUT: Final = 10.0
MAX_ANSWER: Final = 1 << 20
MAX_TOKEN: Final = 16 << 10
LEEWAY: Final = 30
"""Seconds that clocks may differ by."""

KEYS_FOR: Final = 300.0
"""Seconds that a set of keys is believed."""

COOLDOWN: Final = 30.0
"""Seconds between two looks for a key that is not in the set: strangers cause no flood of them."""

LOGIN_MS: Final = 600_000
"""How long somebody may take at the issuer."""

MOST_LOGINS: Final = 500
KNOWN_FOR_MS: Final = 3_600_000


class Refused(Exception):
    """The token or answer proves nothing. Its words are safe to show: no part of a token."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """What somebody gets: who is in `group`, or is `subject`."""

    grant: Grant
    group: str = ""
    subject: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Issuer:
    """Whom we trust, and as whom we are known there. secret: reads the client's secret, "" for a
    public client. ca: a file with certificates, "" for the system's."""

    url: str
    client: str
    given: tuple[Given, ...]
    secret: Callable[[], str] = lambda: ""
    audience: str = ""
    groups: str = "groups"
    ca: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Login:
    """One that was begun. binding: what the cookie of that browser must be."""

    nonce: str
    verifier: str
    binding: str
    redirect: str
    onward: str
    until: int


class Oidc:
    """One issuer. Everything that asks it blocks: call from a worker thread. clock: Unix ms.

    cooldown: seconds between two looks for an unknown key.
    """

    def __init__(
        self, issuer: Issuer, clock: Callable[[], int], *, cooldown: float = COOLDOWN
    ) -> None:
        url = urlsplit(issuer.url)
        loopback = url.hostname in ("localhost", "127.0.0.1", "::1")
        if url.scheme != "https" and not (url.scheme == "http" and loopback):
            raise UsageError(f"access.oidc.issuer {issuer.url!r} must begin with https://")
        self._issuer = issuer
        self._clock = clock
        self._cooldown = cooldown
        self._lock = threading.Lock()
        self._logins: OrderedDict[str, _Login] = OrderedDict()
        self._known: Mapping[str, Any] = {}
        self._known_at = 0
        self._keys: Any = None

    @property
    def name(self) -> str:
        """For the button."""
        return urlsplit(self._issuer.url).hostname or self._issuer.url

    # -- browsers -----------------------------------------------------------------------------

    def begin(self, redirect: str, onward: str) -> tuple[str, str]:
        """(where to send the browser, the value of its binding cookie). Raises Unavailable."""
        endpoint = self._endpoint("authorization_endpoint")
        state, verifier = secrets.token_urlsafe(32), secrets.token_urlsafe(48)
        login = _Login(
            nonce=secrets.token_urlsafe(32),
            verifier=verifier,
            binding=secrets.token_urlsafe(32),
            redirect=redirect,
            onward=onward,
            until=self._clock() + LOGIN_MS,
        )
        with self._lock:
            self._logins[state] = login
            while len(self._logins) > MOST_LOGINS:
                self._logins.popitem(last=False)
        challenge = hashlib.sha256(verifier.encode()).digest()
        query = {
            "response_type": "code",
            "client_id": self._issuer.client,
            "redirect_uri": redirect,
            "scope": "openid profile email",
            "state": state,
            "nonce": login.nonce,
            "code_challenge": base64.urlsafe_b64encode(challenge).rstrip(b"=").decode(),
            "code_challenge_method": "S256",
        }
        mark = "&" if "?" in endpoint else "?"
        return f"{endpoint}{mark}{urlencode(query)}", login.binding

    def finish(self, *, state: str, code: str, binding: str) -> tuple[Principal, str, int]:
        """Who came back, where they wanted to go, and until when (Unix ms).

        Raises Refused, Unavailable.
        """
        with self._lock:
            login = self._logins.pop(state, None)
        if login is None or login.until <= self._clock():
            raise Refused("this login was not begun here, or took too long: begin again")
        if not secrets.compare_digest(login.binding.encode(), binding.encode()):
            raise Refused("this login was begun by another browser: begin again")
        secret = self._issuer.secret()
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": login.redirect,
            "client_id": self._issuer.client,
            "code_verifier": login.verifier,
        }
        if secret:
            form["client_secret"] = secret
        answer = self._ask(self._endpoint("token_endpoint"), form)
        token = answer.get("id_token")
        if not isinstance(token, str):
            raise Refused("the issuer gave no id_token")
        claims = self._claims(token, audience=self._issuer.client)
        if claims.get("nonce") != login.nonce:
            raise Refused("the issuer's answer belongs to another login")
        return self._principal(claims), login.onward, int(claims["exp"]) * 1000

    # -- programs -----------------------------------------------------------------------------

    def bearer(self, token: str) -> Principal:
        """Who holds an access token of the issuer (a JWT for our audience). Raises Refused."""
        if len(token) > MAX_TOKEN or token.count(".") != 2:
            raise Refused("the bearer token is no token of ours and no JWT")
        claims = self._claims(token, audience=self._issuer.audience or self._issuer.client)
        return self._principal(claims)

    # -- parts --------------------------------------------------------------------------------

    def _claims(self, token: str, *, audience: str) -> Mapping[str, Any]:
        import jwt

        try:
            key = self._key_of(token)
            claims = jwt.decode(
                token,
                key.key,
                algorithms=list(ALGORITHMS),
                audience=audience,
                issuer=self._issuer.url,
                leeway=LEEWAY,
                options={"require": ["exp", "iat", "iss", "aud", "sub"]},
            )
        except jwt.PyJWKClientConnectionError as error:
            raise Unavailable(f"{self.name}: its keys cannot be fetched") from error
        except jwt.PyJWTError as error:
            raise Refused(f"the issuer's token does not hold: {type(error).__name__}") from error
        assert isinstance(claims, dict)
        parties = claims.get("azp")
        if parties is not None and audience == self._issuer.client and parties != audience:
            raise Refused("the issuer's token was made for another client")
        return claims

    def _key_of(self, token: str) -> Any:
        import jwt

        url = self._endpoint("jwks_uri")
        with self._lock:
            if self._keys is None or self._keys.uri != url:
                import ssl

                context = ssl.create_default_context(cafile=self._issuer.ca or None)
                # Single keys are not kept: one that the issuer withdrew is forgotten with its set.
                self._keys = jwt.PyJWKClient(
                    url,
                    lifespan=KEYS_FOR,
                    timeout=TIMEOUT,
                    ssl_context=context,
                    cooldown_duration=self._cooldown,
                )
            keys = self._keys
        return keys.get_signing_key_from_jwt(token)

    def _principal(self, claims: Mapping[str, Any]) -> Principal:
        subject = str(claims["sub"])
        groups = claims.get(self._issuer.groups, [])
        known = {str(one) for one in groups} if isinstance(groups, list) else {str(groups)}
        grants = tuple(
            one.grant
            for one in self._issuer.given
            if (one.group and one.group in known) or (one.subject and one.subject == subject)
        )
        shown = claims.get("email") or claims.get("preferred_username") or subject
        name = "".join(one for one in str(shown) if one.isprintable())[:128]
        return Principal(name=f"oidc:{name}", via="oidc", grants=grants)

    def _endpoint(self, name: str) -> str:
        """From the issuer's discovery document, read at most once an hour. Raises Unavailable."""
        if self._clock() - self._known_at > KNOWN_FOR_MS or not self._known:
            url = self._issuer.url.rstrip("/") + "/.well-known/openid-configuration"
            found = self._ask(url, None)
            if found.get("issuer") != self._issuer.url:
                raise Unavailable(
                    f"{url} speaks for another issuer",
                    hint="access.oidc.issuer must be spelled as the issuer spells it",
                )
            self._known, self._known_at = found, self._clock()
        endpoint = self._known.get(name)
        if not isinstance(endpoint, str) or not endpoint.startswith(("https://", "http://")):
            raise Unavailable(f"{self.name} tells no {name}")
        if endpoint.startswith("http://") and self._issuer.url.startswith("https://"):
            raise Unavailable(f"{self.name}: its {name} is not https")
        return endpoint

    def _ask(self, url: str, form: Mapping[str, str] | None) -> Mapping[str, Any]:
        import requests

        try:
            with requests.request(
                "GET" if form is None else "POST",
                url,
                data=form,
                headers={"Accept": "application/json"},
                timeout=TIMEOUT,
                allow_redirects=False,
                stream=True,
                verify=self._issuer.ca or True,
            ) as answer:
                data = answer.raw.read(MAX_ANSWER + 1, decode_content=True)
                status = answer.status_code
        except requests.RequestException as error:
            raise Unavailable(f"{self.name} does not answer: {type(error).__name__}") from error
        if form is not None and 400 <= status < 500:
            raise Refused("the issuer did not take the code: begin again")
        if status != 200 or len(data) > MAX_ANSWER:
            raise Unavailable(f"{self.name} answered {status}")
        import json

        try:
            found = json.loads(data)
        except ValueError as error:
            raise Unavailable(f"{self.name} answered no JSON") from error
        if not isinstance(found, dict):
            raise Unavailable(f"{self.name} answered no object")
        return found
