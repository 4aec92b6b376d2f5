//! Turns components into machine code. Hostile input can make that take minutes and gigabytes, so production does it in a
//! child process with resource limits; in-process compilation is for tests and demonstrations.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{ExitCode, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use futures::future::BoxFuture;
use rustix::process::{Resource, Rlimit};

use crate::limits::Limits;
use crate::sandbox;
use crate::unusable::Unusable;

/// Compiles a component for the host's engine.
pub trait Compiler: Send + Sync {
    /// Machine code for this component, as wasmtime serialises it.
    ///
    /// # Errors
    /// Why there is none; whether another attempt may end otherwise, too.
    fn compile(&self, component: Bytes) -> BoxFuture<'static, Result<Vec<u8>, Unusable>>;
}

/// Compiles on a thread of this process, without limits.
#[derive(Clone, Copy, Debug, Default)]
pub struct InProcess;

impl Compiler for InProcess {
    fn compile(&self, component: Bytes) -> BoxFuture<'static, Result<Vec<u8>, Unusable>> {
        Box::pin(async move {
            tokio::task::spawn_blocking(move || compile(&component))
                .await
                .map_err(|error| Unusable::for_now(format!("the compiler failed: {error}")))?
        })
    }
}

fn compile(component: &[u8]) -> Result<Vec<u8>, Unusable> {
    let engine = sandbox::compiler_engine()
        .map_err(|error| Unusable::for_now(format!("cannot be compiled: {error:#}")))?;
    engine
        .precompile_component(component)
        .map_err(|error| Unusable::refused(format!("does not compile: {error:#}")))
}

/// The name of the subcommand under which a program offers [`compile_child_main`].
pub const SUBCOMMAND: &str = "compile-plugin";

/// How a child ends that refuses the component.
const REFUSED: u8 = 1;
/// How a child ends that could not try; a command line that it does not know ends so, too.
const NOT_TRIED: u8 = 2;

/// Compiles in a child process: `PROGRAM compile-plugin IN OUT`.
#[derive(Clone, Debug)]
pub struct ChildProcess {
    program: PathBuf,
    scratch: PathBuf,
    limits: Arc<Limits>,
}

impl ChildProcess {
    /// Uses this program, which must call [`compile_child_main`] for [`SUBCOMMAND`].
    pub fn new(program: impl Into<PathBuf>, limits: Limits) -> Self {
        Self {
            program: program.into(),
            scratch: std::env::temp_dir(),
            limits: Arc::new(limits),
        }
    }

    /// Uses the running program, which must call [`compile_child_main`] for [`SUBCOMMAND`].
    ///
    /// # Errors
    /// The running program cannot be found.
    pub fn of_this_program(limits: Limits) -> io::Result<Self> {
        Ok(Self::new(std::env::current_exe()?, limits))
    }
}

impl ChildProcess {
    /// Hands components over in a private directory below this one, in place of the system's for temporary files.
    #[must_use]
    pub fn with_scratch(mut self, directory: impl Into<PathBuf>) -> Self {
        self.scratch = directory.into();
        self
    }
}

impl Compiler for ChildProcess {
    fn compile(&self, component: Bytes) -> BoxFuture<'static, Result<Vec<u8>, Unusable>> {
        let this = self.clone();
        Box::pin(async move { this.run(component).await })
    }
}

impl ChildProcess {
    async fn run(self, component: Bytes) -> Result<Vec<u8>, Unusable> {
        let trouble = |what: &str, error: io::Error| {
            Unusable::for_now(format!("cannot be compiled: {what}: {error}"))
        };
        let directory = PrivateDirectory::create(&self.scratch)
            .map_err(|error| trouble("a private directory", error))?;
        let input = directory.0.join("component.wasm");
        let output = directory.0.join("component.cwasm");
        tokio::fs::write(&input, &component)
            .await
            .map_err(|error| trouble("writing", error))?;
        let child = tokio::process::Command::new(&self.program)
            .arg(SUBCOMMAND)
            .arg(&input)
            .arg(&output)
            .env_clear()
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .output();
        // The child limits its processor time itself; this ends one that waits for ever.
        let Ok(ended) = tokio::time::timeout(self.limits.compile_wall, child).await else {
            return Err(Unusable::for_now(format!(
                "does not compile within {} s",
                self.limits.compile_wall.as_secs()
            )));
        };
        let ended = ended.map_err(|error| trouble(&self.program.display().to_string(), error))?;
        if !ended.status.success() {
            return Err(self.failure(&ended));
        }
        tokio::fs::read(&output)
            .await
            .map_err(|error| trouble("reading", error))
    }

    /// Why a child did not compile. One that says nothing of its own has run into a limit: it was killed, or gave up in
    /// panic.
    fn failure(&self, ended: &Output) -> Unusable {
        let said = String::from_utf8_lossy(&ended.stderr);
        let complaint = said.trim();
        let ended_with = |code: u8| ended.status.code() == Some(i32::from(code));
        if ended_with(REFUSED) && !complaint.is_empty() {
            return Unusable::refused(complaint);
        }
        if ended_with(NOT_TRIED) && !complaint.is_empty() {
            return Unusable::for_now(complaint);
        }
        Unusable::for_now(format!(
            "does not compile within {} s of processor time and {} MiB ({})",
            self.limits.compile_cpu.as_secs(),
            self.limits.compile_memory >> 20,
            ended.status
        ))
    }
}

/// A directory that nobody else may look into or write to; what is compiled is code of this process.
struct PrivateDirectory(PathBuf);

impl PrivateDirectory {
    fn create(scratch: &Path) -> io::Result<Self> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let mut random = [0; 8];
        getrandom::fill(&mut random)?;
        let mut name = format!("sluice-compile-{}-{number}-", std::process::id());
        crate::digest::hex(&mut name, &random);
        let path = scratch.join(name);
        create_private(&path)?;
        Ok(Self(path))
    }
}

impl Drop for PrivateDirectory {
    fn drop(&mut self) {
        // What remains of it would cost disk space, nothing else.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Creates a directory with mode 0700; fails where it exists.
pub(crate) fn create_private(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    std::fs::DirBuilder::new().mode(0o700).create(path)
}

/// The child's side: takes the paths of a component and of the file to write, limits itself, compiles, and says on
/// standard error what is wrong, and by its exit code with what.
pub fn compile_child_main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let mut arguments = arguments.into_iter();
    let (Some(input), Some(output), None) = (arguments.next(), arguments.next(), arguments.next())
    else {
        return complain(NOT_TRIED, &format!("usage: {SUBCOMMAND} COMPONENT OUTPUT"));
    };
    let limits = Limits::default();
    let cpu = limits.compile_cpu.as_secs();
    for (resource, most) in [
        (Resource::Cpu, cpu),
        (Resource::As, limits.compile_memory),
        (Resource::Core, 0),
    ] {
        let limit = Rlimit {
            current: Some(most),
            maximum: Some(most),
        };
        if let Err(error) = rustix::process::setrlimit(resource, limit) {
            return complain(NOT_TRIED, &format!("cannot limit itself: {error}"));
        }
    }
    // Whoever waits for a rollout goes first.
    let _ = rustix::process::nice(10);
    let component = match std::fs::read(&input) {
        Ok(component) => component,
        Err(error) => {
            return complain(NOT_TRIED, &format!("{}: {error}", input.display()));
        }
    };
    match compile(&component) {
        Ok(code) => match std::fs::write(&output, code) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => complain(NOT_TRIED, &format!("{}: {error}", output.display())),
        },
        Err(unusable) if unusable.again => complain(NOT_TRIED, &unusable.reason),
        Err(unusable) => complain(REFUSED, &unusable.reason),
    }
}

fn complain(code: u8, why: &str) -> ExitCode {
    use std::io::Write as _;
    let _ = writeln!(io::stderr(), "{why}");
    ExitCode::from(code)
}
