"""What the vault says of values without showing them."""

from __future__ import annotations

import pytest
from sops_maker import Identity, secret_yaml

from propeller.model.parse import parse_object
from propeller.model.specs import Secret
from propeller.secrets.age import Identities, Locked
from propeller.secrets.vault import Vault
from propeller.sources.documents import read_spec_file
from propeller.wire.boxes import BoxKey, Place, open_value

ONE = Identity()
FLEET = bytes(range(32))
PLACE = Place(device="gw-01", inst="0" * 32, uid="u", run="1" * 32, name="TOKEN")


def secret(values: dict[str, str], *, name: str = "broker", turn: int = 0) -> Secret:
    """A Secret as the loader makes it."""
    (document,) = read_spec_file(
        secret_yaml(name, values, ONE, turn=turn).encode(), json=False
    ).documents
    meta = {"name": name, "namespace": "default", "uid": name, "app": "default"}
    made = parse_object("Secret", meta, document.spec)
    assert isinstance(made, Secret)
    return made


def vault(fleet: bytes = FLEET) -> Vault:
    """One that opens what ONE can."""
    return Vault(Identities(text=ONE.text), fleet)


def test_sealing_anew_is_no_change() -> None:
    """The file differs in every sealed byte; the digests of the values do not."""
    first, second = secret({"token": "hunter2"}), secret({"token": "hunter2"}, turn=1)
    assert first.meta.spec_digest != second.meta.spec_digest
    assert vault().digests(first) == vault().digests(second)


def test_another_value_is_a_change_and_equal_values_are_equal() -> None:
    """Across Secrets too: that is what the numbers behind masks show."""
    digests = vault().digests(secret({"a": "hunter2", "b": "hunter3"}))
    assert digests["a"] != digests["b"]
    assert vault().digests(secret({"x": "hunter2"}, name="other"))["x"] == digests["a"]


def test_digests_say_nothing_without_the_fleets_secret() -> None:
    """Who has the store alone cannot try values against it."""
    one = secret({"token": "1234"})
    assert vault().digests(one) != vault(bytes(32)).digests(one)


def test_a_sealed_value_opens_on_its_device_only() -> None:
    """And is the same each time, in another process too."""
    key, thing = BoxKey.generate(), secret({"token": "hunter2"})
    sealed = vault().sealed(thing, "token", key.public.text, PLACE)
    assert vault().sealed(thing, "token", key.public.text, PLACE) == sealed
    assert open_value(sealed, key, PLACE) == b"hunter2"


def test_a_new_value_is_sealed_though_the_old_one_is_remembered() -> None:
    """The cache goes by value, not by name."""
    key, one = BoxKey.generate(), vault()
    one.sealed(secret({"token": "hunter2"}), "token", key.public.text, PLACE)
    sealed = one.sealed(secret({"token": "hunter3"}, turn=2), "token", key.public.text, PLACE)
    assert open_value(sealed, key, PLACE) == b"hunter3"


def test_a_closed_vault_opens_nothing_that_is_sealed() -> None:
    """And says which Secret it is about."""
    with pytest.raises(Locked, match="Secret/default/broker: there is no age identity"):
        Vault.closed().digests(secret({"token": "hunter2"}))


def test_values_do_not_show_in_a_vaults_repr() -> None:
    """For logs of a crash."""
    one = vault()
    one.digests(secret({"token": "hunter2"}))
    assert "hunter2" not in repr(one)
    assert ONE.text not in repr(one)
