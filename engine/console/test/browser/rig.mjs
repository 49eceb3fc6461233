// Is the rig shown as it is, and are its files changed without losing a sample?
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { passed, sql, status, until } from './lab.mjs';

export async function files(lab) {
  const { page } = lab;
  await lab.view('Rig');
  const state = (name) => page.locator(`tr[data-sensor="${name}"]`).getAttribute('data-state');
  await until('every sensor streams', async () => (await state('pelvis')) === 'fine' && (await state('muscles')) === 'fine');
  await lab.look('rig');

  const area = page.getByRole('textbox', { name: 'Text of rig.yaml' });
  const apply = page.getByRole('button', { name: 'Apply' });
  const before = await area.inputValue();
  const [line] = before.split('\n').flatMap((text, at) => (text.includes('plate_2:') ? [at + 1] : []));
  await area.fill(before.replace('plate_2: { kind: force, rate: 1000 Hz', 'plate_2: { kind: force, rate: 1000 Herz'));
  await page.getByRole('status', { name: 'Findings' }).getByText(new RegExp(`^rig.yaml:${line}:\\d+`)).waitFor();
  await page.locator('.numbers .wrong', { hasText: String(line) }).waitFor();
  assert.ok(await apply.isDisabled(), 'a text with a mistake can’t be applied');
  passed(`rig: a mistake is shown at its line, ${line}`);
  await lab.look('rig-mistake');

  const after = before.replace('plate_2: { kind: force, rate: 1000 Hz', 'plate_2: { kind: force, rate: 1000 Hz, idle_after: 700 ms');
  assert.notEqual(after, before);
  await area.fill(after);
  await page.getByText('Nothing is wrong').waitFor();
  await apply.click();
  await page.getByText(/^Applied: \d+ streams go on/).waitFor();
  const file = join(process.env.PROPRIO_WORK, 'walking', 'rig.yaml');
  assert.equal(readFileSync(file, 'utf8'), after);
  await complete();
  passed('rig: a right edit is applied, and no sample is lost');

  await page.getByRole('button', { name: 'Roll back' }).click();
  await page.getByText(/^Rolled back: \d+ streams go on/).waitFor();
  assert.equal(readFileSync(file, 'utf8'), before);
  await complete();
  passed('rig: it is rolled back, and no sample is lost');
}

/** Every sample that a sensor has numbered from the session's start on is a row, those around the edit too. */
async function complete() {
  const { session, position } = await status();
  await until('rows come after the edit', async () => (await status()).tables_position > position + 200);
  for (const [table, sensor] of [['imu', 'pelvis'], ['emg', 'muscles'], ['force', 'plate_2'], ['force', 'plate_1']]) {
    const [{ rows, from, to }] = await sql(
      `SELECT count(*) AS rows, min(sequence) AS from_sequence, max(sequence) AS to_sequence FROM ${table} WHERE sensor = '${sensor}' AND session = '${session}'`,
    ).then((found) => found.map(({ rows, from_sequence, to_sequence }) => ({ rows, from: from_sequence, to: to_sequence })));
    const [{ late }] = await sql(`SELECT count(*) AS late FROM late WHERE stream = '${table}/${sensor}' AND session = '${session}'`);
    assert.ok(rows > 0 && from === 0, `${sensor}: ${rows} rows from ${from} on`);
    assert.equal(rows + late, to - from + 1, `${sensor}: ${rows} rows and ${late} late ones of ${to - from + 1} samples`);
  }
}

export async function killed(lab, subject) {
  const { page } = lab;
  await lab.view('Rig');
  await until('every sensor streams', async () => (await page.locator('tr[data-sensor="pelvis"]').getAttribute('data-state')) !== 'gone');
  // The page's own clock says when it turned red: it is this machine's.
  const red = page.evaluate(
    () => new Promise((done) => {
      const look = () => document.querySelector('tr[data-sensor="pelvis"]')?.dataset.state === 'gone' && done(Date.now());
      new MutationObserver(look).observe(document.body, { subtree: true, childList: true, attributes: true });
    }),
  );
  const at = Date.now();
  await subject.leave();
  const took = (await red) - at;
  assert.ok(took < 2000, `a killed sensor is red after ${took} ms`);
  passed(`rig: a killed sensor is red after ${took} ms`);
  const colour = await page.locator('tr[data-sensor="pelvis"] .lamp').evaluate((lamp) => getComputedStyle(lamp).backgroundColor);
  const bad = await page.evaluate(() => getComputedStyle(document.querySelector('header a.bad')).color);
  assert.equal(colour, bad, 'red as what is bad is');
  await lab.look('rig-killed');
}
