//! Logs on standard error, as text or as JSON (upstream's `--loglevel` and `--logformat`).

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;

/// How logs are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// One line for people.
    Text,
    /// One JSON object a line.
    Json,
}

/// From which severity on. Names of upstream's that tracing has not stand for the nearest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Level {
    /// Everything.
    Trace,
    /// What a pass did and why.
    Debug,
    /// What happens to the process.
    Info,
    /// What somebody should look at.
    #[value(alias = "warning")]
    Warn,
    /// What does not work.
    #[value(aliases = ["fatal", "panic"])]
    Error,
}

impl Level {
    fn name(self) -> &'static str {
        match self {
            Self::Trace => "trace",
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
        }
    }
}

/// Begins to log. `SLUICE_LOG` overrides the level, in the syntax of tracing's filters.
pub(crate) fn start(level: Level, format: Format) {
    let level = level.name();
    let filter = EnvFilter::try_from_env("SLUICE_LOG")
        .or_else(|_| EnvFilter::try_new(format!("warn,sluice={level},{}", ours(level))))
        .unwrap_or_else(|_| EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    match format {
        Format::Text => builder.init(),
        Format::Json => builder.json().init(),
    }
}

/// The level for every crate of this repository; others stay at `warn`.
fn ours(level: &str) -> String {
    [
        "api",
        "engine",
        "plugin_host",
        "cluster",
        "simulation",
        "controller",
    ]
    .map(|name| format!("sluice_{name}={level}"))
    .join(",")
}
