// Are statements completed, asked, drawn and followed, and are mistakes told?
import { passed } from './lab.mjs';

export async function statements(lab) {
  const { page } = lab;
  await lab.view('SQL');
  const editor = page.getByRole('textbox', { name: 'SQL' });
  await editor.fill('SELECT time, gyro_y_rad_per_s, accel_z_m_per_s2 FROM im');
  await editor.press('End');
  await editor.pressSequentially("u WHERE sensor = 'pelvis' ORDER BY time_ns DESC LIM");
  await page.getByRole('option', { name: 'LIMIT' }).waitFor();
  await editor.press('Tab');
  await editor.pressSequentially(' 300');
  await editor.press('Control+Enter');
  await page.getByText(/^300 rows in/).waitFor();
  await page.getByRole('button', { name: 'Chart' }).click();
  await page.locator('.u-over').waitFor();
  passed('sql: a statement is completed, asked and drawn');
  await lab.look('sql');
  await editor.fill('SELECT nothing FROM nowhere');
  await page.getByRole('button', { name: 'Run' }).click();
  await page.getByRole('alert').getByText(/nowhere/).waitFor();
  lab.expectRefusal(400);
  await editor.fill('SELECT sensor, sequence FROM imu');
  await page.getByRole('button', { name: 'Follow live' }).click();
  await page.getByText(/rows so far/).waitFor();
  await page.getByRole('button', { name: 'Stop' }).click();
  passed('sql: a mistake is told, rows are followed live');
}
