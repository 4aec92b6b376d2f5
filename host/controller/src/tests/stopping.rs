//! The end of the work: what has begun is finished, and said.

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

#[tokio::test(start_paused = true)]
async fn the_last_pass_has_its_events_recorded() {
    let (simulation, cluster, clock) = surroundings();
    let namespace =
        json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": "shop" } });
    for object in [namespace, rollout("web")] {
        simulation.create(object).expect("created");
    }
    // A pass that is still writing when the end comes.
    let slow = Match::any().writes().resource("replicasets");
    let rule = Rule::new(slow, Fault::Latency(Duration::from_secs(5))).once();
    simulation.faults().add(rule);
    let plugins = host(&cluster, Arc::new(Busy::default()));
    let controller = Controller::new(cluster, plugins, clock, 4, None);
    let stop = CancellationToken::new();
    let working = tokio::spawn(controller.run(stream::empty(), stop.clone()));
    tokio::time::sleep(Duration::from_secs(2)).await;
    stop.cancel();
    working.await.expect("an orderly end");
    let events = simulation.list(&GroupVersionKind::gvk("", "v1", "Event"), Some("shop"));
    let reasons: Vec<_> = events.iter().map(|event| &event["reason"]).collect();
    assert!(
        reasons.contains(&&json!("NewReplicaSetCreated")),
        "{reasons:?}"
    );
}
