//! What a status means is said although its write was not answered.

use std::sync::Arc;
use std::time::Duration;

use futures::stream;
use kube::core::GroupVersionKind;
use serde_json::json;
use sluice_simulation::{Fault, Match, Rule};
use tokio_util::sync::CancellationToken;

use super::loading::{Busy, host, surroundings};
use super::metrics::rollout;
use crate::Controller;

/// Events of a Rollout that is created while the answers to its first status writes get lost, with how often each is told.
async fn told(fault: Fault) -> Vec<(String, u64)> {
    let (simulation, cluster, clock) = surroundings();
    let namespace =
        json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": "shop" } });
    for object in [namespace, rollout("web")] {
        simulation.create(object).expect("created");
    }
    simulation.start_workloads(sluice_simulation::Workloads::default());
    let statuses = Match::any().writes().resource("rollouts/status");
    let rule = simulation.faults().add(Rule::new(statuses, fault).times(2));
    let plugins = host(&cluster, Arc::new(Busy::default()));
    let controller = Controller::new(cluster, plugins, clock, 4, None);
    let stop = CancellationToken::new();
    let working = tokio::spawn(controller.run(stream::empty(), stop.clone()));
    tokio::time::sleep(Duration::from_secs(60)).await;
    stop.cancel();
    working.await.expect("an orderly end");
    assert_eq!(simulation.faults().struck(rule), 2);
    let events = simulation.list(&GroupVersionKind::gvk("", "v1", "Event"), Some("shop"));
    let mut told: Vec<_> = events
        .iter()
        .filter_map(|event| {
            Some((
                event["reason"].as_str()?.to_owned(),
                event["count"].as_u64()?,
            ))
        })
        .collect();
    told.sort();
    told
}

#[tokio::test(start_paused = true)]
async fn whatever_becomes_of_the_answer_everything_is_said_once() {
    let expected: Vec<_> = [
        "NewReplicaSetCreated",
        "RolloutAddedToInformer",
        "RolloutCompleted",
        "RolloutNotCompleted",
        "RolloutUpdated",
        "ScalingReplicaSet",
    ]
    .map(|reason| (reason.to_owned(), 1))
    .into();
    let lost = Fault::TimeoutAfterEffect(Duration::from_secs(2));
    for fault in [lost, Fault::StatusAfterEffect(500), Fault::Status(500)] {
        assert_eq!(told(fault.clone()).await, expected, "{fault:?}");
    }
}
