// What is asked of the program on this computer.

import { t } from './language.js';

/** Codes of the program that have words in the reader's language; of others its own sentence is shown. */
const WORDED = ['bad_invite', 'weak', 'busy', 'too_long', 'closed', 'guest', 'nobody_has_it'];

/** The program said no, with its `code` and a sentence; or did not answer (`offline`). */
export class Refused extends Error {
  constructor(status, { code, error } = {}) {
    super(WORDED.includes(code) ? t(code) : error || t('unreachable'));
    this.status = status;
    this.code = code ?? (status === 0 ? 'offline' : '');
  }
}

async function answer(path, options) {
  let response;
  try {
    response = await fetch(path, options);
  } catch {
    throw new Refused(0);
  }
  if (response.ok) return response;
  throw new Refused(response.status, await response.json().catch(() => ({})));
}

export async function ask(path) {
  return (await answer(path, { cache: 'no-store' })).json();
}

export async function tell(path, body = {}) {
  const headers = { 'content-type': 'application/json' };
  return (await answer(path, { method: 'POST', headers, body: JSON.stringify(body) })).json();
}

export const edit = (change) => tell('/api/edit', change);

export const put = (list, id, fields) => edit({ op: 'put', list, id, fields });

/** Where a blob's bytes are. */
export const blobPath = (id, name) => `/api/blob/${encodeURIComponent(id)}?name=${encodeURIComponent(name ?? '')}`;

/** A blob's bytes, to be kept as a file. */
export const download = async (id, name) => (await answer(`${blobPath(id, name)}&download=1`)).blob();

/** Sends a file; `told` hears which part of it went. Ends when the program has it. `stop` is an AbortSignal. */
export function upload(path, file, told, stop) {
  return new Promise((resolve, reject) => {
    // fetch tells nothing of what it has sent.
    const request = new XMLHttpRequest();
    request.open('POST', path);
    request.responseType = 'json';
    request.upload.addEventListener('progress', (event) => {
      if (event.lengthComputable && event.total > 0) told(event.loaded / event.total);
    });
    request.addEventListener('load', () => {
      const body = request.response ?? {};
      if (request.status >= 200 && request.status < 300) resolve(body);
      else reject(new Refused(request.status, body));
    });
    request.addEventListener('error', () => reject(new Refused(0)));
    request.addEventListener('abort', () => reject(new Refused(0, { code: 'stopped' })));
    stop.addEventListener('abort', () => request.abort());
    request.send(file);
  });
}
