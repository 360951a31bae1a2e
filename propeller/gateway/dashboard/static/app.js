"use strict";
// Ages instead of times, and the content of the page anew when the server says that something moved.
(() => {
  const link = document.getElementById("link");
  const span = (ms) => {
    const s = Math.max(0, Math.floor(ms / 1000));
    if (s < 120) return `${s}s`;
    if (s < 7200) return `${Math.floor(s / 60)}m`;
    if (s < 172800) return `${Math.floor(s / 3600)}h`;
    return `${Math.floor(s / 86400)}d`;
  };
  const ages = () => {
    for (const one of document.querySelectorAll("time[data-at]")) {
      one.textContent = `${span(Date.now() - Number(one.dataset.at))} ago`;
    }
  };
  // What scrolls sideways can be reached by keyboard; what does not is no stop on the way.
  const reachable = () => {
    for (const one of document.querySelectorAll(".scroll")) {
      if (one.scrollWidth > one.clientWidth) one.tabIndex = 0;
      else one.removeAttribute("tabindex");
    }
  };
  addEventListener("resize", reachable);
  let busy = false;
  let again = false;
  // Whoever fills in a form keeps it: the page waits until it is closed or sent.
  const writing = () => {
    const main = document.getElementById("main");
    const active = document.activeElement;
    const typing = active instanceof HTMLInputElement || active instanceof HTMLSelectElement;
    return main.querySelector("details[open]") !== null || (typing && main.contains(active));
  };
  let waits = false;
  const refresh = async () => {
    if (writing()) { waits = true; link.textContent = "waits while you write"; return; }
    if (busy) { again = true; return; }
    busy = true;
    try {
      const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      const fresh = page.getElementById("main");
      const main = document.getElementById("main");
      if (fresh && fresh.innerHTML !== main.innerHTML) {
        const active = document.activeElement;
        const href = main.contains(active) ? active.getAttribute("href") : null;
        if (writing()) { waits = true; return; }
        main.innerHTML = fresh.innerHTML;
        main.dataset.serial = fresh.dataset.serial;
        document.title = page.title;
        if (href) {
          const same = [...main.querySelectorAll("a")].find((one) => one.getAttribute("href") === href);
          if (same) same.focus({ preventScroll: true });
        }
        ages();
        reachable();
      }
    } catch {
      // The stream says so when the server is gone.
    } finally {
      busy = false;
      if (again) { again = false; setTimeout(refresh, 300); }
    }
  };
  const goOn = () => {
    if (waits && !writing()) { waits = false; link.textContent = "live"; refresh(); }
  };
  document.addEventListener("toggle", goOn, true);
  document.addEventListener("focusout", () => setTimeout(goOn, 0));
  reachable();
  if (document.getElementById("main").dataset.serial === "-1") { return; } // nothing here moves
  const stream = new EventSource("/changes");
  let seen = null;
  stream.onmessage = (event) => {
    link.textContent = "live";
    if (event.data !== document.getElementById("main").dataset.serial && event.data !== seen) refresh();
    seen = event.data;
  };
  stream.onerror = () => { link.textContent = "not connected, trying again"; };
  ages();
  setInterval(ages, 1000);
})();
