// The page begins here: its parts are started, and the one that the program's phase asks for is shown.

import { $, inField } from './dom.js';
import { tell } from './api.js';
import { onLanguage, startLanguage, t } from './language.js';
import { on, state } from './state.js';
import { listen, reload } from './stream.js';
import { complain, startToasts, undo } from './toast.js';
import { startFirst } from './first.js';
import { forgetPassphrase, showInvite, showPassphrase, startInvites } from './invite.js';
import { startPeople } from './people.js';
import { startGuests } from './guests.js';
import { startTodos } from './todos.js';
import { startText } from './text.js';
import { startPhotos } from './photos.js';
import { startViewer } from './viewer.js';
import { startFiles } from './files.js';
import { startUploads } from './upload.js';

const VIEWS = ['opening', 'first', 'ready', 'group'];
const PARTS = ['guests', 'todos', 'notes', 'photos', 'files'];

/** Title and passphrase of a group that was started here, until they are handed on. */
let founded = null;
let shown = null;

function show() {
  // It could not be opened after all.
  if (state.phase === 'first' && founded?.seen) forgetFounded();
  const view = founded && state.phase !== 'first' ? 'ready' : { first: 'first', open: 'group' }[state.phase] ?? 'opening';
  $('opening-title').textContent = state.title ?? '';
  $('opening-title').hidden = !state.title;
  if (view !== 'group') document.title = state.title ? `${state.title} · party` : 'party';
  if (view === 'ready') {
    founded.seen = true;
    showPassphrase(founded.passphrase, founded.title);
    if (state.phase === 'open' && !founded.invited) {
      founded.invited = true;
      showInvite($('ready').querySelector('.invite'));
    }
  }
  if (view === shown) return;
  for (const name of VIEWS) $(name).hidden = name !== view;
  document.body.dataset.view = view;
  if (view !== 'group') for (const box of document.querySelectorAll('dialog[open]')) box.close();
  for (const sheet of document.querySelectorAll('[popover]:popover-open')) sheet.hidePopover();
  scrollTo(0, 0);
  if (view === 'ready') $('ready-title').focus();
  shown = view;
}

function forgetFounded() {
  founded = null;
  forgetPassphrase();
}

/** On a narrow window one part is seen at a time: the one that the address names. */
function choosePart() {
  const named = location.hash.slice(1);
  const part = PARTS.includes(named) ? named : PARTS[0];
  $('parts').dataset.part = part;
  for (const link of document.querySelectorAll('.tabs a')) {
    if (link.hash === `#${part}`) link.setAttribute('aria-current', 'page');
    else link.removeAttribute('aria-current');
  }
}

function startGroup() {
  addEventListener('hashchange', choosePart);
  choosePart();
  $('undo').addEventListener('click', undo);
  addEventListener('keydown', (event) => {
    const plain = (event.ctrlKey || event.metaKey) && !event.shiftKey && !event.altKey;
    if (!plain || event.key.toLowerCase() !== 'z' || inField() || state.phase !== 'open' || !state.can_undo) return;
    event.preventDefault();
    undo();
  });
  $('leave').addEventListener('click', async () => {
    try {
      await tell('/api/close');
      await reload();
    } catch (refusal) {
      complain(refusal);
    }
  });
  $('go').addEventListener('click', () => {
    forgetFounded();
    show();
  });
}

startLanguage();
startToasts();
startFirst((title, passphrase) => { founded = { title, passphrase, seen: false, invited: false }; });
startInvites();
startPeople();
startGuests();
startTodos();
startText();
startPhotos();
startViewer();
startFiles();
startUploads();
startGroup();
for (const button of document.querySelectorAll('[data-close]')) {
  button.addEventListener('click', () => button.closest('dialog').close());
}
on('phase', show);
onLanguage(() => { if (founded) $('ready-title').textContent = t('ready', founded.title); });
listen();
