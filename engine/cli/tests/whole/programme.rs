//! Does a programme of weeks go through the engine as real sessions do, and does nothing take effect that nobody approved?

use crate::architecture::root;
use crate::harness::Engine;

/// Parameters of the prescription.
const PARAMETERS: usize = 5;

#[test]
fn two_weeks_of_training_follow_what_is_approved_and_nothing_else() {
    let mut engine = Engine::run(&root().join("pipelines/programme/pipeline.yaml"));
    // Nobody is there to approve in the second week.
    engine.command(&["simulate", "--programme", "2w", "--away", "2", "--layout", "hip-thrust", "--subject", "S-8", "--seed", "3"]);
    let report = std::fs::read_to_string(root().join("pipelines/programme/report.sql")).expect("the report is there");
    let rows = engine.sql(&report);
    let column = |number: usize| rows.iter().map(|row| row[number].as_str()).collect::<Vec<_>>();
    assert_eq!(column(0), ["0", "2", "4", "7", "9", "11"], "{rows:?}");
    assert_eq!(rows[0][1..6], ["0.0", "3.0", "5.0", "2.0", "100.0"], "the clinician's, to begin with");
    let number = |text: &str| text.parse::<f64>().unwrap_or_else(|_| panic!("`{text}` is no number: {rows:?}"));
    for row in &rows {
        let missed = number(&row[3]) - number(&row[7]);
        assert!((0.0..=1.0).contains(&missed), "repetitions are counted, all but one at most: {row:?}");
        assert!((0.0..=10.0).contains(&number(&row[13])), "pain after each session: {row:?}");
    }
    assert_eq!(column(14).iter().filter(|odi| !odi.is_empty()).count(), 2, "the long questionnaire once a week: {rows:?}");

    let last = |scope: &str, column: &str| -> Vec<Vec<Vec<String>>> {
        let found = engine.sql(&format!(
            "SELECT parameter, last_value({column} ORDER BY time_ns) FROM progression WHERE scope = '{scope}' AND parameter <> '' \
             GROUP BY session, parameter ORDER BY min(time_ns), parameter"
        ));
        found.chunks(PARAMETERS).map(<[_]>::to_vec).collect()
    };
    let (in_force, proposed) = (last("in force", "value"), last("proposed", "proposed"));
    assert_eq!((in_force.len(), proposed.len()), (6, 6), "{in_force:?} {proposed:?}");
    assert_eq!(in_force[1..3], proposed[..2], "what is approved is in force in the next session");
    assert_ne!(in_force[2], in_force[0], "and it is another prescription");
    assert_ne!(proposed[2], in_force[2], "more is proposed as the second week begins");
    assert!(in_force[3..].iter().all(|values| *values == in_force[2]), "nobody approves it, so nothing changes: {in_force:?}");

    let said = "SELECT action, count(*) FROM notes WHERE author = 'virtual clinician' GROUP BY action ORDER BY action";
    assert_eq!(engine.sql(said), [["approve", "2"], ["override", "5"]]);
    let obeyed = "SELECT scope, count(*) FROM progression WHERE author = 'virtual clinician' GROUP BY scope ORDER BY scope";
    assert_eq!(engine.sql(obeyed), [["approved", "2"], ["override", "5"]]);
    assert!(rows.iter().all(|row| number(&row[11]) > 0.0), "the low back extends in place of the hips: {rows:?}");
    // Which repetitions are told of follows the share that is in force.
    let told = "SELECT count(*) FILTER (WHERE action = 'refused'), count(*) FILTER (WHERE action = 'cue') FROM hold_feedback \
                WHERE session = (SELECT session FROM hold_feedback ORDER BY time_ns LIMIT 1)";
    assert_eq!(engine.sql(told), [["0", "5"]]);
    let newest = engine.sql("SELECT session FROM progression ORDER BY time_ns DESC LIMIT 1").concat().concat();
    engine.stop();
    engine.done(&["replay", &newest, "--verify"]);
}
