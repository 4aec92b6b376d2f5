//! Conflicts of the status that nothing explains.

use std::sync::Arc;
use std::time::Duration;

use futures::stream;
use serde_json::json;
use sluice_simulation::{Fault, Match, Rule, Verb};
use tokio_util::sync::CancellationToken;

use super::loading::{Busy, host, surroundings};
use super::metrics::{rollout, run};
use crate::Controller;

// REC-001: whether the object can be read again or not, each attempt comes later than the one before.
#[tokio::test(start_paused = true)]
async fn what_meets_conflicts_for_ever_is_tried_ever_more_rarely() {
    // Runs have no subresource.
    for (plural, written, answers) in [
        ("rollouts", "rollouts/status", true),
        ("rollouts", "rollouts/status", false),
        ("analysisruns", "analysisruns", true),
        ("analysisruns", "analysisruns", false),
    ] {
        let (simulation, cluster, clock) = surroundings();
        let namespace =
            json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": "shop" } });
        for object in [namespace, rollout("web"), run()] {
            simulation.create(object).expect("created");
        }
        let statuses = Match::any().writes().resource(written);
        let rule = simulation
            .faults()
            .add(Rule::new(statuses, Fault::Conflict));
        if !answers {
            let looks = Match::any().resource(plural).verbs([Verb::Get]);
            let away = Rule::new(looks, Fault::Status(500));
            simulation.faults().add(away);
        }
        let plugins = host(&cluster, Arc::new(Busy::default()));
        let controller = Controller::new(cluster, plugins, clock, 4, None);
        let stop = CancellationToken::new();
        let working = tokio::spawn(controller.run(stream::empty(), stop.clone()));
        tokio::time::sleep(Duration::from_secs(60)).await;
        stop.cancel();
        working.await.expect("an orderly end");
        // Within a minute some twenty passes fail, and each writes its status five times at most.
        let tried = simulation.faults().struck(rule);
        assert!((10..=150).contains(&tried), "{plural} {answers}: {tried}");
    }
}
