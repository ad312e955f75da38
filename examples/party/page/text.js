// The shared text: what is typed here goes out as one splice at a time, what others type comes in under the caret.

import { $ } from './dom.js';
import { edit } from './api.js';
import { on, state } from './state.js';
import { reload } from './stream.js';
import { diff, inCodePoints, merge } from './splice.js';
import { complain, settled } from './toast.js';

/** Typing is gathered this long, so that a word is one edit. */
const GATHER_MS = 150;
/** Of more texts than this that wait, only the newest are taken: the caret may then move, no letter is lost. */
const WAITING_MAX = 64;

let field = null;
/** Text and version that the field's changes are made upon. */
let shadow = { version: 0, text: '' };
let mesh = null;
/** The text with the splice under way, as if it were alone; else `null`. */
let sent = null;
/** Texts that came while none could be taken, one by one: two changes far apart would look like one that spans the caret. */
let waiting = [];
let composing = false;
let compositionEnded = null;
let timer = 0;

/** Takes a text of the program's; what the field has beyond `base` stays. */
function take(remote, base = shadow.text) {
  shadow = { version: remote.version, text: remote.text };
  const { selectionStart, selectionEnd, selectionDirection, scrollTop } = field;
  const { text, carets } = merge(base, field.value, shadow.text, [selectionStart, selectionEnd]);
  if (field.value === text) return;
  field.value = text;
  // Where the focus is elsewhere, a caret could draw it here.
  if (document.activeElement === field) field.setSelectionRange(...carets, selectionDirection);
  field.scrollTop = scrollTop;
}

function hear(remote) {
  if (mesh !== state.mesh) {
    mesh = state.mesh;
    shadow = { version: remote.version, text: remote.text };
    waiting = [];
    field.value = shadow.text;
    return;
  }
  // After a restart of the program, versions may begin anew.
  if (!remote.whole && remote.version <= (waiting.at(-1) ?? shadow).version) return;
  waiting.push(remote);
  waiting = waiting.slice(-WAITING_MAX);
  if (sent === null) catchUp();
}

function catchUp() {
  if (composing) return;
  for (const remote of waiting.splice(0)) take(remote);
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
  let answer = null;
  let refusal = null;
  try {
    answer = await edit({ op: 'text', version: shadow.version, ...splice });
  } catch (error) {
    refusal = error;
    // What is there now is taken below.
    if (refusal.status === 0 || refusal.code === 'stale') await reload();
  }
  await composed();
  if (of === mesh) {
    conclude(answer, refusal);
  } else {
    sent = null;
    catchUp();
  }
}

/** The splice under way is in the program's text, or it is not. */
function conclude(answer, refusal) {
  if (answer) {
    while (waiting.length > 0 && waiting[0].version < answer.version) {
      const remote = waiting.shift();
      // It may have been told before it was answered.
      const base = remote.text === sent ? sent : shadow.text;
      sent = merge(base, sent, remote.text).text;
      take(remote, base);
    }
    take(answer, sent);
    waiting = waiting.filter((remote) => remote.version > answer.version);
  } else if (refusal.status === 0 && waiting.at(-1)?.text === sent) {
    // The answer was lost on its way, not the splice.
    take(waiting.pop(), sent);
    waiting = [];
  }
  sent = null;
  if (refusal && refusal.status !== 0 && refusal.code !== 'stale') {
    complain(refusal);
    // Sent again with the next key, not for ever.
    for (const remote of waiting.splice(0)) take(remote);
    return;
  }
  catchUp();
}

/** What is being composed, with an input method, must not be touched. */
function composed() {
  return composing ? new Promise((resolve) => { compositionEnded = resolve; }) : undefined;
}

export function startText() {
  field = $('text');
  field.addEventListener('input', later);
  field.addEventListener('blur', send);
  field.addEventListener('compositionstart', () => { composing = true; });
  field.addEventListener('compositionend', () => {
    composing = false;
    compositionEnded?.();
    compositionEnded = null;
    if (sent === null) catchUp();
  });
  on('text', hear);
}
