// What the daemon is asked. The token lives in this tab's sessionStorage and nowhere else.

const KEPT = "healthd.token";
const PATIENCE = 20_000;
const SILENCE = 40_000; // the daemon says something at least every 15 s
const PAUSES = [250, 1000, 2000];

/** The daemon refused, or could not be asked (status 0). */
export class Trouble extends Error {
  constructor(status, said) {
    super(said);
    this.status = status;
  }
}

export const token = {
  get: () => sessionStorage.getItem(KEPT),
  set: (value) => sessionStorage.setItem(KEPT, value),
  forget: () => sessionStorage.removeItem(KEPT),
};

function headers(more) {
  const known = token.get();
  return known ? { ...more, Authorization: `Bearer ${known}` } : more;
}

async function request(path, options, signal) {
  try {
    return await fetch(path, { cache: "no-store", credentials: "omit", ...options, signal });
  } catch (error) {
    throw new Trouble(0, error.name === "TimeoutError" ? "no answer in time" : "it cannot be reached");
  }
}

async function refusal(response) {
  const said = await response.json().catch(() => ({}));
  return new Trouble(response.status, said.error || `status ${response.status}`);
}

/** A document of the API. body: sent as JSON. Throws Trouble. */
export async function ask(path, method = "GET", body = undefined) {
  const sent = body === undefined ? {} : { body: JSON.stringify(body) };
  const about = { method, headers: headers(body === undefined ? {} : { "Content-Type": "application/json" }), ...sent };
  const response = await request(path, about, AbortSignal.timeout(PATIENCE));
  if (!response.ok) throw await refusal(response);
  try {
    return await response.json();
  } catch {
    throw new Trouble(0, "the answer broke off");
  }
}

/** A path with names, as /v1/explain?name=www&name=10.0.0.11:80. */
export const named = (path, names) => `${path}?${new URLSearchParams(names.map((name) => ["name", name]))}`;

/**
 * Follows events for ever: after a break it goes on behind the last one. Server-sent events are read by hand because
 * EventSource sends no token. lastId: where to begin; told, joined, lost: called with an event, at each beginning and
 * at each end (Trouble). Returns a function that has it begin anew behind another event.
 */
export function follow(lastId, { told, joined, lost }) {
  let last = lastId, tries = 0, stop = new AbortController();
  (async () => {
    for (;;) {
      try {
        for await (const event of stream(last, stop.signal, () => { tries = 0; joined(); })) {
          last = event.id;
          told(event);
        }
        lost(new Trouble(0, "the stream of events ended"));
      } catch (error) {
        lost(error instanceof Trouble ? error : new Trouble(0, "the stream of events broke off"));
      }
      await new Promise((done) => setTimeout(done, PAUSES[Math.min(tries++, PAUSES.length - 1)]));
    }
  })();
  return (from) => {
    last = from;
    tries = 0;
    stop.abort();
    stop = new AbortController();
  };
}

async function* stream(last, outer, begun) {
  const inner = new AbortController();
  const end = () => inner.abort();
  let timer = setTimeout(end, SILENCE);
  outer.addEventListener("abort", end);
  try {
    const about = { headers: headers({ "Last-Event-ID": String(last) }) };
    const response = await request("/v1/events/follow", about, inner.signal);
    if (!response.ok) throw await refusal(response);
    begun();
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "";
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      clearTimeout(timer);
      timer = setTimeout(end, SILENCE);
      const blocks = (rest + value).split("\n\n");
      rest = blocks.pop();
      for (const block of blocks) {
        const event = parsed(block);
        if (event) yield event;
      }
    }
  } finally {
    clearTimeout(timer);
    outer.removeEventListener("abort", end);
    inner.abort();
  }
}

/** An event of its lines (WHATWG HTML, 9.2.6); null for a sign of life. */
function parsed(block) {
  const fields = Object.fromEntries(block.split("\n").map((line) => line.split(/: (.*)/s)));
  return fields.data ? { ...JSON.parse(fields.data), id: Number(fields.id) } : null;
}
