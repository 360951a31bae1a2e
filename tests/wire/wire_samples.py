"""The example messages behind the shared vectors: one believable plant, every field used somewhere.

Loaded by `wire_vectors`, which turns them into `schemas/wire/vectors/*.json`.
"""

from __future__ import annotations

from dataclasses import replace

from propeller.wire import call_messages as calls
from propeller.wire import messages as m
from propeller.wire.boxes import BoxKey, Place, PointKey, seal_value
from propeller.wire.codec import entry_digest, inventory_digest, tasks_digest
from propeller.wire.http_messages import WireHttp
from propeller.wire.point_messages import WirePoint
from propeller.wire.timed_messages import WireSchedule, WireSlots
from propeller.wire.topic_messages import WireTopic

INST = "00112233445566778899aabbccddeeff"
UID_ADD = "5d0d2f2e-1f0a-5c5e-9a70-0f1b6a8a3c11"
UID_FILTER = "9b1c8a44-7d2e-5f61-8c3a-4be0b8d7e902"
RUN_ADD = "1f2e3d4c5b6a79880102030405060708"
RUN_FILTER = "a0b1c2d3e4f5060718293a4b5c6d7e8f"
ADD = "sha256:" + "ad" * 32
FILTER = "sha256:" + "f1" * 32
RESULT = "sha256:" + "7e" * 32
NOW = 1_790_000_000_000

SMALL = m.Entry(
    uid=UID_ADD,
    ref="Task/plant-a/add",
    run=RUN_ADD,
    cause="once",
    mode="once",
    digest=ADD,
    module=m.WireModule(digest=ADD, size=317),
    entrypoint="add",
    args=("40", "2"),
)
SMALL = replace(SMALL, digest=entry_digest(SMALL))
FULL = m.Entry(
    uid=UID_FILTER,
    ref="Daemon/plant-a/vibration-filter",
    run=RUN_FILTER,
    cause="daemon",
    mode="daemon",
    digest=ADD,
    module=m.WireModule(
        digest=FILTER, size=48_211, image=f"registry.plant.example/filter@{FILTER}"
    ),
    entrypoint="_start",
    args=("--window", "256", "Größe"),
    env=(("RATE", "5"), ("EMPTY", ""), ("EQUALS", "a=b"), ("ALPHA", "after")),
    stdin='{"unit":"mm/s"}\n',
    mounts=(
        m.WireMount(name="sensors", path="/sensors", access="ReadOnly"),
        m.WireMount(name="spool:rw", path="/out", access="ReadWrite"),
    ),
    memory=16 << 20,
    fuel=5_000_000_000,
    timeout=600_000,
    output=4096,
    restart="Always",
    backoff_base=500,
    backoff_cap=60_000,
    max_restarts=5,
    ready_after=3_000,
)
FULL = replace(FULL, digest=entry_digest(FULL))
TASKS = (SMALL, FULL)
HANDED_OVER = replace(FULL, update="HandOver")
KILLED_FIRST = replace(FULL, run=RUN_ADD, update="KillThenDownload")
KILLED_FIRST = replace(KILLED_FIRST, digest=entry_digest(KILLED_FIRST))
PLACE = Place(device="gw-01", inst=INST, uid=UID_ADD, run=RUN_ADD, name="TOKEN")
FLEET_SECRET = bytes(range(32))
BOX = BoxKey.from_seed(bytes(range(64, 96)))
POINT_SEED = bytes(range(96, 144))
POINT = PointKey.from_seed(POINT_SEED)
SEALED = replace(
    SMALL,
    digest=ADD,
    sealed=(("TOKEN", seal_value(b"correct horse", BOX.public, PLACE, secret=FLEET_SECRET)),),
)
SEALED = replace(SEALED, digest=entry_digest(SEALED))
ENCRYPTED = replace(
    SMALL, module=m.WireModule(digest=FILTER, size=529, plain=ADD, key="default/key/add")
)
ENCRYPTED = replace(ENCRYPTED, digest=entry_digest(ENCRYPTED))
NATIVE = replace(
    SMALL,
    module=m.WireModule(
        digest=ADD, size=317, aot=m.WireAot(digest=FILTER, size=1_804, target="thumbv7/wamr-6")
    ),
)
NATIVE = replace(NATIVE, digest=entry_digest(NATIVE))
ELSEWHERE = replace(SMALL, entrypoint="_start", args=(), digest=ADD, external="wasmedge")
ELSEWHERE = replace(ELSEWHERE, digest=entry_digest(ELSEWHERE))
TALKING = replace(
    SMALL,
    topics=(
        WireTopic(name="out", publish="telemetry/{proplet}/temp", size=1024, rate=5, keep=1000),
        WireTopic(name="in", subscribe="cmds/+"),
    ),
)
CALLING = replace(
    SMALL,
    http=WireHttp(
        allow=("GET HEAD http://*.sensors.example:8080", "https://api.example.com/v1"),
        requests=16,
        timeout=10_000,
        body=262_144,
    ),
)
CALLING = replace(CALLING, digest=entry_digest(CALLING))
TALKING = replace(TALKING, digest=entry_digest(TALKING))
SENSING = replace(
    SMALL,
    points=(
        WirePoint(name="temperature", read="temperature", rate=2),
        WirePoint(name="heater", write="relay-1"),
    ),
)
SENSING = replace(SENSING, digest=entry_digest(SENSING))
TIMED = replace(
    SMALL,
    cause="daemon",
    mode="timed",
    digest=ADD,
    max_restarts=2,
    autonomy=7_200_000,
    schedule=WireSchedule(
        cron="*/15 6-18 * * *",
        zone="Europe/Belgrade",
        missed="Skip",
        overlap="Replace",
        deadline=60_000,
        jitter=30_000,
        keep=48,
    ),
)
TIMED = replace(TIMED, digest=entry_digest(TIMED))
assert TIMED.schedule is not None
SLOTTED = replace(
    TIMED,
    digest=ADD,
    schedule=replace(
        TIMED.schedule,
        keep=16,
        slots=WireSlots(
            minutes="0000200040008001",
            hours=524_224,
            days=2**32 - 2,
            months=8190,
            weekdays=127,
            offset=60,
            summer=120,
            starts=(3, 25, 0, 120),
            ends=(10, 25, 0, 180),
        ),
    ),
)
SLOTTED = replace(SLOTTED, digest=entry_digest(SLOTTED))
ROUND = replace(
    SMALL,
    ref="FederatedTask/plant-a/anomaly",
    cause="round:7.2",
    entrypoint="_start",
    args=(),
    digest=ADD,
    fl=m.WireTraining(
        job="0f8fad5b-d9cb-469f-a165-70867728950e",
        round=7,
        attempt=2,
        step="train",
        format="q8-delta",
        nonce="000102030405060708090a0b0c0d0e0f",
        seed="0123456789abcdef",
        model=m.BlobRef(digest=RESULT, size=9_896),
        layout=m.BlobRef(digest=FILTER, size=231),
        params=(("learningRate", "0.05"), ("localEpochs", "2")),
        guest="File",
        samples=5_000,
    ),
)
ROUND = replace(ROUND, digest=entry_digest(ROUND))
FIRST_ROUND = replace(
    ROUND,
    cause="round:1",
    digest=ADD,
    fl=m.WireTraining(
        job="0f8fad5b-d9cb-469f-a165-70867728950e",
        round=1,
        attempt=1,
        step="train",
        format="json-f64",
        nonce="000102030405060708090a0b0c0d0e0f",
        seed="0123456789abcdef",
    ),
)
FIRST_ROUND = replace(FIRST_ROUND, digest=entry_digest(FIRST_ROUND))
PRIVATE_ROUND = replace(
    ROUND,
    cause="shares:7",
    digest=ADD,
    fl=m.WireTraining(
        job="0f8fad5b-d9cb-469f-a165-70867728950e",
        round=7,
        attempt=1,
        step="shares",
        format="secagg-u32",
        nonce="000102030405060708090a0b0c0d0e0f",
        seed="0123456789abcdef",
        clip="1.0",
        noise="0.5",
        secure=m.WireSecure(
            range="8.0",
            bits=22,
            most=5_000,
            members=21,
            blob=m.BlobRef(digest=RESULT, size=1_042),
        ),
        control=m.BlobRef(digest=FILTER, size=19_344),
    ),
)
PRIVATE_ROUND = replace(PRIVATE_ROUND, digest=entry_digest(PRIVATE_ROUND))
OBSERVED = m.Observed(fence=NOW, gen=4, digest=tasks_digest(TASKS))
DONE = m.RunReport(
    uid=UID_ADD,
    run=RUN_ADD,
    digest=SMALL.digest,
    cause="once",
    state="Succeeded",
    exit=0,
    result="42",
    ready=True,
    started=NOW + 100,
    ended=NOW + 103,
)
BACKING_OFF = m.RunReport(
    uid=UID_FILTER,
    run=RUN_FILTER,
    digest=FULL.digest,
    cause="daemon",
    state="BackOff",
    exit=3,
    error='exited with status 3: "no such sensor"',
    restarts=2,
    started=NOW + 100,
)
LONG_RESULT = m.RunReport(
    uid=UID_ADD,
    run="c0ffee00c0ffee00c0ffee00c0ffee00",
    digest=SMALL.digest,
    cause="cron:1790000000000#2",
    state="Succeeded",
    exit=0,
    result_blob=m.BlobRef(digest=RESULT, size=70_000),
    ready=True,
)
KEPT = m.RunReport(
    uid=UID_ADD,
    run=RUN_ADD,
    digest=TIMED.digest,
    cause="daemon",
    state="Running",
    ready=True,
    started=NOW,
    spent=NOW + 10,
    past=(
        m.PastRun(slot=NOW, state="Succeeded", exit=0, result="42", started=NOW, ended=NOW + 3),
        m.PastRun(
            slot=NOW + 900_000,
            state="Failed",
            attempt=2,
            exit=3,
            result_blob=m.BlobRef(digest=RESULT, size=1_412),
            error="exit 3",
            started=NOW + 900_001,
            ended=NOW + 900_009,
        ),
    ),
    lost=7,
)
RUNS = (DONE, BACKING_OFF, LONG_RESULT)
HEARTBEAT = m.Report(
    id="gw-01",
    inst=INST,
    boot=3,
    seq=17,
    conn=1,
    observed=OBSERVED,
    inventory=inventory_digest(RUNS),
)

MESSAGES: dict[str, m.Message] = {
    "desired: two tasks": m.Desired(
        to="gw-01",
        inst=INST,
        fence=NOW,
        gen=4,
        iat=NOW + 50,
        digest=tasks_digest(TASKS),
        tasks=TASKS,
        not_after=NOW + 86_400_000,
    ),
    "desired: a sealed variable": m.Desired(
        to="gw-01",
        inst=INST,
        fence=NOW,
        gen=6,
        iat=NOW,
        digest=tasks_digest((SEALED,)),
        tasks=(SEALED,),
    ),
    "desired: traced": m.Desired(
        to="gw-01",
        inst=INST,
        fence=NOW,
        gen=12,
        iat=NOW,
        digest=tasks_digest(()),
        tasks=(),
        trace="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    ),
    "desired: native code of a module": m.Desired(
        to="gw-01",
        inst=INST,
        fence=NOW,
        gen=13,
        iat=NOW,
        digest=tasks_digest((NATIVE,)),
        tasks=(NATIVE,),
    ),
    "desired: an encrypted module": m.Desired(
        to="gw-01",
        inst=INST,
        fence=NOW,
        gen=10,
        iat=NOW,
        digest=tasks_digest((ENCRYPTED,)),
        tasks=(ENCRYPTED,),
    ),
    "desired: a task for another engine": m.Desired(
        to="gw-01",
        inst=INST,
        fence=NOW,
        gen=12,
        iat=NOW,
        digest=tasks_digest((ELSEWHERE,)),
        tasks=(ELSEWHERE,),
    ),
    "desired: topics of a guest": m.Desired(
        to="gw-01",
        inst=INST,
        fence=NOW,
        gen=11,
        iat=NOW,
        digest=tasks_digest((TALKING,)),
        tasks=(TALKING,),
    ),
    "desired: HTTP requests of a guest": m.Desired(
        to="gw-01",
        inst=INST,
        fence=NOW,
        gen=13,
        iat=NOW,
        digest=tasks_digest((CALLING,)),
        tasks=(CALLING,),
    ),
    "desired: sensors and outputs of a guest": m.Desired(
        to="gw-01",
        inst=INST,
        fence=NOW,
        gen=13,
        iat=NOW,
        digest=tasks_digest((SENSING,)),
        tasks=(SENSING,),
    ),
    "desired: a schedule that the device keeps": m.Desired(
        to="gw-01",
        inst=INST,
        fence=NOW,
        gen=12,
        iat=NOW,
        digest=tasks_digest((TIMED,)),
        tasks=(TIMED,),
    ),
    "desired: a schedule for a device without time zones": m.Desired(
        to="gw-01",
        inst=INST,
        fence=NOW,
        gen=13,
        iat=NOW,
        digest=tasks_digest((SLOTTED,)),
        tasks=(SLOTTED,),
    ),
    "desired: a round of federated learning": m.Desired(
        to="gw-01",
        inst=INST,
        fence=NOW,
        gen=7,
        iat=NOW,
        digest=tasks_digest((ROUND,)),
        tasks=(ROUND,),
    ),
    "desired: the first round, from nothing": m.Desired(
        to="gw-01",
        inst=INST,
        fence=NOW,
        gen=8,
        iat=NOW,
        digest=tasks_digest((FIRST_ROUND,)),
        tasks=(FIRST_ROUND,),
    ),
    "desired: the shares of a secure round": m.Desired(
        to="gw-01",
        inst=INST,
        fence=NOW,
        gen=9,
        iat=NOW,
        digest=tasks_digest((PRIVATE_ROUND,)),
        tasks=(PRIVATE_ROUND,),
    ),
    "desired: two that take over": m.Desired(
        to="gw-01",
        inst=INST,
        fence=NOW,
        gen=9,
        iat=NOW,
        digest=tasks_digest((HANDED_OVER, KILLED_FIRST)),
        tasks=(HANDED_OVER, KILLED_FIRST),
    ),
    "desired: nothing to hold": m.Desired(
        to="gw-01", inst=INST, fence=NOW, gen=5, iat=NOW, digest=tasks_digest(()), tasks=()
    ),
    "desired: the list is a blob": m.Desired(
        to="gw-01",
        inst=INST,
        fence=2**53 - 1,
        gen=1,
        iat=0,
        digest=tasks_digest(TASKS),
        body=m.BlobRef(digest=tasks_digest(TASKS), size=1412),
    ),
    "report: full": replace(
        HEARTBEAT,
        seq=16,
        tasks=RUNS,
        free=m.Free(memory=201_326_592, tasks=61, storage=8 << 30),
        metrics=(("cpuPermille", 120), ("rssBytes", 48 << 20), ("temperature", -4)),
    ),
    "report: a schedule that the device keeps": replace(
        HEARTBEAT, tasks=(KEPT,), inventory=inventory_digest((KEPT,))
    ),
    "report: heartbeat": HEARTBEAT,
    "report: before the first document": m.Report(
        id="gw-01",
        inst=INST,
        boot=1,
        seq=0,
        conn=1,
        observed=m.Observed(),
        inventory=inventory_digest(()),
        tasks=(),
        clock="Unsynced",
    ),
    "report: the list is a blob, and a document was refused": replace(
        HEARTBEAT,
        body=m.BlobRef(digest=inventory_digest(RUNS), size=9000),
        refused=m.Refused(fence=NOW - 1, gen=9, digest=ADD, reason="stale"),
    ),
    "status: online": m.Status(id="gw-01", state="online", inst=INST, boot=3, conn=1),
    "status: offline": m.Status(id="gw-01", state="offline", inst=INST, boot=3, conn=1),
    "hello: a Linux gateway": m.Hello(
        id="gw-01",
        inst=INST,
        boot=3,
        arch="x86_64",
        os="linux",
        runtime="wasmtime",
        runtime_version="30.0.0",
        agent="0.1.0",
        memory=256 << 20,
        storage=8 << 30,
        tasks=64,
        max_module=64 << 20,
        max_payload=1 << 20,
        min_run_interval=0,
        heartbeat=30_000,
        imports=("wasi_snapshot_preview1",),
        components=False,
        mounts=("sensors", "spool:rw"),
        encodings=("json", "cbor"),
        algs=("ed25519", "p256"),
        fetch=("direct", "mqtt"),
        labels=(("zone", "hall-1"), ("class", "gateway"), ("söhne", "größe")),
        points=("relay-1:w", "temperature"),
        key="ed25519:A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg=",
    ),
    "hello: a sensor": m.Hello(
        id="sensor_7",
        inst=INST,
        boot=4_294_967_295,
        arch="thumbv7em",
        os="zephyr",
        runtime="wamr",
        runtime_version="2.4.0",
        agent="0.1.0",
        memory=98_304,
        storage=262_144,
        tasks=4,
        max_module=65_536,
        max_payload=2048,
        min_run_interval=1000,
        heartbeat=300_000,
        imports=(),
        components=False,
        mounts=(),
        encodings=("cbor",),
        algs=("p256",),
        fetch=("mqtt",),
        labels=(),
        box=BOX.public.text,
        key="p256:"
        "BGsX0fLhLEJH+Lzm5WOkQPJ3A32BLeszoPShOUXYmMKWT+NC4v4af5uO5+tKfA+eFivOM1drMV7Oy7ZAaDe/UfU=",
        versions=(1, 2),
    ),
    "op: logs": m.Op(
        id="op-000017",
        verb="logs",
        to="gw-01",
        inst=INST,
        boot=3,
        conn=1,
        src="manager",
        n=17,
        uid=UID_FILTER,
        run=RUN_FILTER,
        stream="stderr",
        tail=1024,
        follow=60_000,
    ),
    "op: collect": m.Op(
        id="op-000018",
        verb="collect",
        to="gw-01",
        inst=INST,
        boot=3,
        conn=1,
        src="manager",
        n=18,
        not_after=NOW + 30_000,
    ),
    "op answer: a piece of log": m.OpAnswer(
        id="gw-01",
        op="op-000017",
        inst=INST,
        boot=3,
        n=1,
        state="progress",
        stream="stderr",
        text="rms 0.42\nrms 0.43\n\u0000\u0007",
        dropped=512,
    ),
    "op answer: refused": m.OpAnswer(
        id="gw-01", op="op-000019", inst=INST, boot=3, n=0, state="refused", text="unknown verb"
    ),
    "op answer: done, as a blob": m.OpAnswer(
        id="gw-01",
        op="op-000017",
        inst=INST,
        boot=3,
        n=2,
        state="done",
        blob=m.BlobRef(digest=RESULT, size=70_000),
    ),
    "call: a request with a body": calls.Call(
        id="call-000a1",
        verb="run",
        to="gw-01",
        inst=INST,
        boot=3,
        conn=1,
        src="gateway",
        n=9,
        uid=UID_FILTER,
        run=RUN_FILTER,
        timeout=5_000,
        path="digits",
        query="top=3",
        headers=(("content-type", "application/json"),),
        body="WzEsMl0=",
    ),
    "call: traced": calls.Call(
        id="call-000a2",
        verb="run",
        to="gw-01",
        inst=INST,
        boot=3,
        conn=1,
        src="gateway-1",
        n=9,
        uid=UID_FILTER,
        run=RUN_FILTER,
        trace="00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-01",
    ),
    "call: what became of it": calls.Call(
        id="call-000a1",
        verb="recall",
        to="gw-01",
        inst=INST,
        boot=3,
        conn=2,
        src="gateway",
        n=10,
        uid=UID_FILTER,
        run=RUN_FILTER,
    ),
    "call answer: done": calls.CallAnswer(
        id="gw-01",
        call="call-000a1",
        inst=INST,
        boot=3,
        state="done",
        status=200,
        headers=(("content-type", "text/plain"),),
        body="Nw==",
        wait=120,
        took=340,
    ),
    "call: its log is followed": calls.Call(
        id="call-000a2",
        verb="run",
        to="gw-01",
        inst=INST,
        boot=3,
        conn=2,
        src="gateway",
        n=11,
        uid=UID_FILTER,
        run=RUN_FILTER,
        follow=262_144,
    ),
    "call answer: what it logged": calls.CallAnswer(
        id="gw-01",
        call="call-000a2",
        inst=INST,
        boot=3,
        state="running",
        log="half way\n",
        lost=12,
        n=1,
    ),
    "call answer: refused": calls.CallAnswer(
        id="gw-01",
        call="call-000a1",
        inst=INST,
        boot=3,
        state="refused",
        cause="busy",
        error="2 calls run and 16 wait",
    ),
    "blob get": m.BlobGet(id="gw-01", digest=FILTER, off=4096, len=4096, req=9),
    "blob ack: go on": m.BlobAck(id="gw-01", digest=RESULT, have=32_768, state="open"),
    "blob ack: stored": m.BlobAck(id="gw-01", digest=RESULT, have=70_000, state="stored"),
    "blob ack: refused": m.BlobAck(
        id="gw-01", digest=RESULT, have=0, state="refused", reason="quota of 64 MiB used up"
    ),
    "manager status: online": m.ManagerStatus(state="online", fence=NOW, src="manager", conn=2),
    "manager status: offline": m.ManagerStatus(state="offline", fence=NOW, src="manager", conn=2),
    "echo": m.Echo(src="manager", conn=2, n=41, at=NOW),
    "trust: the first": m.Trust(
        version=1,
        keys=(
            m.TrustedKey(
                kid="56475aa75463474c",
                alg=1,
                pub="ed25519:A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg=",
                roles=("manager",),
            ),
            m.TrustedKey(kid="0011223344556677", alg=9, pub="later:AAAA", roles=("oracle",)),
        ),
    ),
    "releases": m.Releases(version=3, modules=(FILTER, RESULT), not_after=NOW + 86_400_000),
    "releases: none": m.Releases(version=1),
    "log": m.Log(
        id="gw-01",
        boot=3,
        n=2,
        stream="stdout",
        text="started\n",
        uid=UID_FILTER,
        run=RUN_FILTER,
        dropped=10,
    ),
    "log: the agent's own": m.Log(id="gw-01", boot=3, n=0, stream="agent", text="connected\n"),
    "metrics": m.Metrics(
        id="gw-01", boot=3, n=8, at=NOW, values=(("loadPermille", 310), ("drift", -12)), dropped=1
    ),
}

BINARY: dict[str, m.BlobChunk | m.BlobPut] = {
    "chunk: the middle": m.BlobChunk(digest=FILTER, off=4, total=11, req=9, data=b"\x00asm"),
    "chunk: an empty blob": m.BlobChunk(
        digest="sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        off=0,
        total=0,
        req=1,
    ),
    "chunk: not yours": m.BlobChunk(digest=ADD, off=0, total=0, req=10, error="not_yours"),
    "put: the first bytes": m.BlobPut(
        id="gw-01", inst=INST, digest=RESULT, off=0, total=70_000, data=b"PFU1\x00\x01"
    ),
    "put: what do you have?": m.BlobPut(
        id="sensor_7", inst=INST, digest=RESULT, off=70_000, total=70_000
    ),
}
