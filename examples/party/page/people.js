// Who is there, under which name, and whether what was changed has reached them.

import { $ } from './dom.js';
import { tell } from './api.js';
import { onLanguage, t } from './language.js';
import { on, state } from './state.js';
import { complain } from './toast.js';

const FACES_MAX = 4;
const HUES = 6;

/** A round mark with a member's first letter, always of the same colour. It is seen only: the name says it all. */
function face({ id, name, online }) {
  const mark = document.createElement('span');
  let sum = 0;
  for (const letter of id) sum = (sum * 31 + letter.codePointAt(0)) >>> 0;
  mark.className = `face hue${sum % HUES}${online ? '' : ' away'}`;
  mark.setAttribute('aria-hidden', 'true');
  mark.dataset.letter = [...name.trim(), '?'][0].toUpperCase();
  return mark;
}

function row(member) {
  const line = document.createElement('li');
  line.className = 'member';
  const name = document.createElement('b');
  name.textContent = member.name;
  const how = document.createElement('span');
  how.textContent = member.me ? t('you') : t(member.online ? 'online' : 'offline');
  how.className = member.online || member.me ? 'here' : 'soft';
  line.append(face({ ...member, online: member.online || member.me }), name, how);
  return line;
}

function sync() {
  if (state.refused) return ['refused', t('refused')];
  if (state.unsynced > 0) return ['wait', t(state.alone ? 'waiting' : 'leaving', state.unsynced)];
  if (state.alone) return ['wait', t('alone')];
  return ['fine', t('shared')];
}

function show() {
  if (state.phase !== 'open') return;
  $('title').textContent = state.title;
  document.title = state.title;
  const rank = (member) => (member.me ? 0 : member.online ? 1 : 2);
  const members = [...state.members].sort((a, b) => rank(a) - rank(b) || a.name.localeCompare(b.name));
  const online = members.filter((member) => member.online || member.me);
  const faces = online.slice(0, FACES_MAX).map(face);
  if (online.length > FACES_MAX) {
    const more = document.createElement('span');
    more.className = 'face more';
    more.dataset.letter = `+${online.length - FACES_MAX}`;
    faces.push(more);
  }
  $('people').replaceChildren(...faces);
  $('people').setAttribute('aria-label', t('membersOnline', online.length, members.length));
  $('people-list').querySelector('ul').replaceChildren(...members.map(row));
  for (const own of ['invite', 'rename', 'leave']) $(own).hidden = Boolean(state.guest);
  $('incomplete').hidden = state.complete !== false;
  const names = members.map((member) => Object.assign(document.createElement('option'), { value: member.name }));
  $('names').replaceChildren(...names);

  const [kind, words] = sync();
  $('sync').className = kind;
  // Said again only when it is news.
  if ($('sync').textContent !== words) $('sync').textContent = words;
  $('undo').disabled = !state.can_undo;
}

export function startPeople() {
  on('status', show);
  onLanguage(show);
  const field = $('rename').elements.name;
  $('people-list').addEventListener('toggle', (event) => {
    if (event.newState === 'open') field.value = state.me?.name ?? '';
  });
  $('rename').addEventListener('submit', async (event) => {
    event.preventDefault();
    const name = field.value.trim();
    if (!name) return;
    try {
      await tell('/api/name', { name });
      $('people-list').hidePopover();
    } catch (refusal) {
      complain(refusal);
    }
  });
}
