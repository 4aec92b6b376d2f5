//! The process that runs a control plane for another one: it has the programs built, started and ended.
//!
//! It is told what to do on standard input and answers on standard output, one JSON document a line. When
//! standard input closes, because the other process is done or dead, everything ends. `plane` is the other
//! end of the pipes, `run` has the files and processes, `startup` the order in which they start.

use std::io::{self, BufRead, Write};
use std::path::PathBuf;
use std::process::{ExitCode, ExitStatus};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Error, Result, anyhow, bail};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::timeout;

use super::run::Run;
use super::{binaries, process, startup};

/// How long a control plane may take to get ready. It needs three seconds; a machine that builds with all
/// its cores meanwhile can make that many.
const PATIENCE: Duration = Duration::from_secs(180);

/// What the other process asks for.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Request {
    /// The first line: start a control plane whose logs are kept under this name.
    Start { name: String },
    /// There was a failure: keep the logs.
    Keep,
}

/// What the supervisor tells.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reply {
    /// Something that takes long begins.
    Progress(String),
    /// The control plane is ready; its kubeconfig files are in this folder, its logs in the other, and
    /// these are the ids of its processes.
    Ready {
        folder: PathBuf,
        logs: PathBuf,
        processes: Vec<u32>,
    },
    /// It could not be started.
    Failed(String),
}

/// What the supervisor waits for.
pub enum Event {
    Asked(Request),
    /// The other process closed the pipe.
    Closed,
    Exited(&'static str, ExitStatus),
}

/// Serves one control plane, until standard input closes. What goes wrong is told to the other process.
pub fn supervise() -> ExitCode {
    // One thread: what a component is started by must live as long as the process, see `process::start`.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let outcome = runtime
        .context("failed to start a runtime")
        .and_then(|runtime| runtime.block_on(serve()));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tell(&Reply::Failed(format!("{error:#}")));
            ExitCode::FAILURE
        }
    }
}

async fn serve() -> Result<()> {
    let building = Arc::new(AtomicBool::new(true));
    let (sender, mut events) = unbounded_channel();
    let (listener, built) = (sender.clone(), Arc::clone(&building));
    thread::spawn(move || listen(&listener, &built));

    let Some(Event::Asked(Request::Start { name })) = events.recv().await else {
        bail!("nobody asked for a control plane");
    };
    let binaries = binaries::build(|step| tell(&Reply::Progress(step.to_owned())))?;
    building.store(false, Ordering::SeqCst);

    let run = Run::create(name, sender)?;
    let mut keep_logs = false;
    let mut outcome = tokio::select! {
        biased;
        error = broken_off(&run, &mut events) => Err(error),
        started = timeout(PATIENCE, startup::start(&run, &binaries)) => match started {
            Ok(started) => started,
            Err(_) => Err(anyhow!("the control plane was not ready after {} s", PATIENCE.as_secs())),
        },
    };
    if outcome.is_ok() {
        let (folder, logs) = (run.files.folder.clone(), run.files.logs.clone());
        tell(&Reply::Ready {
            folder,
            logs,
            processes: run.processes(),
        });
        keep_logs = wait(&run, &mut events).await;
    }
    keep_logs |= outcome.is_err();
    if let Some(logs) = run.end(&mut events, keep_logs).await {
        outcome =
            outcome.map_err(|error| error.context(format!("the logs are in {}", logs.display())));
    }
    outcome
}

/// Passes on what the other process says, until it closes the pipe.
fn listen(events: &UnboundedSender<Event>, building: &AtomicBool) {
    for line in io::stdin().lock().lines().map_while(Result::ok) {
        if let Ok(request) = serde_json::from_str(&line) {
            let _nobody_listens = events.send(Event::Asked(request));
        }
    }
    if building.load(Ordering::SeqCst) {
        // Nothing runs but the compiler, and the main thread waits for it.
        process::kill_own_group();
    }
    let _nobody_listens = events.send(Event::Closed);
}

fn tell(reply: &Reply) {
    if let Ok(line) = serde_json::to_string(reply) {
        // Nobody may be there any more; that is seen on standard input.
        let _closed = writeln!(io::stdout().lock(), "{line}");
    }
}

/// Ends when the control plane cannot get ready any more, and says why.
async fn broken_off(run: &Run, events: &mut UnboundedReceiver<Event>) -> Error {
    loop {
        match events.recv().await {
            Some(Event::Asked(_)) => {}
            Some(Event::Exited(name, status)) => return run.obituary(name, status),
            Some(Event::Closed) | None => {
                return anyhow!("nobody waits for the control plane any more");
            }
        }
    }
}

/// Waits until the control plane is no longer wanted; true if there was a failure.
async fn wait(run: &Run, events: &mut UnboundedReceiver<Event>) -> bool {
    let mut failed = false;
    loop {
        match events.recv().await {
            Some(Event::Asked(_)) => failed = true,
            Some(Event::Exited(name, status)) => {
                failed = true;
                // The test that needs it will fail, and this tells why.
                let _closed = writeln!(
                    io::stderr(),
                    "control plane: {:#}",
                    run.obituary(name, status)
                );
            }
            Some(Event::Closed) | None => return failed,
        }
    }
}
