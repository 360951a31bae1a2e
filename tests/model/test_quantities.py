"""What durations, sizes, times and percentages mean."""

from __future__ import annotations

import pytest

from propeller.model import quantities as q


@pytest.mark.parametrize(
    ("text", "ms"),
    [("0s", 0), ("90s", 90_000), ("5m", 300_000), ("24h", 86_400_000), ("1h30m", 5_400_000),
     ("10ms", 10), ("1m10ms", 60_010), ("7d", 604_800_000)],
)  # fmt: skip
def test_a_duration_is_a_sum_of_counts_with_units(text, ms):
    """Several units may follow each other; ms is not m and s."""
    assert q.duration_ms(text) == ms


@pytest.mark.parametrize(
    "text",
    ["", "5", "5 m", "1.5h", "-5m", "5M", "m", "5m ", "5m\n", "\u0665m", "99999999999999999s"],
)
def test_what_is_no_duration_is_refused(text):
    """No bare numbers, fractions, signs, spaces or digits of other scripts."""
    with pytest.raises(ValueError, match="duration"):
        q.duration_ms(text)


def test_what_cannot_be_counted_is_refused():
    """Nothing beyond 2^53-1 leaves, whatever the unit."""
    with pytest.raises(ValueError, match="beyond"):
        q.duration_ms("999999999999999d")
    with pytest.raises(ValueError, match="beyond"):
        q.size_bytes("9007199254740991KiB")


@pytest.mark.parametrize(
    ("size", "text"), [(0, "0B"), (1, "1B"), (65536, "64KiB"), (64 << 20, "64MiB"), (1536, "1536B")]
)
def test_a_size_has_one_shortest_spelling(size, text):
    """Written with the largest unit that divides it, and read back the same."""
    assert q.size_text(size) == text
    assert q.size_bytes(text) == size


@pytest.mark.parametrize("text", ["64", "64KB", "64Mi", "1.5MiB", "-1B", "64 KiB", "64KiB\n"])
def test_what_is_no_size_is_refused(text):
    """Only B, KiB, MiB, GiB and TiB: decimal units mean different things to people."""
    with pytest.raises(ValueError, match="size"):
        q.size_bytes(text)


@pytest.mark.parametrize(
    ("text", "ms"),
    [("1970-01-01T00:00:00Z", 0), ("2027-01-15T06:00:00Z", 1_799_992_800_000),
     ("2027-01-15T07:00:00+01:00", 1_799_992_800_000), ("1970-01-01T00:00:01.5Z", 1500)],
)  # fmt: skip
def test_a_time_is_milliseconds_since_1970(text, ms):
    """The zone is counted in, so one moment has one number."""
    assert q.timestamp_ms(text) == ms


@pytest.mark.parametrize("text", ["2027-01-15", "2027-01-15T06:00:00", "2027-13-01T00:00:00Z"])
def test_a_time_without_zone_or_out_of_the_calendar_is_refused(text):
    """A time that depends on where it is read is no time."""
    with pytest.raises(ValueError, match="not a time"):
        q.timestamp_ms(text)


@pytest.mark.parametrize(("text", "number"), [("0%", 0), ("95%", 95), ("100%", 100)])
def test_a_percentage_is_a_whole_number(text, number):
    """Read and written back the same."""
    assert q.percent(text) == number
    assert q.percent_text(number) == text


@pytest.mark.parametrize("text", ["95", "101%", "-1%", "9.5%"])
def test_what_is_no_percentage_is_refused(text):
    """Between 0% and 100%, without fraction."""
    with pytest.raises(ValueError, match="percentage"):
        q.percent(text)
