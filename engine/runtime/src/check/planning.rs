//! Which streams does each step read, and what does its operator say to them?

use std::collections::{BTreeMap, BTreeSet};

use proprio_core::table::system;
use proprio_core::{At, Inputs, Kind, PlanFinding, Planned, Port, Registration, Rig, StreamSchema};

use super::names::{Entry, StepNode};
use super::protocol::Asset;
use crate::diagnostic::Report;
use crate::plan::{PlannedStep, sources};

/// Columns that the store adds to every table.
const STORE_COLUMNS: [&str; 4] = ["time", "rig", "session", "run_id"];

/// A step whose operator is known.
pub(super) struct Resolved {
    pub operator: &'static Registration,
    /// Its `with:` block, in which files' names are replaced by what the files hold.
    pub config: serde_json::Value,
    /// These files.
    pub assets: Vec<Asset>,
    /// Whether `with:` fits the operator's schema.
    pub is_clean: bool,
}

/// Plans steps one after the other.
pub(super) struct Planner<'t, 'r, 's> {
    report: &'r mut Report<'s>,
    /// Every stream known so far: the sensors', then the steps'.
    streams: Vec<(String, StreamSchema)>,
    /// Ids of the steps that are planned; what reads another id can't be.
    done: BTreeSet<&'t str>,
    planned: Vec<PlannedStep>,
}

/// An entry of `from:` with the streams that it matches.
struct Match<'t> {
    entry: Entry<'t>,
    streams: Vec<usize>,
}

/// What a step is planned over once: its key where it is planned several times, and the streams with their entries.
type Group<'t> = (Option<String>, Vec<(usize, Entry<'t>)>);

/// Plans all steps that can be planned, in the order given; a step that fails takes those that read it with it, silently.
pub(super) fn plan<'t>(
    rig: &Rig,
    steps: &[StepNode<'t>],
    resolved: &[Option<Resolved>],
    order: &[usize],
    report: &mut Report<'_>,
) -> Vec<PlannedStep> {
    let mut planner = Planner { report, streams: sources(rig), done: BTreeSet::new(), planned: Vec::new() };
    let ids: BTreeMap<&str, usize> = steps.iter().enumerate().rev().filter_map(|(index, step)| Some((step.id?.0, index))).collect();
    for index in order {
        let step = &steps[*index];
        let matches = planner.matches(step, &ids);
        // Of steps with one id, which is reported elsewhere, the first is planned.
        let Some((id, _)) = step.id.filter(|(id, _)| ids.get(id) == Some(index)) else { continue };
        if let (Some(matches), Some(resolved @ Resolved { is_clean: true, .. })) = (matches, &resolved[*index])
            && planner.plan_step(id, step, resolved, &matches).is_some()
        {
            planner.done.insert(id);
        }
    }
    planner.planned
}

impl<'t> Planner<'t, '_, '_> {
    /// The streams that a step reads; none when an entry is wrong or a step that it names has failed.
    fn matches(&mut self, step: &StepNode<'t>, ids: &BTreeMap<&str, usize>) -> Option<Vec<Match<'t>>> {
        let mut all = Some(Vec::with_capacity(step.from.len()));
        for entry in &step.from {
            let matched = self.match_entry(*entry, ids);
            all = all.zip(matched).map(|(mut all, matched)| {
                all.push(matched);
                all
            });
        }
        let all = all.filter(|matches| !matches.is_empty())?;
        let mut seen = BTreeMap::new();
        let mut is_unique = true;
        for (stream, entry) in all.iter().flat_map(|matched| matched.streams.iter().map(|stream| (*stream, matched.entry))) {
            if let Some(other) = seen.insert(stream, entry) {
                is_unique = false;
                let other: Entry<'_> = other;
                let message = format!("the stream `{}` is read twice: `{}` matches it already", self.streams[stream].0, other.text);
                self.report.error("duplicate-name", entry.span, message).help("name each stream once");
            }
        }
        is_unique.then_some(all)
    }

    fn match_entry(&mut self, entry: Entry<'t>, ids: &BTreeMap<&str, usize>) -> Option<Match<'t>> {
        let (head, tail) = entry.parts();
        if head.contains('*') {
            self.report
                .error("unknown-stream", entry.span, format!("`{}` doesn't say of what", entry.text))
                .help("a pattern is a kind or a step, a slash and the rest: `imu/*`, `orientation/foot_*`");
            return None;
        }
        if ids.contains_key(head) && !self.done.contains(head) {
            return None;
        }
        let is_match = |name: &str| if entry.is_pattern() { matches_pattern(entry.text, name) } else { entry.text == name };
        let streams: Vec<usize> = (0..self.streams.len()).filter(|index| is_match(&self.streams[*index].0)).collect();
        if streams.is_empty() {
            self.say_no_match(entry, head, tail, ids);
            return None;
        }
        Some(Match { entry, streams })
    }

    fn say_no_match(&mut self, entry: Entry<'t>, head: &str, tail: Option<&str>, ids: &BTreeMap<&str, usize>) {
        let of_head: Vec<&str> = self.streams.iter().map(|(name, _)| name.as_str()).filter(|name| belongs(name, head)).collect();
        let of_head: Vec<String> = of_head.into_iter().map(str::to_owned).collect();
        let is_kind = Kind::ALL.iter().any(|kind| kind.name() == head);
        if entry.is_pattern() {
            let message = format!("the pattern `{}` matches no stream", entry.text);
            let finding = self.report.error("no-match", entry.span, message);
            match of_head.as_slice() {
                [only] if only == head => finding.help(format!("`{head}` is one stream: write `from: {head}`")),
                [] if is_kind => finding.help(format!("the rig has no sensor of kind `{head}`")),
                _ => finding
                    .help_names(entry.text, of_head.iter().map(String::as_str).chain(self.streams.iter().map(|(name, _)| name.as_str()))),
            }
            return;
        }
        let message = format!("there is no stream `{}`", entry.text);
        let finding = self.report.error("unknown-stream", entry.span, message);
        match (tail, of_head.as_slice()) {
            (None, [only]) => finding.help(format!("write `{only}`")),
            (None, [_, ..]) => finding.help(format!("write `{head}/*` for all of them, or one: {}", quoted(&of_head))),
            (Some(_), [only]) if only == head => finding.help(format!("`{head}` is one stream: write `from: {head}`")),
            (Some(_), [_, ..]) => finding.help_names(entry.text, of_head.iter().map(String::as_str)),
            (_, []) if is_kind => finding.help(format!("the rig has no sensor of kind `{head}`")),
            (_, []) => {
                let kinds = self.streams.iter().map(|(name, _)| name.as_str());
                finding.help_names(entry.text, kinds.chain(ids.keys().copied()));
            }
        }
    }

    /// Plans a step, once for all its streams or once for each; none when one of them fails.
    fn plan_step(&mut self, id: &'t str, step: &StepNode<'t>, resolved: &Resolved, matches: &[Match<'t>]) -> Option<()> {
        let reads: Vec<(usize, Entry<'t>)> =
            matches.iter().flat_map(|matched| matched.streams.iter().map(|stream| (*stream, matched.entry))).collect();
        let groups: Vec<Group<'t>> = match resolved.operator.inputs {
            Inputs::Many => vec![(None, reads)],
            Inputs::One if step.is_plain => vec![(None, reads)],
            Inputs::One => self.keyed(step, reads)?,
        };
        let first = self.planned.len();
        let mut is_whole = true;
        for (key, reads) in groups {
            match self.plan_group(id, step, resolved, key, &reads) {
                Some(planned) => self.planned.push(planned),
                None => is_whole = false,
            }
        }
        if !is_whole {
            self.planned.truncate(first);
            return None;
        }
        self.streams.extend(self.planned[first..].iter().map(|planned| (planned.stream.clone(), planned.planned.output.clone())));
        Some(())
    }

    /// One group a stream, keyed by the stream's part after the slash, which must differ.
    fn keyed(&mut self, step: &StepNode<'t>, reads: Vec<(usize, Entry<'t>)>) -> Option<Vec<Group<'t>>> {
        let mut seen: BTreeMap<String, usize> = BTreeMap::new();
        let mut groups = Vec::with_capacity(reads.len());
        for (stream, entry) in reads {
            let name = &self.streams[stream].0;
            let key = name.rsplit_once('/').map_or(name.as_str(), |(_, key)| key).to_owned();
            if let Some(other) = seen.insert(key.clone(), stream) {
                let id = step.id.map_or("step", |(id, _)| id);
                let message = format!("`{}` and `{name}` would both become `{id}/{key}`", self.streams[other].0);
                self.report.error("duplicate-name", entry.span, message).help("read them in two steps");
                return None;
            }
            groups.push((Some(key), vec![(stream, entry)]));
        }
        Some(groups)
    }

    fn plan_group(
        &mut self,
        id: &str,
        step: &StepNode<'t>,
        resolved: &Resolved,
        key: Option<String>,
        reads: &[(usize, Entry<'t>)],
    ) -> Option<PlannedStep> {
        let port = |(stream, _): &(usize, Entry<'t>)| {
            let (stream, schema) = &self.streams[*stream];
            Port { stream: stream.clone(), schema: schema.clone() }
        };
        let ports: Vec<Port> = reads.iter().map(port).collect();
        let Resolved { operator, config, .. } = resolved;
        let planned = match (operator.plan)(config.clone(), &ports) {
            Ok(planned) => planned,
            Err(findings) => {
                findings.iter().for_each(|finding| self.say_finding(step, reads, finding, &ports));
                if findings.is_empty() {
                    self.report.error("plan", step.span(), format!("`{}` can't be planned", operator.name));
                }
                return None;
            }
        };
        if !self.check_output(step, &planned) {
            return None;
        }
        let stream = key.as_ref().map_or_else(|| id.to_owned(), |key| format!("{id}/{key}"));
        let table = if planned.is_alert { system::ALERTS.to_owned() } else { id.to_owned() };
        let inputs = reads.iter().map(|(stream, _)| *stream).collect();
        Some(PlannedStep { id: id.to_owned(), op: operator.name, stream, key, config: config.clone(), inputs, planned, table: Some(table) })
    }

    /// An operator's finding, at the place in the file that it means; what was said of another stream of the same step
    /// already is not said again, but names the stream too.
    fn say_finding(&mut self, step: &StepNode<'t>, reads: &[(usize, Entry<'t>)], finding: &PlanFinding, ports: &[Port]) {
        let operator = step.op.map_or_else(|| step.span(), |(_, span)| span);
        let span = match &finding.at {
            At::Config(pointer) => step.with.map_or(operator, |with| with.span_at(pointer)),
            At::Input(port) => reads.get(*port).map_or(operator, |(_, entry)| entry.span),
            At::Step => step.span(),
        };
        let said = self.report.found.iter_mut().filter(|said| said.code == "plan" && (said.line, said.column) == (span.line, span.column));
        if let ([port], Some(said)) = (ports, said.into_iter().find(|said| is_likewise(&said.message, &finding.message, ports))) {
            said.message = match said.message.strip_suffix(')') {
                Some(begun) if begun.contains(LIKEWISE) => format!("{begun}, `{}`)", port.stream),
                _ => format!("{}{LIKEWISE}`{}`)", said.message, port.stream),
            };
            return;
        }
        self.report.error("plan", span, finding.message.clone()).help.clone_from(&finding.help);
    }

    /// Whether a step's columns can be a table's: distinct, and none that the store adds.
    fn check_output(&mut self, step: &StepNode<'t>, planned: &Planned) -> bool {
        let mut seen = BTreeSet::new();
        for field in planned.output.columns.fields() {
            let name = field.name().as_str();
            if STORE_COLUMNS.contains(&name) || !seen.insert(name) {
                let message = format!("the step would give two columns `{name}`");
                self.report.error("table", step.span(), message).help("rename what it reads, or read it in two steps");
                return false;
            }
        }
        true
    }
}

/// What joins the streams of which one thing is said.
const LIKEWISE: &str = " (likewise for ";

/// Whether two messages differ in the stream's name alone.
fn is_likewise(said: &str, message: &str, ports: &[Port]) -> bool {
    let said = said.split(LIKEWISE).next().unwrap_or(said);
    let Some(port) = ports.first() else { return false };
    match message.split_once(&port.stream) {
        Some((before, after)) => said.len() >= before.len() + after.len() && said.starts_with(before) && said.ends_with(after),
        None => said == message,
    }
}

/// Whether a stream is `head` itself or one of `head/…`.
fn belongs(stream: &str, head: &str) -> bool {
    stream.strip_prefix(head).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn quoted(names: &[String]) -> String {
    const LISTED: usize = 8;
    let mut listed: Vec<String> = names.iter().take(LISTED).map(|name| format!("`{name}`")).collect();
    if names.len() > LISTED {
        listed.push("…".to_owned());
    }
    listed.join(", ")
}

/// Whether a name fits a pattern in which `*` stands for any letters within one part.
pub(super) fn matches_pattern(pattern: &str, name: &str) -> bool {
    let (patterns, names): (Vec<_>, Vec<_>) = (pattern.split('/').collect(), name.split('/').collect());
    patterns.len() == names.len() && patterns.iter().zip(names).all(|(pattern, name)| matches_part(pattern, name))
}

fn matches_part(pattern: &str, name: &str) -> bool {
    let Some((head, rest)) = pattern.split_once('*') else { return pattern == name };
    let Some(mut name) = name.strip_prefix(head) else { return false };
    let mut parts: Vec<&str> = rest.split('*').collect();
    let last = parts.pop().unwrap_or("");
    for part in parts {
        match name.find(part) {
            Some(at) => name = &name[at + part.len()..],
            None => return false,
        }
    }
    name.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::matches_pattern;

    #[test]
    fn a_star_stands_for_letters_within_one_part() {
        for (pattern, name, fits) in [
            ("imu/*", "imu/pelvis", true),
            ("imu/*", "emg/pelvis", false),
            ("imu/*", "imu", false),
            ("imu/foot_*", "imu/foot_left", true),
            ("imu/*_left", "imu/foot_left", true),
            ("imu/*o*t*", "imu/foot_left", true),
            ("imu/a*a", "imu/a", false),
            ("imu/*", "imu/a/b", false),
        ] {
            assert_eq!(matches_pattern(pattern, name), fits, "{pattern} on {name}");
        }
    }
}
