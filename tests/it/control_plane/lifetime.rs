//! However a test process ends, nothing of its control plane is left.
//!
//! The processes that end are this test binary again, running one of its tests with `END` set.

use std::env;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use sluice_tests::control_plane::{ControlPlane, Options, User, is_left_out, kept_logs};

/// How the process is to end that a test starts: `return`, `panic` or `wait` (for being killed).
const END: &str = "SLUICE_TEST_END";

/// What that process prints, once it has a control plane: the folder and the process ids.
const MARK: &str = "control plane:";

/// How long the supervisor may take to clean up.
const PATIENCE: Duration = Duration::from_secs(20);

#[tokio::test]
async fn all_tests_of_a_process_share_one_control_plane() -> Result<()> {
    let (first, second) = tokio::try_join!(ControlPlane::shared(), ControlPlane::shared())?;
    let (Some(first), Some(second)) = (first, second) else {
        return Ok(());
    };
    assert_eq!(first.folder(), second.folder());
    if let Ok(end) = env::var(END) {
        let processes: Vec<String> = first.processes().iter().map(u32::to_string).collect();
        // On a line of its own, past the test runner.
        writeln!(
            std::io::stdout(),
            "\n{MARK} {} {}",
            first.folder().display(),
            processes.join(" ")
        )?;
        match end.as_str() {
            "panic" => panic!("as a test told it to"),
            "wait" => sleep(PATIENCE * 2),
            _ => {}
        }
    }
    Ok(())
}

/// Another process of this test binary, with a control plane.
struct Other {
    process: Child,
    /// Kept open: the test runner panics when it cannot print.
    _output: BufReader<ChildStdout>,
    folder: PathBuf,
    processes: Vec<u32>,
}

impl Other {
    fn start(end: &str) -> Result<Self> {
        let mut process = Command::new(env::current_exe()?)
            .args([
                "--exact",
                "control_plane::lifetime::all_tests_of_a_process_share_one_control_plane",
                "--nocapture",
            ])
            .env(END, end)
            .stdout(Stdio::piped())
            // What it says about its panic and its logs would look like a failure of this test.
            .stderr(Stdio::null())
            .spawn()?;
        let mut output =
            BufReader::new(process.stdout.take().context("the process has an output")?);
        let lines = output.by_ref().lines().map_while(Result::ok);
        let line = lines
            .into_iter()
            .find_map(|line| line.strip_prefix(MARK).map(str::to_owned));
        let line = line.context("the process had no control plane")?;
        let mut words = line.split_whitespace();
        let folder = words.next().context("it has a folder")?.into();
        let processes = words.map(str::parse).collect::<Result<Vec<u32>, _>>()?;
        ensure!(
            processes.len() == 6,
            "a supervisor and five components, not {processes:?}"
        );
        Ok(Self {
            process,
            _output: output,
            folder,
            processes,
        })
    }

    fn nothing_is_left(&self) -> Result<()> {
        let start = Instant::now();
        loop {
            let left: Vec<_> = self.processes.iter().filter(|id| is_alive(**id)).collect();
            if left.is_empty() && !self.folder.exists() {
                return Ok(());
            }
            ensure!(
                start.elapsed() < PATIENCE,
                "left: the processes {left:?}, the folder: {}",
                self.folder.exists()
            );
            sleep(Duration::from_millis(50));
        }
    }
}

/// A process that has ended, and that nobody asked how, counts as gone.
fn is_alive(id: u32) -> bool {
    let zombie =
        fs::read_to_string(format!("/proc/{id}/stat")).is_ok_and(|stat| stat.contains(") Z "));
    pid(id).is_some_and(|id| test_kill_process(id).is_ok()) && !zombie
}

fn pid(id: u32) -> Option<Pid> {
    i32::try_from(id).ok().and_then(Pid::from_raw)
}

/// Whether there is nothing to test here: no control plane is wanted, or the user has one.
fn none_of_our_own() -> bool {
    is_left_out() || env::var_os("SLUICE_TEST_KUBECONFIG").is_some()
}

#[test]
fn nothing_is_left_of_a_test_process_that_returned_panicked_or_was_killed() -> Result<()> {
    if none_of_our_own() {
        return Ok(());
    }
    let target = kept_logs("shared");
    for (end, logs) in [("return", false), ("panic", true), ("wait", false)] {
        let _nothing_there = fs::remove_dir_all(&target);
        let mut other = Other::start(end)?;
        if end == "wait" {
            assert!(other.processes.iter().all(|id| is_alive(*id)));
            other.process.kill()?;
        }
        let status = other.process.wait()?;
        assert_eq!(status.success(), end == "return", "{end}: {status}");
        other
            .nothing_is_left()
            .with_context(|| format!("after {end}"))?;
        assert_eq!(
            target.join("kube-apiserver.log").exists(),
            logs,
            "logs are kept after a failure only: {end}"
        );
    }
    let _nothing_there = fs::remove_dir_all(&target);
    Ok(())
}

#[tokio::test]
async fn dropping_a_control_plane_ends_it() -> Result<()> {
    if none_of_our_own() {
        return Ok(());
    }
    let plane = ControlPlane::start(Options {
        name: "dropped".to_owned(),
    })
    .await?;
    let (processes, folder) = (plane.processes(), plane.folder().to_path_buf());
    assert!(plane.kubeconfig(User::Admin).exists());
    assert!(processes.iter().all(|id| is_alive(*id)));
    drop(plane);
    assert!(!processes.iter().any(|id| is_alive(*id)));
    assert!(!folder.exists());
    Ok(())
}

/// Only Linux tells a process that its parent is gone.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn not_even_a_killed_supervisor_leaves_processes() -> Result<()> {
    if none_of_our_own() {
        return Ok(());
    }
    let plane = ControlPlane::start(Options {
        name: "killed".to_owned(),
    })
    .await?;
    let (processes, folder) = (plane.processes(), plane.folder().to_path_buf());
    let supervisor = processes
        .first()
        .copied()
        .and_then(pid)
        .context("there is a supervisor")?;
    kill_process(supervisor, Signal::KILL)?;
    drop(plane);
    let start = Instant::now();
    while processes.iter().any(|id| is_alive(*id)) {
        ensure!(start.elapsed() < PATIENCE, "processes are left");
        sleep(Duration::from_millis(50));
    }
    // Its folder goes when the next one starts.
    assert!(folder.exists());
    drop(
        ControlPlane::start(Options {
            name: "next".to_owned(),
        })
        .await?,
    );
    assert!(!folder.exists());
    Ok(())
}

#[tokio::test]
async fn a_name_that_is_no_folder_is_refused() {
    for name in ["", "../up", "Up", "a b"] {
        let refused = ControlPlane::start(Options {
            name: name.to_owned(),
        })
        .await;
        assert!(
            refused.is_err_and(|error| error.to_string().starts_with("options.name")),
            "{name:?}"
        );
    }
}
