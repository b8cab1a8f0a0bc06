"use strict";
// Keeps an open page up to date: when the daemon says that something changed, the page is fetched
// again, and its main part takes the place of the old one.
(() => {
  const live = document.getElementById("live");
  let wanted = 0;
  let busy = false;

  const put = (fresh) => {
    const old = document.querySelector("main");
    for (const it of old.querySelectorAll("details[open][id]")) {
      fresh.querySelector("#" + CSS.escape(it.id))?.setAttribute("open", "");
    }
    // Whoever types or stands on a link goes on doing so.
    const active = old.contains(document.activeElement) ? document.activeElement : null;
    const href = active?.getAttribute("href");
    const place = active?.id ? "#" + CSS.escape(active.id) : href && `[href="${CSS.escape(href)}"]`;
    const field = active?.matches("input") ? active : null;
    old.replaceWith(fresh);
    const again = place && fresh.querySelector(place);
    if (field && again) again.replaceWith(field);
    (field && again ? field : again)?.focus({ preventScroll: true });
  };

  const refresh = async () => {
    if (busy || document.hidden) return;
    busy = true;
    let shown = wanted;
    try {
      const answer = await fetch(location.href);
      const text = await answer.text();
      const fresh = new DOMParser().parseFromString(text, "text/html").querySelector("main");
      if (answer.ok && fresh) {
        shown = Number(fresh.dataset.change);
        put(fresh);
      }
    } catch {
      // The daemon has gone; the stream of events says so.
    } finally {
      busy = false;
    }
    // It was put together before the change.
    if (shown < wanted) setTimeout(refresh, 1000);
  };

  const events = new EventSource("/events");
  events.onmessage = (event) => {
    wanted = Number(event.data);
    live.textContent = "live";
    live.className = "";
    refresh();
  };
  events.onerror = () => {
    live.textContent = "not live: the daemon does not answer";
    live.className = "gone";
  };
  document.addEventListener("visibilitychange", refresh);
})();
