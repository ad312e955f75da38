// The language of the page: picked from the browser's, changed by the reader, kept in the browser.

import { words } from './words.js';

const NAMES = { en: 'English', fr: 'Français' };
const codes = Object.keys(NAMES);
const hearers = [];
let at = 0;

/** A text of `words.js` in the reader's language. */
export function t(key, ...values) {
  const text = words[key][at];
  return typeof text === 'function' ? text(...values) : text;
}

/** The code of the reader's language, for dates and numbers. */
export const language = () => codes[at];

/** Calls `hear` whenever the language changes. */
export const onLanguage = (hear) => hearers.push(hear);

export function dateTime(text) {
  const date = new Date(text);
  if (Number.isNaN(date.getTime())) return '';
  return new Intl.DateTimeFormat(language(), { dateStyle: 'medium', timeStyle: 'short' }).format(date);
}

export function bytes(count) {
  const units = ['kilobyte', 'megabyte', 'gigabyte'];
  let value = Math.max(1, (Number(count) || 0) / 1000);
  let unit = 0;
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1000;
    unit += 1;
  }
  const style = { style: 'unit', unit: units[unit], maximumFractionDigits: unit > 0 ? 1 : 0 };
  return new Intl.NumberFormat(language(), style).format(value);
}

/** Puts the texts into all that names one: `data-t`, `data-t-label`, `data-t-title`, `data-t-placeholder`. */
export function translate(root) {
  for (const node of root.querySelectorAll('[data-t]')) node.textContent = t(node.dataset.t);
  for (const node of root.querySelectorAll('[data-t-label]')) node.setAttribute('aria-label', t(node.dataset.tLabel));
  for (const node of root.querySelectorAll('[data-t-title]')) node.title = t(node.dataset.tTitle);
  for (const node of root.querySelectorAll('[data-t-placeholder]')) node.placeholder = t(node.dataset.tPlaceholder);
}

function speak(code, by) {
  at = Math.max(0, codes.indexOf(code));
  document.documentElement.lang = language();
  translate(document);
  for (const template of document.querySelectorAll('template')) translate(template.content);
  for (const button of document.querySelectorAll('.languages button')) {
    button.setAttribute('aria-pressed', String(button.lang === language()));
  }
  if (by === 'reader') {
    // Private windows may refuse to keep it; it is asked for again then.
    try { localStorage.setItem('language', code); } catch { /* said above */ }
  }
  for (const hear of hearers) hear();
}

function wanted() {
  let kept = null;
  try { kept = localStorage.getItem('language'); } catch { /* as above */ }
  const wishes = [kept, ...(navigator.languages ?? [navigator.language])];
  const known = wishes.map((wish) => String(wish).slice(0, 2).toLowerCase());
  return known.find((code) => codes.includes(code)) ?? codes[0];
}

/** Once, before anything is shown. */
export function startLanguage() {
  for (const group of document.querySelectorAll('.languages')) {
    for (const code of codes) {
      const button = document.createElement('button');
      button.type = 'button';
      button.lang = code;
      button.textContent = NAMES[code];
      button.addEventListener('click', () => speak(code, 'reader'));
      group.append(button);
    }
  }
  speak(wanted(), 'browser');
}
