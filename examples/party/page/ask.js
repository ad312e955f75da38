// A question in a dialog: yes or no, or for a passphrase.

import { $ } from './dom.js';

/** Resolves to `true` or `false`; with `passphrase`, to what was typed or `null`. */
export function question({ head, more, yes, no, passphrase = false }) {
  const box = $('ask');
  const form = box.querySelector('form');
  const [refuse, accept] = box.querySelectorAll('button');
  const label = box.querySelector('label');
  const field = form.elements.passphrase;
  $('ask-head').textContent = head;
  $('ask-more').textContent = more;
  refuse.textContent = no;
  accept.textContent = yes;
  label.hidden = !passphrase;
  field.required = passphrase;
  field.value = '';
  box.returnValue = '';
  box.showModal();
  (passphrase ? field : refuse).focus();
  return new Promise((resolve) => {
    const done = () => {
      const agreed = box.returnValue === 'yes';
      const typed = field.value;
      field.value = '';
      resolve(passphrase ? (agreed ? typed : null) : agreed);
    };
    box.addEventListener('close', done, { once: true });
    // Enter would press the first button, which says no.
    form.onkeydown = (event) => {
      if (event.key !== 'Enter' || event.target !== field) return;
      event.preventDefault();
      form.requestSubmit(accept);
    };
  });
}
