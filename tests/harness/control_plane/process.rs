//! Starts programs that cannot outlive the one who started them.

use std::fs::File;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, Signal};

use super::components::Component;

/// The subcommand of the program `control-plane` that turns it into a component.
const SUBCOMMAND: &str = "component";

/// Starts a component in a process group of its own, with its output in `<logs>/<name>.log`.
///
/// It goes through this program: what a process asks the kernel to do when its parent dies survives `exec`,
/// and asking before that from a forked child would need unsafe code. The kernel's word is about the thread
/// that starts it, so the caller must be a thread that lives as long as the process.
pub fn start(component: &Component, folder: &Path, logs: &Path) -> Result<Child> {
    let log = logs.join(component.name).with_extension("log");
    let log = File::create(&log).with_context(|| format!("failed to create {}", log.display()))?;
    let this = std::env::current_exe().context("failed to find this program")?;
    let mut command = Command::new(this);
    command
        .arg(SUBCOMMAND)
        .arg(std::process::id().to_string())
        .arg(&component.program)
        .args(&component.arguments);
    // Settings of the user, such as a proxy or a configuration in his home folder, must not matter.
    command
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HOME", folder);
    command.current_dir(folder).process_group(0);
    command
        .stdin(Stdio::null())
        .stdout(log.try_clone().context("failed to share a log file")?)
        .stderr(log);
    command
        .spawn()
        .with_context(|| format!("failed to start {}", component.name))
}

/// Becomes the program in `command`, which dies with `parent`, the id of the process that started this one.
///
/// # Errors
/// Returns only if that fails.
pub fn become_component(parent: u32, command: &[String]) -> Result<()> {
    die_with_parent().context("failed to ask for a signal when the parent dies")?;
    // The parent may have died before that.
    let now = rustix::process::getppid().map(|parent| parent.as_raw_nonzero().get().unsigned_abs());
    ensure!(
        now == Some(parent),
        "the process that started this one has ended"
    );
    let (program, arguments) = command.split_first().context("no program is named")?;
    Err(Command::new(program).args(arguments).exec())
        .with_context(|| format!("failed to run {program}"))
}

#[cfg(target_os = "linux")]
fn die_with_parent() -> io::Result<()> {
    Ok(rustix::process::set_parent_process_death_signal(Some(
        Signal::KILL,
    ))?)
}

/// Elsewhere only the end of the supervisor itself by SIGKILL leaves something behind.
#[cfg(not(target_os = "linux"))]
fn die_with_parent() -> io::Result<()> {
    Ok(())
}

/// Ends the process group of a component. One that is gone already is no error.
pub fn kill(group: u32) {
    if let Some(group) = i32::try_from(group).ok().and_then(Pid::from_raw) {
        let _gone = rustix::process::kill_process_group(group, Signal::KILL);
    }
}

/// Ends this process and those that it started in its own group, at once.
pub fn kill_own_group() {
    let _ended = rustix::process::kill_current_process_group(Signal::KILL);
}
