"use strict";
// Follows what the copies of an object print, from the API, a line of JSON a piece; keeps the newest.
(() => {
  const place = document.getElementById("follow");
  const pane = document.getElementById("log");
  const toggle = document.getElementById("toggle");
  const how = document.getElementById("how");
  const most = Number(place.dataset.most);
  const LONGEST = 600000; // ms that the API follows before it asks us to come again
  let stop = null;
  let held = 0;
  let last = "";
  const add = (kind, text) => {
    const one = document.createElement(kind === "from" ? "b" : "span");
    if (kind !== "from") one.className = kind;
    one.textContent = text; // never markup: a device wrote it
    const low = pane.scrollTop + pane.clientHeight >= pane.scrollHeight - 8;
    pane.append(one);
    held += text.length;
    while (held > most && pane.firstChild !== pane.lastChild) {
      held -= pane.firstChild.textContent.length;
      pane.firstChild.remove();
    }
    if (low) pane.scrollTop = pane.scrollHeight;
  };
  const show = (piece) => {
    const text = String(piece.text ?? "").slice(-most);
    if (piece.dropped) add("said", `(${piece.dropped} bytes were dropped)\n`);
    if (!text) return;
    const kind = ["stdout", "stderr"].includes(piece.stream) ? piece.stream : "said";
    const from = `${piece.proplet} ${piece.stream || ""}`;
    if (from !== last) { last = from; add("from", from); }
    add(kind, kind === "said" ? `${text}\n` : text);
  };
  const read = async (answer) => {
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "";
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      const lines = (rest + value).split("\n");
      rest = lines.pop();
      for (const line of lines) if (line) show(JSON.parse(line));
    }
  };
  const follow = async (tail) => {
    stop = new AbortController();
    toggle.textContent = "Stop";
    how.textContent = "following";
    const asked = new URLSearchParams({ tail, follow: LONGEST });
    if (place.dataset.proplet) asked.set("proplet", place.dataset.proplet);
    let words = "ended";
    try {
      const answer = await fetch(`${place.dataset.from}?${asked}`, { signal: stop.signal });
      if (answer.ok) await read(answer);
      else words = (await answer.json()).detail || `refused (${answer.status})`;
    } catch {
      words = stop.signal.aborted ? "stopped" : "the connection was cut";
    }
    stop = null;
    how.textContent = words;
    toggle.textContent = "Follow";
  };
  toggle.addEventListener("click", () => {
    if (stop) stop.abort();
    else follow("0");
  });
  toggle.hidden = false;
  if (place.dataset.shown) toggle.textContent = "Follow";
  else follow(place.dataset.tail);
})();
