// Is what a person enters recorded and found by SQL, and is an alert acknowledged in their name?
import assert from 'node:assert/strict';
import { passed, sql, until } from './lab.mjs';

export async function session(lab) {
  const { page } = lab;
  await lab.view('Session');
  await page.getByText('S-17').first().waitFor();
  await page.getByRole('textbox', { name: 'signed' }).fill('anna');
  await page.getByRole('textbox', { name: 'Name of the trial' }).fill('walk-1');
  await page.getByRole('button', { name: 'Begin the trial' }).click();
  await page.getByRole('cell', { name: 'walk-1', exact: true }).waitFor();
  await page.getByRole('button', { name: 'turn', exact: true }).click();
  await page.getByRole('cell', { name: 'turn', exact: true }).waitFor();
  await page.getByRole('textbox', { name: 'Note', exact: true }).fill('walks with a limp');
  await page.getByRole('button', { name: 'Write the note' }).click();
  await page.getByRole('cell', { name: 'walks with a limp' }).waitFor();
  await page.getByRole('slider').fill('4');
  await page.getByRole('button', { name: 'Enter' }).first().click();
  await page.getByRole('cell', { name: /pain_nrs 4/ }).waitFor();
  const entered = await sql(
    "SELECT n.author, n.text, t.trial, e.label, o.value FROM notes n JOIN trials t ON n.session = t.session JOIN events e ON n.session = e.session JOIN outcomes o ON n.session = o.session WHERE e.label = 'turn' AND t.trial = 'walk-1'",
  );
  assert.deepEqual(entered, [{ author: 'anna', text: 'walks with a limp', trial: 'walk-1', label: 'turn', value: 4 }]);
  passed('session: a trial, a mark, a note and an outcome are recorded and found by SQL');
  await lab.look('session');
}

export async function alerts(lab) {
  const { page } = lab;
  await lab.view('Alerts');
  await until('the pelvis drops', async () => (await sql("SELECT id FROM alerts WHERE step = 'pelvic_drop' AND state = 'firing' LIMIT 1")).length === 1);
  await page.getByRole('button', { name: /^Acknowledge/ }).first().click();
  const seen = await until('the acknowledgement is a row', async () => (await sql("SELECT reason FROM alerts WHERE state = 'acknowledged'"))[0]);
  assert.equal(seen.reason, 'anna');
  await page.getByRole('cell', { name: 'acknowledged', exact: true }).first().waitFor();
  passed('alerts: one is acknowledged');
  await lab.look('alerts');
}
