//! What the simulation and the real API server have in common: small contracts, each a function that makes requests
//! in a namespace of its own and claims what the answers are.
//!
//! The same code runs against both, so that the simulation cannot drift from the truth.
//! How long something takes is claimed in virtual time alone.
//! A contract is a line in [`table::CONTRACTS`]. Where the simulation is different on purpose, the claim is in
//! [`table::DIFFERENCES`] with the reason; a difference that is none any more fails the test, too.

mod custom;
mod deletion;
mod ground;
mod latencies;
mod lists;
mod objects;
mod patches;
mod pods;
mod subresources;
mod table;
mod watches;
mod workloads;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::panic::AssertUnwindSafe;

use anyhow::{Context as _, Result, ensure};
use futures::future::LocalBoxFuture;
use futures::{FutureExt as _, StreamExt as _};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use sluice_simulation::{Latency, Simulation, Workloads};
use sluice_tests::control_plane::{ControlPlane, User};

use ground::{Claim, Ground};
use table::{CONTRACTS, DIFFERENCES};

/// One small part of the server's behaviour.
pub struct Contract {
    pub name: &'static str,
    pub run: for<'a> fn(&'a Ground) -> LocalBoxFuture<'a, Result<()>>,
}

/// How many contracts run at once on the real control plane.
const AT_ONCE: usize = 8;

/// What became of one contract.
struct Outcome {
    name: &'static str,
    claims: Vec<Claim>,
    /// Why it did not get to its end.
    stopped: Option<String>,
}

async fn hold(contract: &Contract, ground: Ground) -> Outcome {
    let ended = AssertUnwindSafe((contract.run)(&ground))
        .catch_unwind()
        .await;
    let stopped = match ended {
        Ok(Ok(())) => None,
        Ok(Err(error)) => Some(format!("{error:#}")),
        Err(_) => Some("it panicked".to_owned()),
    };
    Outcome {
        name: contract.name,
        claims: ground.into_claims(),
        stopped,
    }
}

/// All that is wrong, of all contracts, and the counts on standard output.
fn judge(on: &str, outcomes: &[Outcome], differs: impl Fn(&str, &str) -> bool) -> Result<()> {
    let mut wrong = String::new();
    let mut claims = 0;
    let mut differences = BTreeSet::new();
    for outcome in outcomes {
        let name = outcome.name;
        for Claim { what, against } in &outcome.claims {
            claims += 1;
            let expected_to_differ = differs(name, what);
            if expected_to_differ {
                differences.insert((name, what));
            }
            match against {
                Some(against) if !expected_to_differ => {
                    writeln!(wrong, "  {name}: {what}\n      {against}")?;
                }
                None if expected_to_differ => {
                    writeln!(wrong, "  {name}: {what}: is no difference any more")?;
                }
                Some(_) | None => {}
            }
        }
        if let Some(why) = &outcome.stopped {
            writeln!(wrong, "  {name}: stopped: {why}")?;
        }
    }
    println!(
        "{on}: {} contracts, {claims} claims, {} differences on purpose",
        outcomes.len(),
        differences.len()
    );
    ensure!(wrong.is_empty(), "on {on}:\n{wrong}");
    ensure!(claims >= 80, "on {on}: only {claims} claims");
    Ok(())
}

#[test]
fn the_table_names_everything_once_and_enough() {
    let names: BTreeSet<_> = CONTRACTS.iter().map(|contract| contract.name).collect();
    assert_eq!(names.len(), CONTRACTS.len(), "two contracts have one name");
    for difference in DIFFERENCES {
        assert!(names.contains(difference.contract), "{difference:?}");
        assert!(!difference.reason.is_empty(), "{difference:?}");
    }
}

#[test]
fn the_simulation_keeps_every_contract() -> Result<()> {
    let mut outcomes = Vec::new();
    for contract in CONTRACTS {
        // A cluster of its own for each, so that the order of contracts makes no difference.
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()?;
        let outcome = runtime.block_on(async {
            let simulation = Simulation::builder()
                .seed(7)
                .latency(Latency::measured())
                .build();
            simulation.start_workloads(Workloads::default());
            let client = Client::new(simulation.service("contract"), "default");
            prepare(&client).await?;
            let namespace = serde_json::json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "contract"}});
            simulation.create(namespace)?;
            let ground = Ground::new(client, "contract".to_owned()).in_virtual_time();
            Ok::<_, anyhow::Error>(hold(contract, ground).await)
        })?;
        outcomes.push(outcome);
    }
    for difference in DIFFERENCES {
        let made = outcomes.iter().any(|outcome| {
            let mut claims = outcome.claims.iter();
            outcome.name == difference.contract
                && claims.any(|claim| claim.what == difference.claim)
        });
        ensure!(made, "nobody claims {difference:?}");
    }
    judge("the simulation", &outcomes, |contract, what| {
        DIFFERENCES
            .iter()
            .any(|difference| difference.contract == contract && difference.claim == what)
    })
}

#[tokio::test]
async fn the_real_api_server_keeps_every_contract() -> Result<()> {
    let Some(plane) = ControlPlane::shared().await? else {
        return Ok(());
    };
    let client = impatient_client(plane).await?;
    prepare(&client).await?;
    let outcomes: Vec<Result<Outcome>> = futures::stream::iter(CONTRACTS)
        .map(|contract| {
            let client = client.clone();
            async move {
                let namespace = plane.namespace("contract").await?;
                let outcome =
                    hold(contract, Ground::new(client, namespace.name().to_owned())).await;
                Ok(outcome)
            }
        })
        .buffered(AT_ONCE)
        .collect()
        .await;
    let outcomes = outcomes.into_iter().collect::<Result<Vec<_>>>()?;
    judge("the real API server", &outcomes, |_, _| false)
}

/// A client that takes no for an answer: kube's own would ask sixteen times whether a pod may be evicted.
async fn impatient_client(plane: &ControlPlane) -> Result<Client> {
    let file = Kubeconfig::read_from(plane.kubeconfig(User::Admin))?;
    let mut config = Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await?;
    config.default_retry = false;
    Client::try_from(config).context("the kubeconfig of the control plane makes no client")
}

/// Has the kinds served that contracts use.
async fn prepare(client: &Client) -> Result<()> {
    custom::serve(&Ground::new(client.clone(), "default".to_owned())).await
}
