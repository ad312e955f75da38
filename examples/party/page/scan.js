// The invite read from a QR code with the camera, where browser and device have what that takes.

import { $ } from './dom.js';
import { toast } from './toast.js';
import { t } from './language.js';

const LOOK_EVERY_MS = 200;

/** Whether an invite can be scanned here. */
export async function canScan() {
  if (!('BarcodeDetector' in window) || !navigator.mediaDevices) return false;
  const formats = await BarcodeDetector.getSupportedFormats().catch(() => []);
  if (!formats.includes('qr_code')) return false;
  const devices = await navigator.mediaDevices.enumerateDevices().catch(() => []);
  return devices.some((device) => device.kind === 'videoinput');
}

/** Resolves to the text of a QR code, or `null` when the reader closed the dialog. */
export async function scan() {
  const box = $('scanner');
  const video = box.querySelector('video');
  let camera;
  try {
    camera = await navigator.mediaDevices.getUserMedia({ video: { facingMode: 'environment' } });
  } catch {
    toast(t('scanFailed'), { error: true });
    return null;
  }
  const detector = new BarcodeDetector({ formats: ['qr_code'] });
  video.srcObject = camera;
  box.showModal();
  await video.play().catch(() => {});
  let found = null;
  while (box.open && !found) {
    const codes = await detector.detect(video).catch(() => []);
    found = codes[0]?.rawValue ?? null;
    if (!found) await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS));
  }
  for (const track of camera.getTracks()) track.stop();
  video.srcObject = null;
  if (box.open) box.close();
  return found;
}
