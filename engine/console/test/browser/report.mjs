// Does the report say what the tables say, and is it a page to print?
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { passed, PATIENCE, sql, until } from './lab.mjs';

export async function report(lab) {
  const { page } = lab;
  await lab.view('Report');
  await page.getByRole('heading', { name: 'S-17, walking' }).waitFor();
  await until('the report has enough cycles', async () => {
    await page.getByRole('button', { name: 'Ask again' }).click();
    const told = await page.getByRole('heading', { name: /^Gait, \d+ left/ }).textContent({ timeout: 2000 }).catch(() => '');
    return Number(/\d+/.exec(told)?.[0]) >= 5;
  });
  const [{ mean }] = await sql("SELECT avg(cadence_steps_per_min) AS mean FROM gait WHERE side = 'left' AND session IN (SELECT session FROM sessions WHERE subject = 'S-17')");
  const told = await page.getByRole('row', { name: /^cadence/ }).getByRole('cell').first().textContent();
  assert.ok(Math.abs(Number.parseFloat(told) - mean) < 2, `the report says ${told}, SQL ${mean}`);
  await page.getByRole('row', { name: 'note walks with a limp anna' }).waitFor();
  const printed = await page.pdf({ format: 'A4', timeout: PATIENCE });
  const pages = printed.toString('latin1').match(/\/Type\s*\/Page\b/g)?.length ?? 0;
  assert.ok(printed.length > 10_000 && pages >= 1 && pages <= 2, `${printed.length} bytes, ${pages} pages`);
  if (process.env.PROPRIO_SHOTS) writeFileSync(join(process.env.PROPRIO_SHOTS, 'report.pdf'), printed);
  passed(`report: gait as SQL says it, prints on ${pages} page${pages === 1 ? '' : 's'}`);
  await lab.look('report');
}
