"""The contract of an identity service, kept by certificates of our own and by a SuperMQ."""

from __future__ import annotations

import contextlib
import itertools
from dataclasses import replace

import pytest
from provision_supermq_server import TOKEN, UUID

from propeller.cli.__main__ import main
from propeller.errors import Unavailable, UsageError
from propeller.provision.folder import opened
from propeller.provision.identity import Certificates
from propeller.provision.record import Record, SuperMq, read_record
from propeller.provision.supermq import SuperMqMembers
from propeller.provision.supermq_api import SuperMqApi
from propeller.wire.topics import Channel
from proplet.config import load, parser

NOW = 1_800_000_000
RECORD = Record(domain="plant", channel="floor", host="127.0.0.1", port=8883)


def members(supermq, *, adopt=False, token=TOKEN):
    """Ours, with keys that are counted."""
    host = supermq.url.removeprefix("http://")
    api = SuperMqApi(supermq.url, token, plain_http=[host])
    numbers = itertools.count()
    return SuperMqMembers(api, new_secret=lambda: f"secret-{next(numbers):026}", adopt=adopt)


@pytest.fixture(params=["certificates", "supermq"])
def service(request, supermq):
    """(a maker of the service, the record of a new folder)."""
    if request.param == "certificates":
        return Certificates, RECORD
    where = SuperMq(url=supermq.url, domain="plant", channel="floor")
    return lambda: members(supermq), replace(RECORD, supermq=where)


def settled(path, make, record, *devices, dry=False):
    """One run; what it changed."""
    with opened(path, NOW, new=record, identity=make(), dry=dry) as folder:
        folder.settle()
        folder.enroll(devices)
        folder.settle()
        return [change.path for change in folder.changes]


# -- the contract ---------------------------------------------------------------------------------


def test_a_device_gets_a_bundle_that_its_agent_takes(service, tmp_path):
    """The settings in a bundle are read by the proplet, and name files that are there."""
    make, record = service
    settled(tmp_path, make, record, "press-1")
    file = tmp_path / "devices" / "press-1" / "proplet.yaml"
    settings = load(parser().parse_args(["--config", str(file)]), {})
    known = read_record(tmp_path)
    assert (settings.id, settings.domain) == ("press-1", known.domain)
    assert settings.channel == known.channel
    assert settings.trust.exists()
    assert settings.key.exists()
    credentials = settings.tls_cert if settings.password is None else settings.username
    assert credentials


def test_a_second_run_changes_nothing(service, tmp_path):
    """What is right is left alone, here and at the service."""
    make, record = service
    assert settled(tmp_path, make, record, "a", "b")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert settled(tmp_path, make, record, "a", "b") == []
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_a_dry_run_makes_nothing(service, supermq, tmp_path):
    """It says what would be made, and neither the folder nor the service has anything new."""
    make, record = service
    assert settled(tmp_path / "f", make, record, dry=True)
    assert not (tmp_path / "f").exists()
    assert not supermq.domains


def test_a_bundle_that_was_handed_over_is_not_made_again(service, tmp_path):
    """A device's folder may be removed, and nobody is given its credentials a second time."""
    make, record = service
    settled(tmp_path, make, record, "a")
    for path in (tmp_path / "devices" / "a").iterdir():
        path.unlink()
    (tmp_path / "devices" / "a").rmdir()
    assert settled(tmp_path, make, record, "a") == []
    assert not (tmp_path / "devices" / "a").exists()


def test_a_renewed_device_has_other_credentials_and_the_same_name(service, tmp_path):
    """Renewing changes what it proves itself with and not who it is."""
    make, record = service
    settled(tmp_path, make, record, "a")
    name = make().credential
    before = (tmp_path / "devices" / "a" / name).read_bytes()
    with opened(tmp_path, NOW, identity=make()) as folder:
        folder.renew("a", "asked for")
        folder.settle()
    assert (tmp_path / "devices" / "a" / name).read_bytes() != before
    assert read_record(tmp_path).current("a") is not None


def test_a_revoked_device_is_known_as_revoked(service, tmp_path):
    """It has no current credentials, and its key is believed no more."""
    make, record = service
    settled(tmp_path, make, record, "a", "b")
    with opened(tmp_path, NOW, identity=make()) as folder:
        folder.revoke("a")
        folder.settle()
    known = read_record(tmp_path)
    assert known.current("a") is None
    assert known.current("b") is not None
    assert known.revoked_devices() == ("a",)


# -- SuperMQ alone --------------------------------------------------------------------------------


@pytest.fixture
def place(supermq, tmp_path):
    """(folder, record) of a fleet at the SuperMQ."""
    where = SuperMq(url=supermq.url, domain="plant", channel="floor")
    return tmp_path, replace(RECORD, supermq=where)


def test_clients_are_named_connected_and_have_the_key_of_their_bundle(supermq, place):
    """User and password of a bundle are id and key of a client that may use the channel."""
    path, record = place
    settled(path, lambda: members(supermq), record, "a")
    known = read_record(path)
    assert UUID.fullmatch(known.domain)
    assert UUID.fullmatch(known.channel)
    for name, folder in (("a", "devices/a"), ("propeller-manager", "manager")):
        client = supermq.client(name)
        assert client["credentials"]["secret"] == (path / folder / "password").read_text()
        assert supermq.may(client["id"], known.channel) == {"publish", "subscribe"}
    settings = (path / "devices" / "a" / "proplet.yaml").read_text()
    assert f"username: {supermq.client('a')['id']}" in settings
    base = Channel(known.domain, known.channel).base
    assert base.startswith(f"m/{known.domain}/c/{known.channel}/")
    assert (path / "devices" / "a" / "password").stat().st_mode & 0o077 == 0


def test_a_domain_and_a_channel_that_are_there_are_used(supermq, place):
    """Names are compared whole, although theirs are found by a part."""
    path, record = place
    settled(path, lambda: members(supermq), record)
    ids = set(supermq.domains), set(supermq.channels)
    other = path / "other"
    where = replace(record.supermq, channel="flo")
    settled(other, lambda: members(supermq, adopt=True), replace(record, supermq=where))
    assert set(supermq.domains) == ids[0]
    assert len(supermq.channels) == 2


def test_a_client_of_somebody_else_is_left_alone_unless_adopted(supermq, place):
    """A name that is taken is said; only --adopt gives that client another key."""
    path, record = place
    settled(path, lambda: members(supermq), record, "a")
    secret = supermq.client("a")["credentials"]["secret"]
    with pytest.raises(UsageError, match="its key is not in the folder"):
        settled(path / "second", lambda: members(supermq), record, "a")
    assert supermq.client("a")["credentials"]["secret"] == secret
    api = members(supermq, adopt=True)
    settled(path / "second", lambda: api, record, "a")
    assert (
        supermq.client("a")["credentials"]["secret"]
        == (path / "second" / "devices" / "a" / "password").read_text()
    )


@pytest.mark.parametrize("requests", range(1, 12))
def test_a_run_that_was_cut_short_is_finished_by_the_next(supermq, place, requests):
    """The service gives up after any number of requests: the next run makes it whole, once."""
    path, record = place
    broken = members(supermq)
    ask, count = broken._api._ask, itertools.count(1)

    def give_up(*args, **more):
        if next(count) >= requests:
            raise Unavailable("gone")
        return ask(*args, **more)

    broken._api._ask = give_up
    with contextlib.suppress(Unavailable):
        settled(path, lambda: broken, record, "a", "b")
    settled(path, lambda: members(supermq), record, "a", "b")
    names = sorted(one["name"] for one in supermq.clients.values())
    assert names == ["a", "b", "propeller-manager"]
    assert (len(supermq.domains), len(supermq.channels)) == (1, 1)
    known = read_record(path)
    for name in ("a", "b"):
        client = supermq.client(name)
        assert client["credentials"]["secret"] == (path / "devices" / name / "password").read_text()
        assert supermq.may(client["id"], known.channel) == {"publish", "subscribe"}


def test_a_revoked_client_is_disabled_there(supermq, place):
    """It connects no more; taking it back twice changes nothing."""
    path, record = place
    settled(path, lambda: members(supermq), record, "a")
    for _ in range(2):
        with opened(path, NOW, identity=members(supermq)) as folder:
            folder.revoke("a")
            folder.settle()
    assert supermq.client("a")["status"] == "disabled"


def test_many_devices_are_made_a_hundred_at_a_time(supermq, place):
    """150 devices are two requests for clients, however many they are asked for."""
    path, record = place
    names = [f"d-{number:03}" for number in range(150)]
    settled(path, lambda: members(supermq), record, *names)
    domain = read_record(path).domain
    assert len(supermq.clients) == 151
    assert supermq.requests.count(f"POST /{domain}/clients/bulk") == 1 + 2
    assert settled(path, lambda: members(supermq), record, *names) == []


def test_what_it_refuses_is_said_in_words(supermq, place):
    """A wrong token is the person's to mend; a service that is down may be asked again."""
    path, record = place
    with pytest.raises(UsageError, match="it refuses us \\(401\\): missing or invalid"):
        settled(path, lambda: members(supermq, token="wrong"), record)
    supermq.fails = 1
    with pytest.raises(Unavailable, match="503: try later"):
        settled(path, lambda: members(supermq), record)


def test_the_key_of_a_client_is_in_no_record_and_no_message(supermq, place):
    """fleet.json has digests, and what is printed has none of them."""
    path, record = place
    changes = settled(path, lambda: members(supermq), record, "a")
    secret = (path / "devices" / "a" / "password").read_text()
    assert secret not in (path / "fleet.json").read_text()
    assert all(secret not in change for change in changes)


def test_the_verb_sets_a_fleet_up_and_takes_a_device_back(supermq, tmp_path, monkeypatch, capsys):
    """One command with a URL and a token; the same command again changes nothing."""
    monkeypatch.setenv("PROPELLER_SUPERMQ_TOKEN", TOKEN)
    path = str(tmp_path / "f")
    command = ["provision", "fleet", path, "--broker", "127.0.0.1:1883", "--device", "press-1"]
    made = [*command, "--supermq", supermq.url, "--domain", "plant", "--channel", "floor"]
    assert main(made) == 0
    assert TOKEN not in capsys.readouterr().err
    assert main(command) == 0
    assert "nothing to change" in capsys.readouterr().err
    assert main(["provision", "revoke", path, "press-1"]) == 0
    assert supermq.client("press-1")["status"] == "disabled"
    for action in (["rotate", path], ["token", path, "x"]):
        assert main(["provision", *action]) == 2
        assert "known to a SuperMQ" in capsys.readouterr().err


def test_keys_do_not_travel_in_clear_and_a_token_is_asked_for(supermq, tmp_path, capsys):
    """A broker elsewhere needs TLS, and nothing is asked of a SuperMQ without a token."""
    path = str(tmp_path / "f")
    made = ["provision", "fleet", path, "--supermq", supermq.url, "--broker"]
    assert main([*made, "broker.example:1883"]) == 2
    assert "--broker-ca FILE is missing" in capsys.readouterr().err
    assert main([*made, "127.0.0.1:1883"]) == 2
    assert "wants a token" in capsys.readouterr().err
    assert supermq.requests == []
