//! Makes the configuration of kwok out of `tests/control-plane/stages.yaml` and `next-event.jq`.

use std::fs;

use anyhow::{Context, Result, ensure};

use super::folders;

/// Where the stages want the jq program that says what happens next to a pod.
const PLACE: &str = "$(NEXT_EVENT)";

/// The stages with the jq program in place.
pub fn configuration() -> Result<String> {
    let folder = folders::workspace().join("tests/control-plane");
    let read = |name: &str| {
        let path = folder.join(name);
        fs::read_to_string(&path).with_context(|| format!("failed to read {}", path.display()))
    };
    insert(&read("stages.yaml")?, &read("next-event.jq")?)
}

/// Puts the program, on one line, in its places, which stand in single quotes.
pub(super) fn insert(stages: &str, program: &str) -> Result<String> {
    let lines = program
        .lines()
        .map(str::trim)
        .filter(|line| !line.starts_with('#'));
    let program = lines.collect::<Vec<_>>().join(" ");
    ensure!(
        !program.contains('\''),
        "a single quote in next-event.jq would end the text in stages.yaml"
    );
    ensure!(stages.contains(PLACE), "stages.yaml has no place {PLACE}");
    Ok(stages.replace(PLACE, program.trim()))
}
