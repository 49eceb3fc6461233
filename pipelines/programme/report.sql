WITH prescribed AS (
  -- Eight weeks at a glance: a row a session, with what was prescribed, how it went, what was proposed, and what the patient answered.
  SELECT session, min(time_ns) AS began_ns,
    max(value) FILTER (WHERE parameter = 'load_kg') AS load_kg,
    max(value) FILTER (WHERE parameter = 'hold_s') AS hold_s,
    max(value) FILTER (WHERE parameter = 'repetitions') AS repetitions,
    max(value) FILTER (WHERE parameter = 'eccentric_s') AS eccentric_s,
    max(value) FILTER (WHERE parameter = 'feedback_percent') AS feedback_percent
  FROM progression WHERE scope = 'in force' GROUP BY session
), judged AS (
  SELECT session, max(trials) AS trials, last_value(good_percent ORDER BY time_ns) AS good_percent,
    last_value(verdict ORDER BY time_ns) AS proposed
  FROM progression WHERE scope = 'proposed' AND parameter = '' GROUP BY session
), approved AS (
  SELECT session, max(author) AS approved_by FROM progression WHERE scope = 'approved' GROUP BY session
), moved AS (
  SELECT session, avg(hold_s) AS held_s, avg(lumbar_extension_peak_deg) AS lumbar_extension_deg
  FROM repetitions WHERE kind = 'repetition' AND is_counted GROUP BY session
), late AS (
  SELECT o.session, (avg(o.time_ns - r.start_ns) FILTER (WHERE o.muscle = 'gluteus_maximus_left')
    - avg(o.time_ns - r.start_ns) FILTER (WHERE o.muscle = 'gluteus_maximus_right')) / 1e6 AS gluteus_maximus_delay_ms
  FROM onsets o JOIN repetitions r ON o.session = r.session AND abs(o.time_ns - r.start_ns) < 600000000
  WHERE o.event = 'onset' GROUP BY o.session
), told AS (
  SELECT session, 100.0 * count(*) FILTER (WHERE action = 'cue') / count(*) AS cues_percent FROM hold_feedback GROUP BY session
), answered AS (
  SELECT session, max(value) FILTER (WHERE instrument = 'pain_nrs') AS pain_nrs, max(value) FILTER (WHERE instrument = 'odi') AS odi_percent
  FROM outcomes GROUP BY session
)
SELECT (p.began_ns - min(p.began_ns) OVER ()) / 86400000000000 AS day,
  p.load_kg, p.hold_s, p.repetitions, p.eccentric_s, p.feedback_percent, a.approved_by,
  j.trials, round(j.good_percent) AS good_percent, round(m.held_s, 1) AS held_s, round(t.cues_percent) AS cues_percent,
  round(m.lumbar_extension_deg, 1) AS lumbar_extension_deg, round(l.gluteus_maximus_delay_ms) AS gluteus_maximus_delay_ms,
  o.pain_nrs, o.odi_percent, j.proposed
FROM prescribed p
LEFT JOIN judged j ON j.session = p.session LEFT JOIN approved a ON a.session = p.session LEFT JOIN moved m ON m.session = p.session
LEFT JOIN late l ON l.session = p.session LEFT JOIN told t ON t.session = p.session LEFT JOIN answered o ON o.session = p.session
ORDER BY day
