// The shared text: what is typed here goes out as one splice at a time, what others type comes in under the caret.

import { $ } from './dom.js';
import { edit } from './api.js';
import { on, state } from './state.js';
import { reload } from './stream.js';
import { diff, inCodePoints, merge } from './splice.js';
import { complain, settled } from './toast.js';

/** Typing is gathered this long, so that a word is one edit. */
const GATHER_MS = 150;

let field = null;
/** Text and version that the field's changes are made upon. */
let shadow = { version: 0, text: '' };
let mesh = null;
/** The text as the splice under way leaves it, when no other comes between; else `null`. */
let sent = null;
/** The newest that came while it could not be taken. */
let waiting = null;
let composing = false;
let timer = 0;

/** Takes a text of the program's; what the field has beyond `base` stays. */
function take(remote, base = shadow.text) {
  shadow = { version: remote.version, text: remote.text };
  if (field.value === shadow.text) return;
  const { selectionStart, selectionEnd, selectionDirection, scrollTop } = field;
  const { text, carets } = merge(base, field.value, shadow.text, [selectionStart, selectionEnd]);
  if (field.value === text) return;
  field.value = text;
  // Outside of the field a caret would draw the focus to it.
  if (document.activeElement === field) field.setSelectionRange(...carets, selectionDirection);
  field.scrollTop = scrollTop;
}

function hear(remote) {
  if (mesh !== state.mesh) {
    mesh = state.mesh;
    shadow = { version: remote.version, text: remote.text };
    field.value = shadow.text;
    return;
  }
  if (!remote.whole && remote.version <= (waiting ?? shadow).version) return;
  waiting = remote;
  catchUp();
}

function catchUp() {
  if (!waiting || sent !== null || composing) return;
  const remote = waiting;
  waiting = null;
  take(remote);
  later();
}

function later() {
  clearTimeout(timer);
  if (field.value !== shadow.text) timer = setTimeout(send, GATHER_MS);
}

async function send() {
  if (sent !== null || composing || field.value === shadow.text || state.phase !== 'open') return;
  const of = mesh;
  const splice = inCodePoints(shadow.text, diff(shadow.text, field.value));
  sent = field.value;
  settled();
  let refusal = null;
  let answer = null;
  try {
    answer = await edit({ op: 'text', version: shadow.version, ...splice });
  } catch (error) {
    refusal = error;
  }
  await composed();
  const base = sent;
  sent = null;
  if (of !== mesh) return;
  if (answer) {
    take(answer, base);
    if (waiting && !waiting.whole && waiting.version <= shadow.version) waiting = null;
  } else if (refusal.status === 0) {
    // Whether it arrived is not known: it did if the text is then as it was to be.
    await reload();
    if (waiting?.text === base) take(waiting, base);
  } else if (refusal.code === 'stale') {
    await reload();
  } else {
    complain(refusal);
    catchUp();
    // Sent again with the next key, not for ever.
    return;
  }
  catchUp();
  later();
}

let compositionEnded = null;

/** What is being composed, with an input method, must not be touched. */
function composed() {
  return composing ? new Promise((resolve) => { compositionEnded = resolve; }) : undefined;
}

export function startText() {
  field = $('text');
  field.addEventListener('input', later);
  field.addEventListener('compositionstart', () => { composing = true; });
  field.addEventListener('compositionend', () => {
    composing = false;
    compositionEnded?.();
    compositionEnded = null;
    catchUp();
    later();
  });
  on('text', hear);
}
