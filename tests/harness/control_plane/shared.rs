//! The control plane that all tests of one process share, and the frame around each of these tests.

use std::env;
use std::panic::{self, AssertUnwindSafe};
use std::thread;

use anyhow::{Result, anyhow};
use futures::FutureExt;
use tokio::sync::OnceCell;

use super::namespace::Namespace;
use super::plane::{ControlPlane, Options, say};

/// Leaves out the tests that need a control plane, if it is set to anything but nothing.
const FAST: &str = "SLUICE_TEST_FAST";

/// Never dropped: the supervisor ends it when this process ends. A failure is kept too, so that a hundred
/// tests do not wait for it one after another.
static SHARED: OnceCell<Result<ControlPlane, String>> = OnceCell::const_new();

impl ControlPlane {
    /// The control plane that all tests of this process share; none, with a word on standard error, if the
    /// user asked for fast tests only. A panic anywhere in the process has its logs kept.
    ///
    /// # Errors
    /// As [`ControlPlane::start`].
    pub async fn shared() -> Result<Option<&'static Self>> {
        if is_left_out() {
            return Ok(None);
        }
        let started = SHARED.get_or_init(|| async {
            keep_logs_after_a_panic();
            Self::start(Options {
                name: "shared".to_owned(),
            })
            .await
            .map_err(|error| format!("{error:#}"))
        });
        started
            .await
            .as_ref()
            .map(Some)
            .map_err(|error| anyhow!("{error}"))
    }
}

/// Whether the user asked for fast tests only, so that this one, which needs a control plane, is left out.
/// Then it says so on standard error.
pub fn is_left_out() -> bool {
    let fast = env::var_os(FAST).is_some_and(|value| !value.is_empty());
    if fast {
        // The test runner names the thread of a test after it.
        let thread = thread::current();
        let test = thread.name().unwrap_or("a test");
        say(&format!(
            "left out, because {FAST} is set: {test}, which needs a control plane"
        ));
    }
    fast
}

fn keep_logs_after_a_panic() {
    let usual = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        usual(info);
        if let Some(Ok(plane)) = SHARED.get() {
            plane.keep_logs();
        }
    }));
}

/// Runs a test on the shared control plane, in a new namespace that begins with `prefix`.
///
/// When the test is done the namespace is deleted; when it fails, by an error or a panic, the namespace and
/// the logs are kept, and the namespace's objects are beside the logs. Under `SLUICE_TEST_FAST` the test
/// is not run.
///
/// # Errors
/// What the test returns, or why there is no control plane.
///
/// # Panics
/// As the test does.
pub async fn in_namespace<T>(prefix: &str, test: T) -> Result<()>
where
    T: AsyncFnOnce(&'static ControlPlane, &Namespace) -> Result<()>,
{
    let Some(plane) = ControlPlane::shared().await? else {
        return Ok(());
    };
    let namespace = plane.namespace(prefix).await?;
    let outcome = AssertUnwindSafe(test(plane, &namespace))
        .catch_unwind()
        .await;
    if !matches!(outcome, Ok(Ok(()))) {
        plane.keep_logs();
        namespace.keep();
        if let Some(logs) = plane.logs() {
            let place = logs.join(format!("{namespace}.json"));
            if let Err(error) = namespace.write_objects(&place).await {
                say(&format!(
                    "failed to keep the objects of {namespace}: {error:#}"
                ));
            }
        }
    }
    match outcome {
        Ok(outcome) => outcome,
        Err(panic) => panic::resume_unwind(panic),
    }
}
