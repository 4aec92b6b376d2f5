//! How the process ends: asked once, it finishes and gives the lease back; asked twice, it ends at once.

use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result};
use kube::core::GroupVersionKind;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use sluice_simulation::{Fault, Match, Rule, Simulation};
use sluice_tests::sluice_binary;
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};

/// More than any machine needs.
const PATIENCE: Duration = Duration::from_secs(60);

/// A controller in front of a simulated API server.
struct Process {
    simulation: Simulation,
    child: Child,
    _home: tempfile::TempDir,
}

impl Process {
    /// Starts it and waits until it leads.
    async fn leading() -> Result<Self> {
        let simulation = Simulation::builder().seed(1).build();
        for definition in sluice_api::crds() {
            simulation.register(definition).map_err(refused)?;
        }
        let namespace =
            json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": "sluice" } });
        simulation.create(namespace).map_err(refused)?;
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let server = simulation.clone();
        tokio::spawn(async move { server.serve(listener).await });
        let home = tempfile::tempdir()?;
        let kubeconfig = home.path().join("kubeconfig");
        let config = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{ "name": "here", "cluster": { "server": format!("http://{address}") } }],
            "users": [{ "name": "me", "user": {} }],
            "contexts": [{ "name": "here", "context": { "cluster": "here", "user": "me" } }],
            "current-context": "here",
        });
        std::fs::write(&kubeconfig, config.to_string())?;
        let child = Command::new(sluice_binary()?)
            .args(["controller", "--metricsPort", "0", "--healthzPort", "0"])
            .arg("--kubeconfig")
            .arg(&kubeconfig)
            .env("POD_NAMESPACE", "sluice")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .context("failed to start sluice")?;
        let process = Self {
            simulation,
            child,
            _home: home,
        };
        let leads = async {
            while process.holder().is_empty() {
                sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(PATIENCE, leads).await.context("it never leads")?;
        Ok(process)
    }

    /// Who holds the lease.
    fn holder(&self) -> String {
        let kind = GroupVersionKind::gvk("coordination.k8s.io", "v1", "Lease");
        let leases = self.simulation.list(&kind, Some("sluice"));
        let holder = leases.first().and_then(|lease| {
            let holder = lease.pointer("/spec/holderIdentity");
            holder.and_then(Value::as_str).map(str::to_owned)
        });
        holder.unwrap_or_default()
    }

    fn ask_to_stop(&self, signal: Signal) -> Result<()> {
        let id = self.child.id().context("it has ended")?;
        let id = Pid::from_raw(i32::try_from(id)?).context("no such process")?;
        kill_process(id, signal)?;
        Ok(())
    }

    async fn ended(&mut self) -> Result<ExitStatus> {
        let status = timeout(PATIENCE, self.child.wait());
        Ok(status.await.context("it does not end")??)
    }
}

fn refused(refusal: impl std::fmt::Display) -> anyhow::Error {
    anyhow::anyhow!("refused: {refusal}")
}

// CTL-008, CTL-015
#[tokio::test]
async fn a_signal_ends_the_work_and_gives_the_lease_back() -> Result<()> {
    let mut process = Process::leading().await?;
    process.ask_to_stop(Signal::TERM)?;
    let status = process.ended().await?;
    assert_eq!(status.code(), Some(0), "{status}");
    assert_eq!(process.holder(), "");
    Ok(())
}

// CTL-015
#[tokio::test]
async fn a_second_signal_ends_the_process_while_the_lease_is_still_being_given_back() -> Result<()>
{
    let mut process = Process::leading().await?;
    let holder = process.holder();
    let never = Fault::Latency(Duration::from_secs(3600));
    let leases = Match::any().resource("leases");
    let faults = process.simulation.faults();
    let rule = faults.add(Rule::new(leases, never));
    process.ask_to_stop(Signal::TERM)?;
    let given_back = async {
        while faults.struck(rule) == 0 {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, given_back)
        .await
        .context("it does not stop")?;
    assert_eq!(process.child.try_wait()?, None, "it waits for the answer");
    process.ask_to_stop(Signal::INT)?;
    let status = process.ended().await?;
    assert_eq!(status.code(), Some(1), "{status}");
    assert_eq!(process.holder(), holder);
    Ok(())
}
