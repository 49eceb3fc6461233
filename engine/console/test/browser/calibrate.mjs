// Is a calibration that went wrong refused with its reason, and does one that went well pass?
import assert from 'node:assert/strict';
import { passed, sql, until } from './lab.mjs';

const verdicts = (page) => page.locator('[data-calibration]').evaluateAll((cards) => cards.map((card) => card.dataset.verdict));

/** Of a subject who squatted three times, where five are due. */
export async function refused(lab) {
  const { page } = lab;
  await lab.view('Calibrate');
  await page.getByText(/sensors are to be calibrated/).waitFor();
  await until('every sensor is refused', async () => {
    const seen = await verdicts(page);
    return seen.length === 8 && seen.every((verdict) => verdict === 'fail');
  });
  const pelvis = page.getByRole('region', { name: 'Calibration of pelvis' });
  await pelvis.getByText('too few repetitions').waitFor();
  passed('calibrate: three squats are refused as too few, for each of 8 sensors');
  await lab.look('calibrate-refused');

  await lab.view('Alerts');
  await page.getByRole('cell', { name: "the pelvis isn't calibrated" }).first().waitFor();
  passed('alerts: one is withheld, and says that the pelvis is not calibrated');
  await lab.look('alerts-withheld');
}

/** Of a subject who did as they were told. */
export async function accepted(lab) {
  const { page } = lab;
  await lab.view('Calibrate');
  await page.getByRole('button', { name: 'Begin a trial “calibration”' }).click();
  await page.getByText('has begun: stand upright').waitFor();
  await page.getByRole('heading', { name: 'Every sensor’s place is known' }).waitFor();
  assert.deepEqual(await verdicts(page), Array(8).fill('pass'));
  const [{ passes }] = await sql("SELECT count(*) AS passes FROM alignment WHERE verdict = 'pass' AND session IN (SELECT session FROM sessions WHERE subject = 'S-17')");
  assert.equal(passes, 8);
  passed('calibrate: a whole calibration passes for each of 8 sensors');
  await lab.look('calibrate');
}
