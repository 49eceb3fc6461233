// Does the page do what it promises, in a browser? `.ci/console` starts the engine and the sensors.
import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { chromium } from 'playwright-core';

const { PROPRIO_HTTP: http, PROPRIO_SENSORS: sensors, PROPRIO_SHOTS: shots, PROPRIO_WORK: work } = process.env;
const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const PATIENCE = 20_000;

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  args: ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'],
});
const context = await browser.newContext({ viewport: { width: 1440, height: 900 }, colorScheme: 'dark' });
const page = await context.newPage();
page.setDefaultTimeout(PATIENCE);
const wrong = [];
page.on('pageerror', (error) => wrong.push(`exception: ${error.message}`));
page.on('console', (message) => message.type() === 'error' && wrong.push(`console: ${message.text()}`));
let weight = 0;
page.on('requestfinished', async (request) => {
  if (new URL(request.url()).origin !== http) wrong.push(`asked elsewhere: ${request.url()}`);
  if (!request.url().includes('/v1/')) weight += (await request.sizes()).responseBodySize;
});

async function sql(statement) {
  const answer = await fetch(`${http}/v1/sql`, { method: 'POST', headers: { 'content-type': 'application/sql' }, body: statement });
  assert.equal(answer.status, 200, await answer.clone().text());
  return answer.json();
}

const passed = (text) => console.log(`console: ${text}`);
async function until(what, check, patience = PATIENCE) {
  const begun = Date.now();
  for (;;) {
    const value = await check();
    if (value) return value;
    assert.ok(Date.now() - begun < patience, `not within ${patience} ms: ${what}`);
    await new Promise((done) => setTimeout(done, 50));
  }
}

async function view(name) {
  await page.getByRole('navigation').getByRole('link', { name: new RegExp(`^${name}`) }).click();
  await page.waitForFunction((name) => document.title.startsWith(name), name);
}

/** A picture, and no serious finding of axe, in either theme. */
async function look(name) {
  for (const theme of ['dark', 'light']) {
    if ((await page.evaluate(() => document.documentElement.dataset.theme)) !== theme) await page.getByRole('button', { name: /^Switch to/ }).click();
    if (shots) {
      mkdirSync(shots, { recursive: true });
      await page.screenshot({ path: join(shots, `${name}-${theme}.png`) });
    }
    await page.evaluate(axe);
    const { violations } = await page.evaluate(() => window.axe.run(document));
    const serious = violations.filter(({ impact }) => impact === 'serious' || impact === 'critical');
    const told = serious.map(({ id, nodes }) => `${id}: ${nodes.slice(0, 3).map((node) => `${node.html} ${node.failureSummary}`).join(' | ')}`);
    assert.deepEqual(told, [], `${name} in ${theme}`);
  }
  await page.getByRole('button', { name: /^Switch to/ }).click();
  passed(`${name}: no serious finding of axe, dark or light`);
}

/** How many pixels of a canvas are drawn on. */
const inked = () =>
  page.evaluate(() =>
    [...document.querySelectorAll('canvas')].map((canvas) => {
      const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
      let count = 0;
      for (let at = 3; at < data.length; at += 4) count += data[at] > 128;
      return count;
    }),
  );

try {
  await page.goto(`${http}/`);
  await page.getByText('connected', { exact: true }).waitFor();
  const charts = await until('strip charts with traces', async () => {
    const drawn = await inked();
    return drawn.length >= 3 && drawn.every((pixels) => pixels > 2000) && drawn;
  });
  const one = await page.locator('canvas').first().screenshot();
  await new Promise((done) => setTimeout(done, 500));
  assert.ok(!one.equals(await page.locator('canvas').first().screenshot()), 'the charts move');
  passed(`live: ${charts.length} groups of strips are drawn and move`);
  const frames = await until('frames are counted', async () => {
    const text = await page.getByText(/^\d+ frames\/s$/).textContent();
    return Number.parseInt(text, 10) >= 5 && text;
  });
  passed(`live: ${frames}`);
  await page.getByText('stance', { exact: true }).waitFor();
  passed('live: stance of either foot is shown');

  await page.getByRole('button', { name: 'Pause' }).click();
  await page.getByRole('button', { name: 'Back by half a window' }).click();
  const before = await until('what was before is drawn while paused', async () => (await inked())[0] > 2000 && page.locator('canvas').first().screenshot());
  await new Promise((done) => setTimeout(done, 1500));
  const still = await page.locator('canvas').first().screenshot();
  await new Promise((done) => setTimeout(done, 500));
  assert.ok(still.equals(await page.locator('canvas').first().screenshot()), 'a paused picture stands still');
  assert.ok(before.length > 0);
  await page.getByRole('button', { name: 'Resume' }).click();
  passed('live: pauses, scrolls back and goes on');

  await page.getByRole('textbox', { name: 'What to mark' }).fill('left turn');
  await page.getByRole('button', { name: 'Mark', exact: true }).click();
  await until('the mark is a row', async () => (await sql("SELECT label FROM events WHERE label = 'left turn'")).length === 1);
  passed('live: a mark is recorded');
  await look('live');

  await view('Session');
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
    "SELECT n.author, n.text, t.trial, o.value FROM notes n JOIN trials t ON n.session = t.session JOIN outcomes o ON n.session = o.session",
  );
  assert.deepEqual(entered, [{ author: 'anna', text: 'walks with a limp', trial: 'walk-1', value: 4 }]);
  passed('session: a trial, a mark, a note and an outcome are recorded and found by SQL');
  await look('session');

  await view('Alerts');
  const alarm = await until('the pelvis drops', async () => (await sql("SELECT id FROM alerts WHERE step = 'pelvic_drop' AND state = 'firing' LIMIT 1"))[0]?.id, 60_000);
  assert.ok(alarm);
  await page.getByRole('button', { name: /^Acknowledge/ }).first().click();
  const seen = await until('the acknowledgement is a row', async () => (await sql("SELECT reason FROM alerts WHERE state = 'acknowledged'"))[0]);
  assert.equal(seen.reason, 'anna');
  await page.getByRole('cell', { name: 'acknowledged', exact: true }).first().waitFor();
  passed('alerts: one is acknowledged');
  await look('alerts');

  await view('Report');
  await page.getByRole('heading', { name: 'S-17, walking' }).waitFor();
  await until('the report has enough cycles', async () => {
    await page.getByRole('button', { name: 'Ask again' }).click();
    const told = await page.getByRole('heading', { name: /^Gait, \d+ left/ }).textContent({ timeout: 2000 }).catch(() => '');
    return Number(/\d+/.exec(told)?.[0]) >= 5;
  });
  const [{ mean }] = await sql("SELECT avg(cadence_steps_per_min) AS mean FROM gait WHERE side = 'left'");
  const told = await page.getByRole('row', { name: /^cadence/ }).getByRole('cell').first().textContent();
  assert.ok(Math.abs(Number.parseFloat(told) - mean) < 2, `the report says ${told}, SQL ${mean}`);
  await page.getByRole('row', { name: 'note walks with a limp anna' }).waitFor();
  const printed = await page.pdf({ format: 'A4' });
  const pages = printed.toString('latin1').match(/\/Type\s*\/Page\b/g)?.length ?? 0;
  assert.ok(printed.length > 10_000 && pages >= 1 && pages <= 2, `${printed.length} bytes, ${pages} pages`);
  if (shots) writeFileSync(join(shots, 'report.pdf'), printed);
  passed(`report: gait as SQL says it, prints on ${pages} page${pages === 1 ? '' : 's'}`);
  await look('report');

  await view('SQL');
  const editor = page.getByRole('textbox', { name: 'SQL' });
  await editor.fill('');
  await editor.pressSequentially('SELECT time_ns, gyro_y_r');
  await editor.press('Escape');
  await editor.fill('SELECT time, gyro_y_rad_per_s, accel_z_m_per_s2 FROM im');
  await editor.press('End');
  await editor.pressSequentially('u');
  await editor.pressSequentially(" WHERE sensor = 'pelvis' ORDER BY time_ns DESC LIM");
  await page.getByRole('option', { name: 'LIMIT' }).waitFor();
  await editor.press('Tab');
  await editor.pressSequentially(' 300');
  await editor.press('Control+Enter');
  await page.getByText(/^300 rows in/).waitFor();
  await page.getByRole('button', { name: 'Chart' }).click();
  await page.locator('.u-over').waitFor();
  passed('sql: a statement is completed, asked and drawn');
  await look('sql');
  await editor.fill('SELECT nothing FROM nowhere');
  await page.getByRole('button', { name: 'Run' }).click();
  await page.getByRole('alert').getByText(/nowhere/).waitFor();
  wrong.splice(0, wrong.length, ...wrong.filter((text) => !text.includes('400')));
  await editor.fill('SELECT time, stream FROM alerts');
  await editor.fill('SELECT sensor, sequence FROM imu');
  await page.getByRole('button', { name: 'Follow live' }).click();
  await page.getByText(/rows so far/).waitFor();
  await page.getByRole('button', { name: 'Stop' }).click();
  passed('sql: a mistake is told, rows are followed live');

  await view('Rig');
  const state = (name) => page.locator(`tr[data-sensor="${name}"]`).getAttribute('data-state');
  await until('every IMU streams', async () => (await state('pelvis')) === 'fine' && (await state('muscles')) === 'fine');
  await look('rig');
  process.kill(Number(sensors), 'SIGKILL');
  const killed = Date.now();
  await page.waitForFunction(() => document.querySelector('tr[data-sensor="pelvis"]')?.dataset.state === 'gone');
  const took = Date.now() - killed;
  assert.ok(took < 2000, `a killed sensor is red after ${took} ms`);
  passed(`rig: a killed sensor is red after ${took} ms`);
  if (shots) await page.screenshot({ path: join(shots, 'rig-killed.png') });

  assert.deepEqual(wrong, []);
  passed(`page weight: ${(weight / 1024).toFixed(0)} KiB, packed`);
} catch (error) {
  if (shots) await page.screenshot({ path: join(shots, 'failed.png') }).catch(() => console.error('no picture could be taken'));
  console.error(`what the page said: ${wrong.join('\n') || 'nothing wrong'}`);
  throw error;
} finally {
  await browser.close();
  void work;
}
