//! Who may write.

use std::sync::Arc;

use sluice_engine::plan::{Done, WriteErrorKind};
use sluice_simulation::{Fault, Match, Rule, Verb};
use tokio::time::Instant;

use super::*;
use crate::lease::{Ended, Lease, LeaseSettings};

/// A candidate and the task in which it holds the lease.
struct Candidate {
    lease: Arc<Lease>,
    stop: CancellationToken,
    task: JoinHandle<Ended>,
}

fn candidate(simulation: &Simulation, name: &str) -> Candidate {
    let lease = LeaseSettings::new("argo", None, name.to_owned());
    let lease = Arc::new(Lease::new(
        simulation.client_named(name),
        &settings(simulation),
        lease,
    ));
    let stop = CancellationToken::new();
    let holding = (Arc::clone(&lease), stop.clone());
    let task = tokio::spawn(async move { holding.0.hold(holding.1).await });
    Candidate { lease, stop, task }
}

impl Candidate {
    fn leads(&self) -> bool {
        self.lease.gate().pass().is_ok()
    }

    /// Seconds until it leads.
    async fn wait(&self) -> u64 {
        let start = Instant::now();
        let mut leading = self.lease.leading();
        let leads = leading.wait_for(|leading| *leading);
        let leads = tokio::time::timeout(Duration::from_secs(600), leads).await;
        let _ = leads.expect("in time").expect("leads");
        start.elapsed().as_secs()
    }
}

fn spec(simulation: &Simulation) -> Value {
    let lease = gvk("coordination.k8s.io/v1", "Lease");
    simulation
        .get(&lease, "argo", "argo-rollouts-controller-lock")
        .expect("there")["spec"]
        .clone()
}

// CTL-006 CTL-008
#[tokio::test(start_paused = true, flavor = "current_thread")]
async fn the_lease_is_given_back_on_stop_and_taken_over_at_once() {
    let simulation = simulation();
    let first = candidate(&simulation, "first");
    first.wait().await;
    let held = spec(&simulation);
    assert_eq!(
        (&held["holderIdentity"], &held["leaseDurationSeconds"]),
        (&json!("first"), &json!(15))
    );
    assert_eq!(held["leaseTransitions"], 0);
    let second = candidate(&simulation, "second");
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert!(first.leads() && !second.leads());
    first.stop.cancel();
    assert_eq!(first.task.await.expect("ended"), Ended::Stopped);
    assert!(first.lease.gate().pass().is_err());
    assert!(second.wait().await <= 3);
    assert_eq!(spec(&simulation)["holderIdentity"], "second");
    assert_eq!(spec(&simulation)["leaseTransitions"], 1);
}

#[tokio::test(start_paused = true, flavor = "current_thread")]
async fn a_dead_holder_is_waited_for_as_long_as_its_renewal_lasts() {
    let simulation = simulation();
    let first = candidate(&simulation, "first");
    first.wait().await;
    let second = candidate(&simulation, "second");
    tokio::time::sleep(Duration::from_secs(60)).await;
    simulation.cut("first");
    let waited = second.wait().await;
    assert!((10..=19).contains(&waited), "{waited}");
    assert!(!first.leads(), "two leaders");
    assert_eq!(first.task.await.expect("ended"), Ended::Lost);
}

// I11
#[tokio::test(start_paused = true, flavor = "current_thread")]
async fn nothing_is_sent_once_the_lease_may_be_somebody_else_s() {
    let simulation = simulation();
    let owner = simulation.create(rollout("web")).expect("created");
    let holder = candidate(&simulation, "first");
    holder.wait().await;
    let world = World::start(
        simulation.clone(),
        settings(&simulation),
        holder.lease.gate(),
    );
    world.cluster.wait_synced().await;
    let annotate = Edit::MergePatch(json!({ "metadata": { "annotations": { "x": "1" } } }));
    let annotate = write(subject(&owner).key, annotate);
    let me = subject(&owner);
    let attempt = || world.cluster.write(&me, &annotate);
    assert!(matches!(attempt().await, Done::Applied { .. }));
    // The lease cannot be renewed, everything else works.
    let leases = Match::any().resource("leases");
    simulation
        .faults()
        .add(Rule::new(leases, Fault::Status(500)));
    tokio::time::sleep(Duration::from_secs(11)).await;
    simulation.clear_request_log();
    let Done::Failed(error) = attempt().await else {
        panic!("not leading")
    };
    assert_eq!(error.kind, WriteErrorKind::NotLeading);
    assert!(
        simulation
            .request_log()
            .iter()
            .all(|entry| entry.client != "controller")
    );
    assert_eq!(holder.task.await.expect("ended"), Ended::Lost);
}

#[tokio::test(start_paused = true, flavor = "current_thread")]
async fn a_request_ends_before_the_lease_does() {
    let simulation = simulation();
    let owner = simulation.create(rollout("web")).expect("created");
    let holder = candidate(&simulation, "first");
    holder.wait().await;
    let world = World::start(
        simulation.clone(),
        settings(&simulation),
        holder.lease.gate(),
    );
    world.cluster.wait_synced().await;
    let leases = Match::any().resource("leases");
    simulation
        .faults()
        .add(Rule::new(leases, Fault::Status(500)));
    let rollouts = Match::any().resource("rollouts").writes();
    simulation
        .faults()
        .add(Rule::new(rollouts, Fault::Latency(Duration::from_secs(60))));
    tokio::time::sleep(Duration::from_secs(5)).await;
    let start = Instant::now();
    let annotate = Edit::MergePatch(json!({ "metadata": { "annotations": { "x": "1" } } }));
    let done = world
        .cluster
        .write(&subject(&owner), &write(subject(&owner).key, annotate))
        .await;
    let Done::Failed(error) = done else {
        panic!("too late")
    };
    assert_eq!(error.kind, WriteErrorKind::Unavailable);
    // 15 seconds from the last renewal, 5 or more of which are over.
    assert!(
        start.elapsed() <= Duration::from_secs(10),
        "{:?}",
        start.elapsed()
    );
}

#[tokio::test(start_paused = true, flavor = "current_thread")]
async fn a_renewal_whose_answer_is_lost_loses_nothing() {
    let simulation = simulation();
    let holder = candidate(&simulation, "first");
    holder.wait().await;
    for fault in [
        Fault::TimeoutAfterEffect(Duration::from_secs(2)),
        Fault::StatusAfterEffect(500),
        Fault::Conflict,
        Fault::Disconnect,
    ] {
        let updates = Match::any().resource("leases").verbs([Verb::Update]);
        let rule = simulation
            .faults()
            .add(Rule::new(updates, fault.clone()).once());
        tokio::time::sleep(Duration::from_secs(30)).await;
        assert_eq!(simulation.faults().struck(rule), 1);
        assert!(holder.leads(), "{fault:?}");
    }
}

#[tokio::test(start_paused = true, flavor = "current_thread")]
async fn a_lease_that_somebody_takes_is_lost_at_the_next_renewal() {
    let simulation = simulation();
    let holder = candidate(&simulation, "first");
    holder.wait().await;
    let theirs = json!({ "spec": { "holderIdentity": "argo" } });
    let lease = gvk("coordination.k8s.io/v1", "Lease");
    simulation
        .patch_merge(&lease, "argo", "argo-rollouts-controller-lock", theirs)
        .expect("patched");
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert!(!holder.leads());
    assert_eq!(holder.task.await.expect("ended"), Ended::Lost);
    assert_eq!(spec(&simulation)["holderIdentity"], "argo", "left alone");
}
