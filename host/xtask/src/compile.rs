//! `cargo build` with our progress instead of cargo's, for builds that a user watches.
//!
//! Tasks for people who work on the code let cargo speak for itself.

use std::{
    collections::BTreeSet,
    io::{BufRead as _, BufReader, Read},
    path::PathBuf,
    process::{Command, Stdio},
    sync::mpsc::{RecvTimeoutError, Sender, channel},
    thread,
    time::Duration,
};

use anyhow::{Context as _, bail};
use serde::Deserialize;

use crate::{
    cargo,
    progress::{Stage, duration},
};

/// How often the clock of the line moves on.
const TICK: Duration = Duration::from_secs(1);

/// What a build made of one target of a package.
#[derive(Debug, Deserialize)]
pub(crate) struct Artifact {
    pub(crate) package_id: String,
    pub(crate) target: Target,
    pub(crate) filenames: Vec<PathBuf>,
}

/// A target of a package.
#[derive(Debug, Deserialize)]
pub(crate) struct Target {
    /// With underscores where the package has hyphens.
    pub(crate) name: String,
}

#[derive(Deserialize)]
#[serde(tag = "reason", rename_all = "kebab-case")]
enum Message {
    CompilerArtifact(Artifact),
    #[serde(other)]
    Other,
}

enum Heard {
    Message(String),
    Note(String),
}

/// Runs `cargo build` with these arguments, and says which artifacts there are then, fresh ones included.
///
/// # Errors
/// When it fails; what the compiler says is printed before.
pub(crate) fn build(
    stage: &mut Stage,
    arguments: &[&str],
    total: usize,
) -> anyhow::Result<Vec<Artifact>> {
    let mut command = cargo::cargo();
    command.arg("build").args(arguments);
    let what = cargo::line(&command);
    command.args(["--message-format", "json-render-diagnostics"]);
    let mut running = command
        .env("CARGO_TERM_COLOR", "never")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("failed to start cargo")?;

    let (sender, heard) = channel();
    let messages = running
        .stdout
        .take()
        .context("cargo has no standard output")?;
    let notes = running
        .stderr
        .take()
        .context("cargo has no standard error")?;
    listen(messages, sender.clone(), Heard::Message);
    listen(notes, sender, Heard::Note);

    let mut artifacts = Vec::new();
    let mut seen = BTreeSet::new();
    let mut said = String::new();
    let mut current = None;
    loop {
        match heard.recv_timeout(TICK) {
            Ok(Heard::Message(text)) => {
                // A plug-in of the user's cargo may print what is no message.
                if let Ok(Message::CompilerArtifact(artifact)) = serde_json::from_str(&text) {
                    seen.insert(artifact.package_id.clone());
                    artifacts.push(artifact);
                }
            }
            Ok(Heard::Note(text)) => match activity(&text) {
                Some(activity) => current = Some(activity),
                None => said = said + &text + "\n",
            },
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
        // Nothing is said about a build that has nothing to do.
        if let Some(current) = &current {
            let elapsed = duration(stage.elapsed());
            let total = total.max(seen.len());
            stage.is_at(&format!(
                "{} of {total} crates · {elapsed} · {current}",
                seen.len()
            ));
        }
    }
    if !running
        .wait()
        .context("failed to wait for cargo")?
        .success()
    {
        eprintln!("{}", said.trim_end());
        bail!("`{what}` failed");
    }
    Ok(artifacts)
}

fn listen(
    stream: impl Read + Send + 'static,
    sender: Sender<Heard>,
    as_heard: fn(String) -> Heard,
) {
    thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            if sender.send(as_heard(line)).is_err() {
                break;
            }
        }
    });
}

/// What cargo is at, from a line of its own; `None` for what the compiler says, and cargo's last words.
fn activity(note: &str) -> Option<String> {
    let (verb, rest) = note.trim_start().split_once(' ')?;
    let first = || {
        rest.split_whitespace()
            .next()
            .unwrap_or_default()
            .to_owned()
    };
    match verb {
        "Compiling" => Some(first()),
        "Downloading" | "Downloaded" | "Updating" => Some("downloading".to_owned()),
        "Blocking" => Some("waiting for another cargo".to_owned()),
        _ => None,
    }
}

/// Waits for a program with our standard streams.
pub(crate) fn run(command: &mut Command) -> anyhow::Result<bool> {
    let status = command
        .status()
        .with_context(|| format!("failed to start {}", cargo::line(command)))?;
    Ok(status.success())
}

#[cfg(test)]
mod tests;
