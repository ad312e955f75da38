// Photos and files on their way to the program: picked, dropped or pasted, a few at a time, with progress.

import { $, fresh, say } from './dom.js';
import { upload } from './api.js';
import { t } from './language.js';
import { state } from './state.js';
import { question } from './ask.js';
import { complain, settled, toast } from './toast.js';

const AT_ONCE = 2;
const BYTES_MAX = 64 * 1024 * 1024;
/** More than anybody means to share at once; a dropped disk is not queued. */
const QUEUE_MAX = 500;

const queue = [];
let running = 0;
/** One question at a time. */
let asked = Promise.resolve();

function add(files, kind) {
  for (const file of [...files].slice(0, QUEUE_MAX - queue.length)) {
    if (file.size > BYTES_MAX) {
      toast(t('tooLarge', file.name), { error: true });
      continue;
    }
    const row = fresh('upload-row');
    const stop = new AbortController();
    row.querySelector('.name').textContent = file.name;
    row.querySelector('progress').setAttribute('aria-label', file.name);
    const button = row.querySelector('button');
    button.setAttribute('aria-label', t('stopNamed', file.name));
    button.addEventListener('click', () => { stop.abort(); row.remove(); });
    $('uploads').append(row);
    queue.push({ file, row, stop: stop.signal, mesh: state.mesh, kind: kind ?? (file.type.startsWith('image/') ? 'photos' : 'files') });
  }
  next();
}

async function next() {
  if (running >= AT_ONCE || queue.length === 0) return;
  const one = queue.shift();
  running += 1;
  next();
  // What was meant for one group goes to no other.
  if (!one.stop.aborted && one.mesh === state.mesh) await send(one);
  one.row.remove();
  running -= 1;
  next();
}

async function send({ file, row, stop, kind }) {
  const bar = row.querySelector('progress');
  const told = (part) => { bar.value = part; };
  const go = (where, keep) => upload(`/api/${where}?name=${encodeURIComponent(file.name)}${keep ? '&keep=1' : ''}`, file, told, stop);
  try {
    settled();
    await go(kind, false).catch(async (refusal) => {
      if (refusal.code === 'cannot_clean' && await mayKeep(file.name)) return go(kind, true);
      if (refusal.code === 'cannot_clean') throw stopped;
      if (refusal.code !== 'not_a_photo') throw refusal;
      await go('files', false);
      toast(t('notAPhoto', file.name));
      return null;
    });
    say(t('sent', file.name));
  } catch (refusal) {
    if (refusal.code === 'too_large') toast(t('tooLarge', file.name), { error: true });
    else if (refusal.code !== 'stopped') complain(refusal);
  }
}

const stopped = { code: 'stopped' };

function mayKeep(name) {
  const answer = asked.then(() => question({
    head: t('cannotClean', name),
    more: t('cannotCleanMore'),
    yes: t('shareAsIs'),
    no: t('dontShare'),
  }));
  asked = answer;
  return answer;
}

function drops() {
  const carries = (event) => state.phase === 'open' && event.dataTransfer?.types.includes('Files');
  let depth = 0;
  const show = (by) => {
    depth = by === 0 ? 0 : Math.max(0, depth + by);
    $('drop').hidden = depth === 0;
  };
  addEventListener('dragenter', (event) => { if (carries(event)) { event.preventDefault(); show(1); } });
  addEventListener('dragover', (event) => { if (carries(event)) event.preventDefault(); });
  addEventListener('dragleave', (event) => { if (carries(event)) show(-1); });
  addEventListener('drop', (event) => {
    if (!carries(event)) return;
    event.preventDefault();
    show(0);
    add(event.dataTransfer.files);
  });
  addEventListener('paste', (event) => {
    if (state.phase === 'open' && event.clipboardData?.files.length) add(event.clipboardData.files);
  });
}

export function startUploads() {
  for (const [id, kind] of [['photo-pick', 'photos'], ['file-pick', 'files']]) {
    $(id).addEventListener('change', (event) => {
      add(event.target.files, kind);
      event.target.value = '';
    });
  }
  drops();
}
