//! A test's hold on a control plane: its own, run by the supervisor, or a cluster that the user names.

use std::env;
use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use anyhow::{Context, Result, bail, ensure};
use kube::Client;
use kube::config::Kubeconfig;

use super::credentials::{User, write_private};
use super::supervisor::{Reply, Request};
use super::{folders, startup};

/// Names the kubeconfig of a cluster to use instead of starting one.
const BORROWED: &str = "SLUICE_TEST_KUBECONFIG";

/// The program that supervises.
const PROGRAM: &str = "control-plane";

/// How often another port is tried when another process was faster.
const ATTEMPTS: usize = 3;

/// What a control plane is started with.
#[derive(Debug, Clone)]
pub struct Options {
    /// After a failure the logs are in `target/control-plane/logs/<name>`. Lower-case letters, digits and
    /// dashes.
    pub name: String,
}

/// A control plane that runs. Dropping it ends it.
#[derive(Debug)]
pub struct ControlPlane {
    /// Where the kubeconfig files of the users are.
    folder: PathBuf,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Own(Own),
    /// Of the user, by its kubeconfig. Pods there are real, or played by what the user chose.
    Borrowed(PathBuf),
}

#[derive(Debug)]
struct Own {
    supervisor: Child,
    /// Open as long as the control plane is wanted.
    requests: Mutex<Option<ChildStdin>>,
    components: Vec<u32>,
    logs: PathBuf,
    kept_logs: PathBuf,
    logs_wanted: AtomicBool,
}

impl ControlPlane {
    /// Starts a control plane, building its programs if need be, and waits until pods would get ready.
    ///
    /// With `SLUICE_TEST_KUBECONFIG` in the environment nothing is started, and that cluster is used.
    ///
    /// # Errors
    /// If the programs cannot be built or one of them does not come up; the message has the end of its log.
    pub async fn start(options: Options) -> Result<Self> {
        // Not bound to the runtime of the test that happens to be first.
        tokio::task::spawn_blocking(move || launch(&options))
            .await
            .context("starting the control plane panicked")?
    }

    /// The kubeconfig file of a user.
    #[must_use]
    pub fn kubeconfig(&self, user: User) -> PathBuf {
        match &self.kind {
            Kind::Borrowed(kubeconfig) if user != User::Controller => kubeconfig.clone(),
            Kind::Own(_) | Kind::Borrowed(_) => user.kubeconfig(&self.folder),
        }
    }

    /// A new client of a user. It belongs to the runtime that it is made in.
    ///
    /// # Errors
    /// If the kubeconfig cannot be used.
    pub async fn client(&self, user: User) -> Result<Client> {
        startup::client(&self.kubeconfig(user)).await
    }

    /// Whether the annotations `simulation.sluice.dev/…` steer the pods: not in a cluster of the user.
    #[must_use]
    pub fn plays_pods(&self) -> bool {
        matches!(self.kind, Kind::Own(_))
    }

    /// Where the components write while they run; none for a cluster of the user.
    #[must_use]
    pub fn logs(&self) -> Option<&Path> {
        match &self.kind {
            Kind::Own(own) => Some(&own.logs),
            Kind::Borrowed(_) => None,
        }
    }

    /// The folder of the kubeconfig files, which goes when the control plane ends.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Has the logs kept when the control plane ends, and prints where they will be.
    pub fn keep_logs(&self) {
        if let Kind::Own(own) = &self.kind {
            if own.logs_wanted.swap(true, Ordering::SeqCst) {
                return;
            }
            let mut requests = own.requests.lock().unwrap_or_else(PoisonError::into_inner);
            if requests
                .as_mut()
                .is_some_and(|pipe| ask(pipe, &Request::Keep).is_ok())
            {
                say(&format!(
                    "the logs of the control plane will be in {}",
                    own.kept_logs.display()
                ));
            }
        }
    }

    /// The ids of all its processes, the supervisor first; none for a cluster of the user.
    #[must_use]
    pub fn processes(&self) -> Vec<u32> {
        match &self.kind {
            Kind::Own(own) => [own.supervisor.id()]
                .into_iter()
                .chain(own.components.iter().copied())
                .collect(),
            Kind::Borrowed(_) => Vec::new(),
        }
    }
}

impl Drop for ControlPlane {
    fn drop(&mut self) {
        if thread::panicking() {
            self.keep_logs();
        }
        if let Kind::Own(own) = &mut self.kind {
            // The supervisor sees the end of its input, ends the components, and then itself.
            *own.requests.lock().unwrap_or_else(PoisonError::into_inner) = None;
            let _already_gone = own.supervisor.wait();
        }
    }
}

/// Prints a line past the test runner, which holds back what a test prints until it fails.
pub(super) fn say(line: &str) {
    let _nobody_reads = writeln!(io::stderr(), "{line}");
}

fn launch(options: &Options) -> Result<ControlPlane> {
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    ensure!(
        !options.name.is_empty() && options.name.bytes().all(fits),
        "options.name: {:?} is not a name for logs",
        options.name
    );
    if let Some(kubeconfig) = env::var_os(BORROWED) {
        return borrow(PathBuf::from(kubeconfig));
    }
    let mut attempts = 1;
    loop {
        match launch_own(options) {
            Err(error)
                if attempts < ATTEMPTS
                    && format!("{error:#}").contains("address already in use") =>
            {
                attempts += 1
            }
            outcome => return outcome,
        }
    }
}

fn launch_own(options: &Options) -> Result<ControlPlane> {
    let mut supervisor = Command::new(program()?)
        .arg("supervise")
        // What ends the test, such as an interrupt from the terminal, must leave it time to clean up.
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("failed to start {PROGRAM}"))?;
    let mut requests = supervisor
        .stdin
        .take()
        .context("the supervisor has no input")?;
    let replies = supervisor
        .stdout
        .take()
        .context("the supervisor has no output")?;
    ask(
        &mut requests,
        &Request::Start {
            name: options.name.clone(),
        },
    )?;
    for line in BufReader::new(replies).lines() {
        match serde_json::from_str(&line?).context("failed to understand the supervisor")? {
            Reply::Progress(step) => say(&step),
            Reply::Ready {
                folder,
                logs,
                processes,
            } => {
                let kept_logs = folders::kept_logs(&options.name);
                let requests = Mutex::new(Some(requests));
                let own = Own {
                    supervisor,
                    requests,
                    components: processes,
                    logs,
                    kept_logs,
                    logs_wanted: AtomicBool::new(false),
                };
                return Ok(ControlPlane {
                    folder,
                    kind: Kind::Own(own),
                });
            }
            Reply::Failed(reason) => {
                let _status = supervisor.wait();
                bail!("failed to start the control plane: {reason}");
            }
        }
    }
    let status = supervisor
        .wait()
        .context("failed to wait for the supervisor")?;
    bail!("failed to start the control plane: its supervisor ended ({status})")
}

fn ask(pipe: &mut ChildStdin, request: &Request) -> Result<()> {
    writeln!(pipe, "{}", serde_json::to_string(request)?).context("failed to ask the supervisor")
}

/// The program of this package that supervises: this one, or the one that Cargo built beside this test.
fn program() -> Result<PathBuf> {
    let this = env::current_exe().context("failed to find this program")?;
    if this.file_stem().is_some_and(|name| name == PROGRAM) {
        return Ok(this);
    }
    let beside = this
        .ancestors()
        .skip(1)
        .take(2)
        .map(|folder| folder.join(PROGRAM));
    let found = beside.into_iter().find(|program| program.is_file());
    found.with_context(|| format!("the program {PROGRAM} is not built; `cargo test -p sluice-tests` and `cargo build -p sluice-tests` do that"))
}

/// Uses a cluster of the user. There the controller is a name that its administrator acts as.
fn borrow(kubeconfig: PathBuf) -> Result<ControlPlane> {
    let mut config =
        Kubeconfig::read_from(&kubeconfig).with_context(|| format!("failed to read {BORROWED}"))?;
    for user in &mut config.auth_infos {
        if let Some(user) = &mut user.auth_info {
            user.impersonate = Some(User::Controller.name().to_owned());
        }
    }
    let folder = folders::target().join("borrowed");
    fs::create_dir_all(&folder)
        .with_context(|| format!("failed to create {}", folder.display()))?;
    write_private(
        &User::Controller.kubeconfig(&folder),
        &serde_json::to_string_pretty(&config)?,
    )?;
    Ok(ControlPlane {
        folder,
        kind: Kind::Borrowed(kubeconfig),
    })
}
