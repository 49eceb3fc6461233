// The lab that the page is tried in: a browser before a running engine, and the virtual subjects that come to it.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { chromium } from 'playwright-core';

/** How long anything may take that has no limit of its own: the machine may have other things to do. */
export const PATIENCE = 120_000;
const { PROPRIO_HTTP: http, PROPRIO_ENDPOINT: endpoint, PROPRIO: proprio, PROPRIO_SHOTS: shots } = process.env;
const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const CHROMIUM = ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'];

export const passed = (text) => console.log(`console: ${text}`);
export const pause = (ms) => new Promise((done) => setTimeout(done, ms));

/** Waits until a check gives something. */
export async function until(what, check, patience = PATIENCE) {
  const begun = Date.now();
  for (;;) {
    const value = await check();
    if (value) return value;
    assert.ok(Date.now() - begun < patience, `not within ${patience} ms: ${what}`);
    await pause(100);
  }
}

export async function sql(statement) {
  const answer = await fetch(`${http}/v1/sql`, { method: 'POST', headers: { 'content-type': 'application/sql' }, body: statement });
  assert.equal(answer.status, 200, await answer.clone().text());
  return answer.json();
}

export async function status() {
  const answer = await fetch(`${http}/v1/control`, { method: 'POST', headers: { 'content-type': 'application/json' }, body: '{"request":"status"}' });
  assert.equal(answer.status, 200);
  return (await answer.json()).status;
}

/** A virtual subject whose sensors publish until it is sent away. */
export class Subject {
  constructor(name, ...options) {
    const always = ['--connect', endpoint, '--duration', '60 min', '--subject', name, '--placement', '10 deg', '--fault', 'dropout=0%'];
    this.process = spawn(proprio, ['--log', 'warn', 'simulate', ...always, ...options], { stdio: ['ignore', 'ignore', 'inherit'] });
    this.gone = new Promise((done) => this.process.on('exit', done));
    Subject.all.push(this);
  }

  static all = [];

  /** At once, as when the power fails. */
  async leave() {
    this.process.kill('SIGKILL');
    await this.gone;
  }
}

/** The browser's one page, with everything that went wrong in it. */
export class Page {
  wrong = [];

  static async open() {
    const made = new Page();
    made.browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: CHROMIUM, timeout: PATIENCE });
    const context = await made.browser.newContext({ viewport: { width: 1440, height: 900 }, colorScheme: 'dark' });
    const page = await context.newPage();
    page.setDefaultTimeout(PATIENCE);
    page.on('pageerror', (error) => made.wrong.push(`exception: ${error.message}`));
    page.on('console', (message) => message.type() === 'error' && made.wrong.push(`console: ${message.text()}`));
    page.on('request', (request) => {
      if (new URL(request.url()).origin !== http) made.wrong.push(`asked elsewhere: ${request.url()}`);
    });
    made.page = page;
    await page.goto(`${http}/`);
    await page.getByText('connected', { exact: true }).waitFor();
    return made;
  }

  async view(name) {
    await this.page.getByRole('navigation').getByRole('link', { name: new RegExp(`^${name}`) }).click();
    await this.page.waitForFunction((name) => document.title.startsWith(name), name);
  }

  /** What a refusal writes to the browser's console is no mistake of the page's. */
  expectRefusal(status) {
    const at = this.wrong.findIndex((text) => text.includes(String(status)));
    if (at >= 0) this.wrong.splice(at, 1);
  }

  async picture(name) {
    if (!shots) return;
    mkdirSync(shots, { recursive: true });
    await this.page.screenshot({ path: join(shots, `${name}.png`), timeout: PATIENCE });
  }

  /** A picture, and no serious finding of axe, in either theme. */
  async look(name) {
    for (const theme of ['dark', 'light']) {
      const shown = await this.page.evaluate(() => document.documentElement.dataset.theme);
      if (shown !== theme) await this.page.getByRole('button', { name: /^Switch to/ }).click();
      await this.picture(`${name}-${theme}`);
      await this.page.evaluate(axe);
      const { violations } = await this.page.evaluate(() => window.axe.run(document));
      const serious = violations.filter(({ impact }) => impact === 'serious' || impact === 'critical');
      const told = serious.map(({ id, nodes }) => `${id}: ${nodes.slice(0, 3).map((node) => `${node.html} ${node.failureSummary}`).join(' | ')}`);
      assert.deepEqual(told, [], `${name} in ${theme}`);
    }
    await this.page.getByRole('button', { name: /^Switch to/ }).click();
    passed(`${name}: no serious finding of axe, dark or light`);
  }

  /** Bytes that the page itself takes over the wire. */
  weight() {
    return this.page.evaluate(() =>
      [...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource')]
        .filter(({ name }) => !name.includes('/v1/'))
        .reduce((sum, { encodedBodySize }) => sum + encodedBodySize, 0),
    );
  }

  async close() {
    await this.browser.close();
  }
}
