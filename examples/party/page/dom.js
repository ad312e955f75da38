// The few things done to the document everywhere.

export const $ = (id) => document.getElementById(id);

/** The one element in a `<template>`, anew. */
export const fresh = (template) => $(template).content.firstElementChild.cloneNode(true);

/** Tells those who listen to the page; the eye finds it elsewhere. */
export function say(words) {
  $('said').textContent = words;
}

/** Shows a problem in its paragraph, or takes it away. */
export function problem(paragraph, words) {
  paragraph.hidden = !words;
  paragraph.textContent = words ?? '';
}

/** Whether keys typed now belong to a field. */
export function inField() {
  const node = document.activeElement;
  return Boolean(node?.matches('textarea, input:not([type=checkbox], [type=file])'));
}

/** Offers bytes that are here as a file. */
export function hand(blob, name) {
  const link = document.createElement('a');
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  // The browser reads it after the click; a minute is plenty to begin.
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}
