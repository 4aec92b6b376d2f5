//! The control plane of the harness keeps its promises: it starts, plays pods, counts requests and leaves
//! nothing behind. Tests of Sluice on it are elsewhere.

mod access;
mod crds;
mod deploy;
mod lifetime;
mod peers;
mod pods;

use std::time::Duration;

use anyhow::{Context, Result};
use kube::api::Api;
use kube::runtime::wait::{Condition, await_condition};
use serde::de::DeserializeOwned;
use tokio::time::timeout;

/// Nothing here takes longer than some seconds, unless the machine is busy with something else.
const PATIENCE: Duration = Duration::from_secs(60);

/// Waits, not for ever, until an object is as the condition wants it.
async fn wait_for<K>(
    api: &Api<K>,
    name: &str,
    what: &str,
    condition: impl Condition<K>,
) -> Result<()>
where
    K: kube::Resource + Clone + std::fmt::Debug + Send + DeserializeOwned + 'static,
{
    let waited = timeout(PATIENCE, await_condition(api.clone(), name, condition)).await;
    waited
        .with_context(|| format!("{name} never was {what}"))?
        .with_context(|| format!("failed to watch {name}"))?;
    Ok(())
}
