"""Bodies that must be refused, each with exactly one fault and the word for it.

Written by hand, never made by the code under test. Loaded by `wire_vectors`.
"""

from __future__ import annotations

INST = "00112233445566778899aabbccddeeff"
ADD = "sha256:" + "ad" * 32
UID = "5d0d2f2e-1f0a-5c5e-9a70-0f1b6a8a3c11"
RUN = "1f2e3d4c5b6a79880102030405060708"

STATUS = f'{{"v":1,"id":"gw-01","state":"online","inst":"{INST}","boot":3,"conn":1}}'
RUN_JSON = f'{{"uid":"{UID}","run":"{RUN}","digest":"{ADD}","cause":"once","state":"Running"}}'
REPORT = (
    f'{{"v":1,"id":"gw-01","inst":"{INST}","boot":3,"seq":1,"conn":1,"observed":{{}},'
    f'"inventory":"{ADD}","tasks":[{RUN_JSON}]}}'
)
ENTRY = (
    f'{{"uid":"{UID}","ref":"Task/plant-a/add","run":"{RUN}","cause":"once","mode":"once",'
    f'"digest":"{ADD}","module":{{"digest":"{ADD}","size":317}},"entrypoint":"add"}}'
)
DESIRED = (
    f'{{"v":1,"to":"gw-01","inst":"{INST}","fence":5,"gen":1,"iat":0,"digest":"{ADD}",'
    f'"tasks":[{ENTRY}]}}'
)
ANSWER = (
    f'{{"v":1,"id":"gw-01","op":"op-1","inst":"{INST}","boot":3,"n":0,"state":"done","text":"x"}}'
)
GET = f'{{"v":1,"id":"gw-01","digest":"{ADD}","off":0,"len":1024,"req":1}}'


def _swap(text: str, old: str, new: str) -> str:
    assert text.count(old) == 1, (text, old)
    return text.replace(old, new)


def _status(old: str, new: str) -> tuple[str, str]:
    return "Status", _swap(STATUS, old, new)


JSON: dict[str, tuple[str, str, str]] = {
    name: (message, text, word)
    for name, (message, text), word in (
        ("plain text", ("Status", "online"), "not_map"),
        ("an array", ("Status", f"[{STATUS}]"), "not_map"),
        ("a space before the brace", ("Status", " " + STATUS), "not_map"),
        ("cut short", ("Status", STATUS[:-1]), "malformed"),
        ("two objects", ("Status", STATUS + STATUS), "malformed"),
        ("a single quote", _status('"online"', "'online'"), "malformed"),
        ("a raw newline in a string", _status("gw-01", "gw-\n01"), "malformed"),
        ("one key twice", _status('"boot":3', '"boot":3,"boot":3'), "duplicate_key"),
        (
            "one key twice where nobody looks",
            _status('"v":1', '"v":1,"x":{"a":1,"a":1}'),
            "duplicate_key",
        ),
        ("a point", _status('"boot":3', '"boot":3.0'), "float"),
        ("an exponent", _status('"boot":3', '"boot":3e0'), "float"),
        ("a point where nobody looks", _status('"v":1', '"v":1,"x":[0.5]'), "float"),
        ("NaN", _status('"boot":3', '"boot":NaN'), "float"),
        ("2^32 where 32 bits are", _status('"boot":3', '"boot":4294967296'), "integer_range"),
        ("a negative counter", _status('"boot":3', '"boot":-1'), "integer_range"),
        (
            "2^53 where nobody looks",
            _status('"v":1', '"v":1,"x":9007199254740992'),
            "integer_range",
        ),
        (
            "2^53 as fence",
            ("Desired", _swap(DESIRED, '"fence":5', '"fence":9007199254740992')),
            "integer_range",
        ),
        (
            "nothing wanted of a blob",
            ("BlobGet", _swap(GET, '"len":1024', '"len":0')),
            "integer_range",
        ),
        ("five lists where nobody looks", _status('"v":1', '"v":1,"x":[[[[[]]]]]'), "too_deep"),
        ("a newer version", _status('"v":1', '"v":2'), "unsupported_version"),
        ("version 0", _status('"v":1', '"v":0'), "integer_range"),
        ("a version as text", _status('"v":1', '"v":"1"'), "wrong_type"),
        ("no version", _status('"v":1,', ""), "missing_field"),
        ("no id", _status('"id":"gw-01",', ""), "missing_field"),
        ("no cause in a run", ("Report", _swap(REPORT, '"cause":"once",', "")), "missing_field"),
        ("a number as text", _status('"boot":3', '"boot":"3"'), "wrong_type"),
        ("a number as boolean", _status('"boot":3', '"boot":true'), "wrong_type"),
        ("null", _status('"boot":3', '"boot":null'), "wrong_type"),
        (
            "null for what may be absent",
            ("Desired", _swap(DESIRED, '"iat":0', '"iat":0,"notAfter":null')),
            "wrong_type",
        ),
        ("an id as number", _status('"gw-01"', "1"), "wrong_type"),
        ("a list as map", ("Report", _swap(REPORT, f"[{RUN_JSON}]", "{}")), "wrong_type"),
        (
            "a map as list",
            ("Report", _swap(REPORT, '"observed":{}', '"observed":[]')),
            "wrong_type",
        ),
        ("an id with a slash", _status("gw-01", "gw/01"), "bad_id"),
        ("an id with a plus", _status("gw-01", "+"), "bad_id"),
        ("an empty id", _status('"gw-01"', '""'), "bad_id"),
        ("an id of 65", _status("gw-01", "a" * 65), "bad_id"),
        ("an id with a newline at its end", _status("gw-01", "gw-01\\n"), "bad_id"),
        ("an id with a letter beyond ASCII", _status("gw-01", "gw-é"), "bad_id"),
        ("inst in capitals", _status(INST, INST.upper()), "bad_id"),
        ("inst too short", _status(INST, INST[:-2]), "bad_id"),
        ("a uid without dashes", ("Report", _swap(REPORT, UID, UID.replace("-", ""))), "bad_id"),
        ("a digest of another kind", ("BlobGet", _swap(GET, "sha256:", "sha512:")), "bad_id"),
        ("a bare name as ref", ("Desired", _swap(DESIRED, "Task/plant-a/add", "add")), "bad_id"),
        (
            "a lone surrogate",
            ("OpAnswer", _swap(ANSWER, '"text":"x"', '"text":"\\ud800"')),
            "bad_text",
        ),
        (
            "a NUL in an argument",
            ("Desired", _swap(DESIRED, '"add"}', '"add","args":["a\\u0000b"]}')),
            "bad_text",
        ),
        (
            "a variable without =",
            ("Desired", _swap(DESIRED, '"add"}', '"add","env":["RATE"]}')),
            "bad_text",
        ),
        (
            "a sealed variable that is not base64",
            ("Desired", _swap(DESIRED, '"add"}', '"add","sealed":{"TOKEN":"AQ=A"}}')),
            "bad_text",
        ),
        (
            "a sealed variable with loose ends",
            ("Desired", _swap(DESIRED, '"add"}', '"add","sealed":{"TOKEN":"AR=="}}')),
            "bad_text",
        ),
        (
            "a variable without a name",
            ("Desired", _swap(DESIRED, '"add"}', '"add","env":["=5"]}')),
            "bad_text",
        ),
        ("a state nobody knows", _status("online", "away"), "bad_enum"),
        ("a state in capitals", _status("online", "Online"), "bad_enum"),
        ("a text of 4097", ("OpAnswer", _swap(ANSWER, '"x"', '"' + "x" * 4097 + '"')), "too_long"),
        (
            "2049 letters of two bytes",
            ("OpAnswer", _swap(ANSWER, '"x"', '"' + "é" * 2049 + '"')),
            "too_long",
        ),
        (
            "a result of 257",
            ("Report", _swap(REPORT, '"Running"', '"Running","result":"' + "x" * 257 + '"')),
            "too_long",
        ),
        (
            "17 mounts",
            (
                "Desired",
                _swap(
                    DESIRED,
                    '"add"}',
                    '"add","mounts":['
                    + ",".join(['{"name":"a","path":"/a","access":"ReadOnly"}'] * 17)
                    + "]}",
                ),
            ),
            "too_many",
        ),
        (
            "65 metrics",
            (
                "Report",
                _swap(
                    REPORT,
                    '"observed"',
                    '"metrics":{' + ",".join(f'"m{n}":1' for n in range(65)) + '},"observed"',
                ),
            ),
            "too_many",
        ),
        (
            "tasks and body",
            ("Desired", _swap(DESIRED, '"tasks"', f'"body":{{"digest":"{ADD}","size":1}},"tasks"')),
            "conflicting_fields",
        ),
        (
            "neither tasks nor body",
            ("Desired", _swap(DESIRED, f',"tasks":[{ENTRY}]', "")),
            "conflicting_fields",
        ),
        (
            "a result twice",
            (
                "Report",
                _swap(
                    REPORT,
                    '"Running"',
                    f'"Running","result":"x","resultBlob":{{"digest":"{ADD}","size":1}}',
                ),
            ),
            "conflicting_fields",
        ),
    )
}

# {0: 1, 1: "gw-01", 2: 0 (online), 3: h'inst', 4: 3, 5: 1}
_HEAD = "a6" + "0001" + "0165" + "67772d3031" + "0200" + "0350" + INST
CBOR_STATUS = _HEAD + "0403" + "0501"

CBOR: dict[str, tuple[str, str, str]] = {
    name: ("Status", body, word)
    for name, body, word in (
        ("nothing", "", "not_map"),
        ("an array", "80", "not_map"),
        ("a text", "666f6e6c696e65", "not_map"),
        ("a frame not opened", "5031", "not_map"),
        ("cut short", CBOR_STATUS[:-2], "malformed"),
        ("a byte too many", CBOR_STATUS + "00", "malformed"),
        ("a map of 2^63 pairs", "bb8000000000000000", "malformed"),
        ("a text of 2^32 bytes", "a1017b0000000100000000", "malformed"),
        ("an indefinite map", "bf" + CBOR_STATUS[2:] + "ff", "malformed"),
        (
            "an indefinite text",
            CBOR_STATUS.replace("6567772d3031", "7f6567772d3031ff"),
            "malformed",
        ),
        ("3 in two bytes", _HEAD + "041803" + "0501", "malformed"),
        ("a tag", _HEAD + "04c103" + "0501", "malformed"),
        ("undefined", _HEAD + "04f7" + "0501", "malformed"),
        ("a big number", _HEAD + "04c24103" + "0501", "malformed"),
        ("text that is not UTF-8", CBOR_STATUS.replace("67772d3031", "67772dff31"), "malformed"),
        ("a key that is a boolean", CBOR_STATUS.replace("a60001", "a6f501"), "malformed"),
        ("a key that is bytes", "a7" + CBOR_STATUS[2:] + "410100", "malformed"),
        ("one key twice", "a7" + CBOR_STATUS[2:] + "0501", "duplicate_key"),
        ("half a float", _HEAD + "04f94200" + "0501", "float"),
        (
            "a float where nobody looks",
            "a7" + CBOR_STATUS[2:] + "1863" + "fb3fe0000000000000",
            "float",
        ),
        ("a key that is a float", "a7" + CBOR_STATUS[2:] + "f9420000", "float"),
        (
            "2^53 where nobody looks",
            "a7" + CBOR_STATUS[2:] + "1863" + "1b0020000000000000",
            "integer_range",
        ),
        (
            "-2^53 where nobody looks",
            "a7" + CBOR_STATUS[2:] + "1863" + "3b001fffffffffffff",
            "integer_range",
        ),
        ("2^32 where 32 bits are", _HEAD + "041b0000000100000000" + "0501", "integer_range"),
        (
            "five lists where nobody looks",
            "a7" + CBOR_STATUS[2:] + "1863" + "8181818180",
            "too_deep",
        ),
        ("a newer version", CBOR_STATUS.replace("a60001", "a60002"), "unsupported_version"),
        ("no version", "a5" + CBOR_STATUS[6:], "missing_field"),
        ("the names of JSON", "a1617601", "missing_field"),
        ("null", _HEAD + "04f6" + "0501", "wrong_type"),
        (
            "inst as text",
            CBOR_STATUS.replace("0350" + INST, "037820" + INST.encode().hex()),
            "wrong_type",
        ),
        ("a state as text", CBOR_STATUS.replace("0200", "02666f6e6c696e65"), "wrong_type"),
        ("inst too short", CBOR_STATUS.replace("0350" + INST, "034f" + INST[2:]), "bad_id"),
        ("an id with a slash", CBOR_STATUS.replace("67772d3031", "67772f3031"), "bad_id"),
        ("a state nobody knows", CBOR_STATUS.replace("0200", "0202"), "bad_enum"),
    )
}

# What is read, though it looks odd: (message, text) -> the same as STATUS.
ACCEPTED_JSON: dict[str, str] = {
    "unknown fields are ignored": _swap(
        STATUS, '"v":1', '"later":{"deep":[[[1]]],"none":null},"v":1'
    ),
    "white space between tokens": STATUS.replace(",", " ,\n\t").replace(":", " : ") + "\n",
    "escaped letters": _swap(STATUS, "gw-01", "\\u0067w-01"),
}
ACCEPTED_CBOR: dict[str, str] = {
    "in order": CBOR_STATUS,
    "keys in another order": "a6" + "0501" + CBOR_STATUS[2:-4],
    "unknown fields are ignored": "a8" + CBOR_STATUS[2:] + "1863" + "818181f6" + "6178" + "42ffff",
}
BLOBS: dict[str, tuple[str, str, str]] = {
    name: (message, body, word)
    for name, message, body, word in (
        ("nothing", "BlobChunk", "", "malformed"),
        ("JSON", "BlobChunk", b"{}".hex(), "malformed"),
        ("a header cut short", "BlobChunk", "4201010000000009" + "00" * 47, "malformed"),
        ("a put where a chunk is wanted", "BlobChunk", "4201020500000000" + "00" * 80, "malformed"),
        ("a newer version", "BlobChunk", "4202010000000009" + "00" * 48, "unsupported_version"),
        ("an error nobody knows", "BlobChunk", "4201010600000009" + "00" * 48, "bad_enum"),
        (
            "an error with data",
            "BlobChunk",
            "4201010100000009" + "00" * 8 + "00" * 7 + "09" + "ad" * 32 + "ff",
            "conflicting_fields",
        ),
        (
            "data beyond the end",
            "BlobChunk",
            "4201010000000009" + "00" * 7 + "08" + "00" * 7 + "09" + "ad" * 32 + "ffff",
            "integer_range",
        ),
        (
            "an offset of 2^53",
            "BlobChunk",
            "4201010000000009" + "0020000000000000" + "0020000000000000" + "ad" * 32,
            "integer_range",
        ),
        (
            "an id cut short",
            "BlobPut",
            "4201020500000000" + "00" * 16 + "ad" * 32 + INST + "67772d30",
            "malformed",
        ),
        (
            "a put with bytes 4..7 set",
            "BlobPut",
            "4201020500000001" + "00" * 16 + "ad" * 32 + INST + "67772d3031",
            "malformed",
        ),
        (
            "a put without an id",
            "BlobPut",
            "4201020000000000" + "00" * 16 + "ad" * 32 + INST,
            "bad_id",
        ),
        (
            "an id with a slash",
            "BlobPut",
            "4201020500000000" + "00" * 16 + "ad" * 32 + INST + "67772f3031",
            "bad_id",
        ),
    )
}
