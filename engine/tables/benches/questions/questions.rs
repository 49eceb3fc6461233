//! What is asked? Twelve questions of movement research, in proprio's SQL and, where the words differ, in DuckDB's.

/// One question.
pub(crate) struct Question {
    pub(crate) title: &'static str,
    pub(crate) sql: &'static str,
    /// In DuckDB's words, where these are others.
    in_duckdb: Option<&'static str>,
}

impl Question {
    pub(crate) fn duckdb(&self) -> &'static str {
        self.in_duckdb.unwrap_or(self.sql)
    }
}

const fn alike(title: &'static str, sql: &'static str) -> Question {
    Question { title, sql, in_duckdb: None }
}

const fn of_both(title: &'static str, sql: &'static str, duckdb: &'static str) -> Question {
    Question { title, sql, in_duckdb: Some(duckdb) }
}

/// The twelve.
pub(crate) const QUESTIONS: [Question; 12] = [
    alike(
        "how long and how variable are the steps of each subject and side?",
        "SELECT s.subject, c.side, count(*) AS n, avg(c.step_time_s) AS mean_s, stddev_samp(c.step_time_s) AS sd_s
         FROM cycles c JOIN sessions s ON c.session = s.session GROUP BY s.subject, c.side",
    ),
    of_both(
        "how strong was each muscle in each session?",
        "SELECT session, rms(gluteus_medius_left_v) * 1e6 AS l, rms(gluteus_medius_right_v) * 1e6 AS r FROM emg GROUP BY session",
        "SELECT session, sqrt(avg(gluteus_medius_left_v ** 2)) * 1e6 AS l, sqrt(avg(gluteus_medius_right_v ** 2)) * 1e6 AS r
         FROM emg GROUP BY session",
    ),
    of_both(
        "how did the muscle's amplitude go, second by second, in one session?",
        "SELECT time_bucket('1 s', time_ns) / 1000000000 AS s, rms(gluteus_medius_left_v) * 1e6 AS uv FROM emg WHERE session = 's007' GROUP BY s",
        "SELECT time_ns // 1000000000 AS s, sqrt(avg(gluteus_medius_left_v ** 2)) * 1e6 AS uv FROM emg WHERE session = 's007' GROUP BY s",
    ),
    of_both(
        "how strong is the muscle in each quarter of the gait cycle, over all sessions?",
        "SELECT CAST(floor((e.time_ns - c.start_ns) / 275000000.0) AS BIGINT) AS quarter, count(*) AS n, rms(e.gluteus_medius_left_v) * 1e6 AS uv
         FROM emg e ASOF JOIN (SELECT session, start_ns FROM cycles WHERE side = 'left') c MATCH_CONDITION (e.time_ns >= c.start_ns)
           ON e.session = c.session
         WHERE e.time_ns - c.start_ns < 1100000000 GROUP BY quarter",
        "SELECT CAST(floor((e.time_ns - c.start_ns) / 275000000.0) AS BIGINT) AS quarter, count(*) AS n,
           sqrt(avg(e.gluteus_medius_left_v ** 2)) * 1e6 AS uv
         FROM emg e ASOF JOIN (SELECT session, start_ns FROM cycles WHERE side = 'left') c
           ON e.session = c.session AND e.time_ns >= c.start_ns
         WHERE e.time_ns - c.start_ns < 1100000000 GROUP BY quarter",
    ),
    alike(
        "how fast did each segment turn at most, session by session?",
        "SELECT session, sensor, max(abs(gyro_y_rad_per_s)) AS peak FROM imu GROUP BY session, sensor",
    ),
    of_both(
        "how old is the pelvis's sample beside each EMG sample of one session?",
        "SELECT count(i.time_ns) AS n, avg(e.time_ns - i.time_ns) AS age_ns, sum(i.gyro_y_rad_per_s) AS gyro
         FROM emg e ASOF JOIN (SELECT * FROM imu WHERE sensor = 'pelvis') i
           MATCH_CONDITION (e.time_ns >= i.time_ns AND e.time_ns - i.time_ns <= 20000000) ON e.session = i.session
         WHERE e.session = 's042'",
        "SELECT count(i.time_ns) AS n, avg(e.time_ns - i.time_ns) AS age_ns, sum(i.gyro_y_rad_per_s) AS gyro
         FROM (SELECT * FROM emg WHERE session = 's042') e ASOF LEFT JOIN (SELECT * FROM imu WHERE sensor = 'pelvis' AND session = 's042') i
           ON e.session = i.session AND e.time_ns >= i.time_ns WHERE e.time_ns - i.time_ns <= 20000000",
    ),
    of_both(
        "what is the knee's range in each stride of all sessions?",
        "SELECT session, avg(range_deg) AS range_deg, count(*) AS n FROM (
           SELECT a.session, c.start_ns, max(a.knee_left_flexion_deg) - min(a.knee_left_flexion_deg) AS range_deg
           FROM angles a ASOF JOIN (SELECT session, start_ns, time_ns FROM cycles WHERE side = 'left') c
             MATCH_CONDITION (a.time_ns >= c.start_ns) ON a.session = c.session
           WHERE a.time_ns < c.time_ns GROUP BY a.session, c.start_ns) GROUP BY session",
        "SELECT session, avg(range_deg) AS range_deg, count(*) AS n FROM (
           SELECT a.session, c.start_ns, max(a.knee_left_flexion_deg) - min(a.knee_left_flexion_deg) AS range_deg
           FROM angles a ASOF JOIN (SELECT session, start_ns, time_ns FROM cycles WHERE side = 'left') c
             ON a.session = c.session AND a.time_ns >= c.start_ns
           WHERE a.time_ns < c.time_ns GROUP BY a.session, c.start_ns) GROUP BY session",
    ),
    alike(
        "for which share of each session was the knee bent beyond 55 degrees?",
        "SELECT session, avg(CASE WHEN knee_left_flexion_deg > 55 THEN 1.0 ELSE 0.0 END) AS share FROM angles GROUP BY session",
    ),
    of_both(
        "how symmetric are the knees' peaks, session by session?",
        "SELECT session, symmetry_index(max(knee_left_flexion_deg), max(knee_right_flexion_deg)) AS si FROM angles GROUP BY session",
        "SELECT session, (max(knee_right_flexion_deg) - max(knee_left_flexion_deg))
           / (0.5 * (max(knee_right_flexion_deg) + max(knee_left_flexion_deg))) * 100 AS si FROM angles GROUP BY session",
    ),
    of_both(
        "how much did each subject's pelvis turn in each trial?",
        "SELECT s.subject, t.trial, count(*) AS n, avg(abs(i.gyro_y_rad_per_s)) AS turning
         FROM imu i ASOF JOIN trials t MATCH_CONDITION (i.time_ns >= t.time_ns) ON i.session = t.session
         JOIN sessions s ON i.session = s.session WHERE i.sensor = 'pelvis' GROUP BY s.subject, t.trial",
        "SELECT s.subject, t.trial, count(*) AS n, avg(abs(i.gyro_y_rad_per_s)) AS turning
         FROM imu i ASOF LEFT JOIN trials t ON i.session = t.session AND i.time_ns >= t.time_ns
         JOIN sessions s ON i.session = s.session WHERE i.sensor = 'pelvis' GROUP BY s.subject, t.trial",
    ),
    of_both(
        "what is the newest sample of each sensor?",
        "SELECT sensor, sequence, gyro_y_rad_per_s FROM imu_latest",
        "SELECT sensor, arg_max(sequence, time_ns) AS sequence, arg_max(gyro_y_rad_per_s, time_ns) AS gyro FROM imu GROUP BY sensor",
    ),
    alike(
        "where were samples lost?",
        "SELECT session, sensor, count(*) AS gaps FROM (
           SELECT session, sensor, time_ns - lag(time_ns) OVER (PARTITION BY session, sensor ORDER BY time_ns) AS step_ns FROM imu) AS steps
         WHERE step_ns > 15000000 GROUP BY session, sensor",
    ),
];
