// The program's events: heard, missed, and waited for again.

import { ask } from './api.js';
import { amend, fail, replace, state } from './state.js';
import { t } from './language.js';
import { $, problem } from './dom.js';

const AGAIN_MS = [500, 1_000, 2_000, 4_000];
/** How often is looked while a group opens, should no event tell of it. */
const OPENING_MS = 1_000;

let source = null;
let failures = 0;
let loading = null;
let again = false;
let early = [];
let timer = 0;

/** Fetches the whole state; calls that come meanwhile share one more fetch. */
export function reload() {
  if (loading) {
    again = true;
    return loading;
  }
  loading = load().finally(() => {
    loading = null;
    if (again) {
      again = false;
      reload();
    }
  });
  return loading;
}

async function load() {
  let whole;
  try {
    whole = await ask('/api/state');
  } catch (refusal) {
    lost(refusal.status === 403);
    return;
  }
  failures = 0;
  problem($('banner'), null);
  replace(whole);
  for (const event of early.splice(0)) amend(event);
  if (state.phase === 'opening') later(OPENING_MS);
}

function later(after_ms) {
  clearTimeout(timer);
  timer = setTimeout(() => (source?.readyState === EventSource.OPEN ? reload() : listen()), after_ms);
}

function lost(stranger) {
  source?.close();
  problem($('banner'), t(stranger ? 'stranger' : 'lost'));
  later(AGAIN_MS[Math.min(failures, AGAIN_MS.length - 1)]);
  failures += 1;
}

/** Begins to listen, for ever. */
export function listen() {
  source?.close();
  early = [];
  source = new EventSource('/api/events');
  source.addEventListener('open', reload);
  source.addEventListener('message', ({ data }) => {
    const event = JSON.parse(data);
    if (event.failed) fail(event.failed);
    else if (event.reload) reload();
    else if (loading) early.push(event);
    else amend(event);
  });
  // A fetch tells why, which the event does not: the session may be over, or only this stream.
  source.addEventListener('error', () => {
    source.close();
    ask('/api/state').then(() => later(AGAIN_MS[0]), (refusal) => lost(refusal.status === 403));
  });
}
