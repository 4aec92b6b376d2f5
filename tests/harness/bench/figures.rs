//! What was measured of one controller, and the table of two.

use crate::requests::{Counts, Kind};

/// What was measured.
#[derive(Clone, Debug, Default)]
pub struct Figures {
    pub empty_mib: f64,
    pub idle_mib: f64,
    pub idle_cpu_ms: f64,
    pub creation_peak_mib: f64,
    pub creation_cpu_ms: f64,
    pub latency_p50_ms: f64,
    pub latency_p99_ms: f64,
    pub burst_seconds: f64,
    pub burst_peak_mib: f64,
    pub burst_cpu_ms: f64,
    /// Requests of the burst, all together.
    pub burst: Counts,
    /// Rollouts in the burst.
    pub burst_size: usize,
    pub after_mib: f64,
    pub restart_ms: f64,
    pub restart_peak_mib: f64,
    pub restart_mib: f64,
}

impl Figures {
    fn requests(&self, wanted: impl Fn(Kind) -> bool) -> f64 {
        let counts = self.burst.iter().filter(|(kind, _)| wanted(**kind));
        let total: u64 = counts.map(|(_, count)| *count).sum();
        total as f64 / self.burst_size.max(1) as f64
    }
}

/// A line of the table: what, how many decimals, the value, and the ratio to upstream's that is aimed at.
struct Row {
    label: &'static str,
    decimals: usize,
    value: fn(&Figures) -> f64,
    aim: Option<f64>,
}

const MEMORY: Option<f64> = Some(0.2);
const CPU: Option<f64> = Some(0.2);
const WRITES: Option<f64> = Some(0.5);
const LATENCY: Option<f64> = Some(0.33);
const RESTART: Option<f64> = Some(0.1);

const fn row(
    label: &'static str,
    decimals: usize,
    value: fn(&Figures) -> f64,
    aim: Option<f64>,
) -> Row {
    Row {
        label,
        decimals,
        value,
        aim,
    }
}

const ROWS: &[Row] = &[
    row("memory, nothing there, MiB", 1, |of| of.empty_mib, MEMORY),
    row(
        "memory, all created, peak, MiB",
        1,
        |of| of.creation_peak_mib,
        MEMORY,
    ),
    row("memory, all idle, MiB", 1, |of| of.idle_mib, MEMORY),
    row(
        "memory, all updated at once, peak, MiB",
        1,
        |of| of.burst_peak_mib,
        MEMORY,
    ),
    row("memory, after that, MiB", 1, |of| of.after_mib, MEMORY),
    row(
        "memory, restarted, peak while listing, MiB",
        1,
        |of| of.restart_peak_mib,
        MEMORY,
    ),
    row(
        "memory, restarted, idle, MiB",
        1,
        |of| of.restart_mib,
        MEMORY,
    ),
    row(
        "CPU per Rollout created, ms",
        2,
        |of| of.creation_cpu_ms,
        CPU,
    ),
    row("CPU per update, ms", 2, |of| of.burst_cpu_ms, CPU),
    row("CPU per second idle, ms", 2, |of| of.idle_cpu_ms, CPU),
    row(
        "change to new ReplicaSet, p50, ms",
        1,
        |of| of.latency_p50_ms,
        LATENCY,
    ),
    row(
        "change to new ReplicaSet, p99, ms",
        1,
        |of| of.latency_p99_ms,
        LATENCY,
    ),
    row(
        "start to first new ReplicaSet, ms",
        0,
        |of| of.restart_ms,
        RESTART,
    ),
    row(
        "all updated, s (2 of them are pauses)",
        1,
        |of| of.burst_seconds,
        None,
    ),
    row(
        "writes per update, without events",
        1,
        |of| of.requests(Kind::is_write),
        WRITES,
    ),
    row(
        "  status",
        1,
        |of| of.requests(|kind| kind == Kind::Status),
        None,
    ),
    row(
        "  Rollout",
        1,
        |of| of.requests(|kind| kind == Kind::Rollout),
        None,
    ),
    row(
        "  ReplicaSets",
        1,
        |of| of.requests(|kind| kind == Kind::ReplicaSet),
        None,
    ),
    row(
        "  Services",
        1,
        |of| of.requests(|kind| kind == Kind::Service),
        None,
    ),
    row(
        "  router objects",
        1,
        |of| of.requests(|kind| kind == Kind::Router),
        None,
    ),
    row(
        "  others",
        1,
        |of| of.requests(|kind| kind == Kind::OtherWrite),
        None,
    ),
    row(
        "events per update",
        1,
        |of| of.requests(|kind| kind == Kind::Event),
        None,
    ),
    row(
        "dry runs per update",
        1,
        |of| of.requests(|kind| kind == Kind::DryRun),
        None,
    ),
    row(
        "reads per update",
        1,
        |of| of.requests(|kind| kind == Kind::Read),
        None,
    ),
    row("requests per update", 1, |of| of.requests(|_| true), None),
];

/// The figures of both, their ratio, and the aim beside it.
pub fn table(heading: &str, theirs: Option<&Figures>, ours: &Figures) -> String {
    let lines = ROWS.iter().map(|row| Line {
        label: row.label.to_owned(),
        decimals: row.decimals,
        theirs: theirs.map(row.value),
        ours: (row.value)(ours),
        aim: row.aim,
    });
    render(heading, &lines.collect::<Vec<_>>())
}

/// A line as it is printed.
pub struct Line {
    pub label: String,
    pub decimals: usize,
    pub theirs: Option<f64>,
    pub ours: f64,
    pub aim: Option<f64>,
}

/// Lines below their heading.
pub fn render(heading: &str, lines: &[Line]) -> String {
    let mut text = format!(
        "{heading:<46} {:>13} {:>9} {:>7} {:>6}\n",
        "Argo Rollouts", "Sluice", "ratio", "aim"
    );
    for line in lines {
        let decimals = line.decimals;
        let theirs = line
            .theirs
            .map_or_else(|| "–".to_owned(), |value| format!("{value:.decimals$}"));
        let ratio = line
            .theirs
            .filter(|value| *value > 0.0)
            .map(|value| line.ours / value);
        let shown = ratio.map_or_else(String::new, |ratio| format!("{ratio:.3}"));
        let aim = line.aim.map_or_else(String::new, |aim| format!("{aim:.2}"));
        let missed = matches!((ratio, line.aim), (Some(ratio), Some(aim)) if ratio > aim);
        let row = format!(
            "{:<46} {theirs:>13} {:>9.decimals$} {shown:>7} {aim:>6} {}",
            line.label,
            line.ours,
            if missed { "missed" } else { "" }
        );
        text.push_str(row.trim_end());
        text.push('\n');
    }
    text
}
