//! The files and processes of one control plane, inside its supervisor.

use std::collections::BTreeMap;
use std::env;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Error, Result, anyhow};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};
use tokio::time::timeout;

use super::components::{Component, Files};
use super::supervisor::Event;
use super::{folders, process};

/// The longest path of a socket that every system accepts, less what etcd appends.
const LONGEST_SOCKET: usize = 90;

/// How many of the last lines of a component's log are part of an error.
const LINES_OF_LOG: usize = 12;

/// How long killed processes may take to be gone.
const BURIAL: Duration = Duration::from_secs(10);

/// A control plane's folder, its lock, and the processes that run.
pub struct Run {
    name: String,
    pub files: Files,
    /// Held as long as the folder is in use, see [`sweep`].
    _lock: File,
    running: Mutex<BTreeMap<&'static str, u32>>,
    events: UnboundedSender<Event>,
}

impl Run {
    /// Makes the folder, after removing those that dead supervisors left.
    pub fn create(name: String, events: UnboundedSender<Event>) -> Result<Self> {
        let runs = folders::runs();
        sweep(&runs);
        let folder = runs.join(format!("{name}-{}", std::process::id()));
        let logs = folder.join("logs");
        fs::create_dir_all(&logs)
            .with_context(|| format!("failed to create {}", logs.display()))?;
        let lock = File::create(lock_of(&folder)).context("failed to create the lock of a run")?;
        lock.lock().context("failed to lock a run")?;
        let mut socket = folder.join("etcd.sock");
        if socket.as_os_str().len() > LONGEST_SOCKET {
            socket = env::temp_dir().join(format!("sluice-etcd-{}.sock", std::process::id()));
        }
        let files = Files {
            folder,
            logs,
            socket,
        };
        Ok(Self {
            name,
            files,
            _lock: lock,
            running: Mutex::default(),
            events,
        })
    }

    /// Starts a component; its end will be an event.
    pub fn start(&self, component: &Component) -> Result<()> {
        let mut child = process::start(component, &self.files.folder, &self.files.logs)?;
        let name = component.name;
        self.running
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(name, child.id());
        let events = self.events.clone();
        thread::spawn(move || {
            if let Ok(status) = child.wait() {
                let _nobody_listens = events.send(Event::Exited(name, status));
            }
        });
        Ok(())
    }

    /// The ids of the components that run.
    pub fn processes(&self) -> Vec<u32> {
        self.running
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .values()
            .copied()
            .collect()
    }

    /// Notes that a component has ended, and says so with the last lines of its log.
    pub fn obituary(&self, name: &'static str, status: ExitStatus) -> Error {
        self.running
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(name);
        let log = fs::read(self.files.logs.join(name).with_extension("log")).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let lines: Vec<&str> = log.lines().collect();
        let last = lines
            .get(lines.len().saturating_sub(LINES_OF_LOG)..)
            .unwrap_or_default();
        anyhow!(
            "{name} ended ({status}); the last lines of its log:\n{}",
            last.join("\n")
        )
    }

    /// Ends all processes and removes all files, but the logs if they are wanted: then it says where they are.
    pub async fn end(
        self,
        events: &mut UnboundedReceiver<Event>,
        keep_logs: bool,
    ) -> Option<PathBuf> {
        let mut running = self
            .running
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner);
        for group in running.values() {
            process::kill(*group);
        }
        // Files are removed when nobody writes them any more.
        let _patience_ended = timeout(BURIAL, async {
            while !running.is_empty() {
                match events.recv().await {
                    Some(Event::Exited(name, _)) => drop(running.remove(name)),
                    Some(Event::Asked(_) | Event::Closed) => {}
                    None => break,
                }
            }
        })
        .await;
        let mut kept = None;
        if keep_logs {
            let place = folders::kept_logs(&self.name);
            let _nothing_there = fs::remove_dir_all(&place);
            let moved = place
                .parent()
                .map_or(Ok(()), fs::create_dir_all)
                .and_then(|()| fs::rename(&self.files.logs, &place));
            kept = moved.is_ok().then_some(place);
        }
        remove(&self.files.folder);
        let _gone = fs::remove_file(&self.files.socket);
        kept
    }
}

/// The lock is beside the folder, so that it can be held while the folder goes.
fn lock_of(folder: &Path) -> PathBuf {
    folder.with_extension("lock")
}

/// What cannot be removed now is removed by the next sweep.
fn remove(folder: &Path) {
    let _swept_later = fs::remove_dir_all(folder);
    let _swept_later = fs::remove_file(lock_of(folder));
}

/// Removes the folders of supervisors that were killed: their locks are free.
fn sweep(runs: &Path) {
    let Ok(entries) = fs::read_dir(runs) else {
        return;
    };
    for lock in entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|end| end == "lock"))
    {
        if File::open(&lock).is_ok_and(|file| file.try_lock().is_ok()) {
            remove(&lock.with_extension(""));
        }
    }
}
