"use strict";
const $ = (id) => document.getElementById(id);
const show = (id, state, words) => { const e = $(id); e.dataset.state = state; e.textContent = words; };

function socket() {
  const url = (location.protocol === "https:" ? "wss://" : "ws://") + location.host + "/live";
  const live = new WebSocket(url);
  live.onopen = () => show("socket-state", "open", "connected");
  live.onmessage = (event) => { $("socket-value").textContent = JSON.parse(event.data).tick; };
  live.onclose = (event) => {
    show("socket-state", "closed", "connection closed");
    $("socket-note").textContent = `code ${event.code}${event.reason ? ": " + event.reason : ""}`;
  };
}

function stream() {
  const events = new EventSource("/events");
  events.onopen = () => show("stream-state", "open", "connected");
  events.onmessage = (event) => { $("stream-value").textContent = event.data; };
  events.onerror = () => {
    show("stream-state", "closed", "connection closed");
    events.close();
  };
}

async function poll() {
  let seen = 0;
  show("poll-state", "open", "waiting for news");
  for (;;) {
    try {
      const answer = await fetch(`/api/news?after=${seen}`, {headers: {Accept: "application/json"}});
      if (!answer.ok) { show("poll-state", "closed", `refused (${answer.status})`); return; }
      seen = (await answer.json()).number;
      $("poll-value").textContent = seen;
    } catch {
      show("poll-state", "closed", "connection closed");
      return;
    }
  }
}

async function ask() {
  const answer = await fetch("/api/orders", {headers: {Accept: "application/json"}});
  show("api-state", answer.ok ? "open" : "closed", answer.ok ? "answered" : `refused (${answer.status})`);
  if (answer.ok) $("api-value").textContent = (await answer.json()).waiting;
}

function fragment() {
  $("fragment-value").textContent = location.hash || "(none)";
}

addEventListener("hashchange", fragment);
$("ask").addEventListener("click", ask);
fragment(); socket(); stream(); poll(); ask();
