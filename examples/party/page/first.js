// The first page: start a group, join one, or open one that is known on this device.

import { $, problem } from './dom.js';
import { tell } from './api.js';
import { onLanguage, t } from './language.js';
import { on, state } from './state.js';
import { reload } from './stream.js';
import { canScan, scan } from './scan.js';
import { question } from './ask.js';
import { complain } from './toast.js';

/** `founded` hears the title and passphrase of a group that was started here. */
export function startFirst(founded) {
  const forms = [$('start'), $('join')];
  $('start').addEventListener('submit', (event) => send(event, async (values) => {
    const { passphrase } = await tell('/api/start', values);
    founded(values.title, passphrase);
  }));
  $('join').addEventListener('submit', (event) => send(event, (values) => tell('/api/join', values)));
  // The name is the same for both.
  for (const form of forms) {
    form.elements.name.addEventListener('input', () => {
      for (const other of forms) if (other !== form) other.elements.name.value = form.elements.name.value;
    });
  }
  $('scan').addEventListener('click', async () => {
    const found = await scan();
    if (!found) return;
    $('join').elements.invite.value = found;
    $('join').elements.passphrase.focus();
  });
  canScan().then((can) => { $('scan').hidden = !can; });
  on('phase', showFirst);
  on('failed', (words) => problem($('failed'), words));
  onLanguage(showFirst);
}

function showFirst() {
  if (state.phase !== 'first') return;
  // Guests of this member, on a phone, take part in what is open; they open nothing.
  $('guest-waits').hidden = !state.guest;
  document.querySelector('.pair').hidden = Boolean(state.guest);
  const groups = state.groups ?? [];
  $('known').hidden = groups.length === 0;
  $('known-list').replaceChildren(...groups.map(known));
}

function known(group) {
  const row = document.createElement('li');
  const button = document.createElement('button');
  button.type = 'button';
  button.className = 'known';
  const title = document.createElement('b');
  title.textContent = group.title;
  const open = document.createElement('span');
  open.textContent = t('reopen');
  button.append(title, ' ', open);
  button.addEventListener('click', () => reopen(group));
  row.append(button);
  return row;
}

async function reopen({ mesh, title, remembered }) {
  let passphrase = '';
  if (!remembered) {
    passphrase = await question({
      head: t('passphraseFor', title),
      more: t('passphraseForMore'),
      yes: t('open'),
      no: t('cancel'),
      passphrase: true,
    });
    if (passphrase === null) return;
  }
  problem($('failed'), null);
  try {
    await tell('/api/reopen', { mesh, passphrase });
    await reload();
  } catch (refusal) {
    complain(refusal);
  }
}

async function send(event, run) {
  event.preventDefault();
  const form = event.target;
  const said = form.querySelector('.problem');
  const fields = [...form.elements].filter((field) => field.name);
  for (const field of fields) field.removeAttribute('aria-invalid');
  const values = Object.fromEntries(fields.map((field) => [field.name, field.type === 'checkbox' ? field.checked : field.value.trim()]));
  const missing = fields.find((field) => field.required && !values[field.name]);
  if (missing) {
    problem(said, t('missing', missing.labels[0].textContent.trim()));
    missing.setAttribute('aria-invalid', 'true');
    missing.focus();
    return;
  }
  problem(said, null);
  problem($('failed'), null);
  const button = form.querySelector('.main');
  button.disabled = true;
  try {
    await run(values);
    form.reset();
    await reload();
  } catch (refusal) {
    problem(said, refusal.message);
  } finally {
    button.disabled = false;
  }
}
