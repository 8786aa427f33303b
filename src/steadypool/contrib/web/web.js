// Refreshes what moves every two seconds while the page is seen. Everything works without this.
(() => {
  "use strict";
  const EVERY = 2000;
  const byId = (id) => document.getElementById(id);
  const note = byId("fresh");
  let timer = 0;

  // What is being used or read is left alone.
  const inUse = (area) => {
    if (area.contains(document.activeElement)) return true;
    if (area.querySelector("input:checked, details[open]")) return true;
    const chosen = document.getSelection();
    return chosen && !chosen.isCollapsed && area.contains(chosen.anchorNode);
  };

  const say = (text) => {
    if (note && note.textContent !== text) note.textContent = text;
    document.body.classList.toggle("stale", text !== "");
  };

  const take = (text) => {
    const found = new DOMParser().parseFromString(text, "text/html");
    for (const area of document.querySelectorAll("[data-live]")) {
      const now = found.getElementById(area.id);
      if (now && !inUse(area) && now.innerHTML !== area.innerHTML) {
        area.replaceChildren(...document.adoptNode(now).childNodes);
      }
    }
    ready();
  };

  const look = async () => {
    try {
      // Without the name and password that an address may have in it.
      const answer = await fetch(location.origin + location.pathname + location.search, {
        headers: { "X-Steadypool-Fragment": "1" },
        signal: AbortSignal.timeout(10000),
      });
      if (!answer.ok) throw new Error(String(answer.status));
      take(await answer.text());
      say("");
    } catch (error) {
      say("Not refreshed: the server does not answer as it should.");
    }
    plan();
  };

  const plan = () => {
    clearTimeout(timer);
    if (!document.hidden && document.querySelector("[data-live]")) timer = setTimeout(look, EVERY);
  };

  // Boxes to choose jobs by.
  const boxes = () => [...document.querySelectorAll("input[name=id][type=checkbox]")];
  const count = () => {
    const chosen = boxes().filter((box) => box.checked).length;
    const all = byId("choose-all");
    const label = byId("chosen");
    if (label) label.textContent = chosen ? `${chosen} chosen` : "";
    if (all) all.checked = chosen > 0 && chosen === boxes().length;
    for (const button of document.querySelectorAll("[data-needs-chosen]")) button.disabled = chosen === 0;
  };
  const ready = () => {
    const all = byId("choose-all");
    if (all) all.parentElement.hidden = boxes().length === 0;
    count();
  };

  document.addEventListener("change", (event) => {
    if (event.target.id === "choose-all") for (const box of boxes()) box.checked = event.target.checked;
    if (event.target.type === "checkbox") count();
  });

  document.addEventListener("keydown", (event) => {
    const typing = /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName || "");
    if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey && !event.altKey) {
      const field = document.querySelector("[data-filter]");
      if (field) {
        event.preventDefault();
        const folded = field.closest("details");
        if (folded) folded.open = true;
        field.focus();
        field.select();
      }
    } else if (event.key === "Escape" && typing) {
      event.target.blur();
    }
  });

  document.addEventListener("visibilitychange", () => (document.hidden ? clearTimeout(timer) : look()));

  const goesOn = document.querySelector("form[data-goes-on]");
  if (goesOn) setTimeout(() => goesOn.requestSubmit(), 300);
  document.documentElement.classList.add("scripted");
  ready();
  plan();
})();
