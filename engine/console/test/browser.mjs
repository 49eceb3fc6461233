// Does the page do what it promises, in a browser? `.ci/console` starts the engine; two subjects come, of whom one calibrates badly.
import assert from 'node:assert/strict';
import { accepted, refused } from './browser/calibrate.mjs';
import { Page, passed, Subject } from './browser/lab.mjs';
import { live } from './browser/live.mjs';
import { report } from './browser/report.mjs';
import { files, killed } from './browser/rig.mjs';
import { alerts, session } from './browser/session.mjs';
import { statements } from './browser/sql.mjs';

/** What the page may weigh, packed, in bytes. */
const WEIGHT_MAX = 200 * 1024;
const IMPAIRED = ['--impair', 'pelvic-drop=8deg:left'];

let lab;
try {
  const hasty = new Subject('S-16', '--calibration', 'few-repetitions', ...IMPAIRED);
  lab = await Page.open();
  await refused(lab);
  await hasty.leave();
  const careful = new Subject('S-17', '--calibration', 'good', ...IMPAIRED);
  await lab.page.getByText('S-17').first().waitFor();
  await accepted(lab);
  await lab.view('Live');
  await live(lab);
  await session(lab);
  await alerts(lab);
  await report(lab);
  await statements(lab);
  await files(lab);
  await killed(lab, careful);
  assert.deepEqual(lab.wrong, []);
  const weight = await lab.weight();
  assert.ok(weight > 0 && weight < WEIGHT_MAX, `the page weighs ${weight} bytes`);
  passed(`page weight: ${(weight / 1024).toFixed(0)} KiB, packed`);
} catch (error) {
  await lab?.picture('failed').catch(() => console.error('no picture could be taken'));
  console.error(`what the page said: ${lab?.wrong.join('\n') || 'nothing wrong'}`);
  throw error;
} finally {
  await lab?.close();
  await Promise.all(Subject.all.map((subject) => subject.leave()));
}
