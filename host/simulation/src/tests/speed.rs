//! How much simulated time passes in a second: printed, not asserted, since it is the machine's.

use std::time::Duration;

use super::*;
use futures::StreamExt as _;
use k8s_openapi::api::coordination::v1::Lease;
use kube::api::{ListParams, Patch, PatchParams};
use kube::runtime::{WatchStreamExt as _, watcher};
use tokio::time::sleep;

use crate::Workloads;

const HOURS: u64 = 2;
const SETS: usize = 20;

/// Two hours of a cluster with twenty sets: one is scaled every ten seconds, a lease is renewed, somebody watches.
async fn two_hours(seed: u64) -> Vec<String> {
    let simulation = Simulation::new(seed);
    simulation.start_workloads(Workloads::default());
    let client = simulation.client_named("controller");
    let sets: Api<ReplicaSet> = Api::default_namespaced(client.clone());
    for number in 0..SETS {
        let set = replica_set(&format!("shop-{number}"), 2);
        sets.create(&Default::default(), &typed(set)).await.unwrap();
    }
    let watched = watcher(sets.clone(), watcher::Config::default()).applied_objects();
    let watching = tokio::spawn(watched.for_each(|_| std::future::ready(())));
    let leases: Api<Lease> = Api::default_namespaced(client);
    let mut lease: Lease =
        typed(json!({"metadata": {"name": "lock"}, "spec": {"holderIdentity": "me"}}));
    lease = leases.create(&Default::default(), &lease).await.unwrap();
    for round in 0..HOURS * 360 {
        sleep(Duration::from_secs(10)).await;
        lease = leases
            .replace("lock", &Default::default(), &lease)
            .await
            .unwrap();
        let name = format!("shop-{}", round % SETS as u64);
        let set = sets.get(&name).await.unwrap();
        let replicas = set.spec.and_then(|spec| spec.replicas).unwrap_or_default() % 4 + 1;
        let patch = Patch::Merge(json!({"spec": {"replicas": replicas}}));
        sets.patch(&name, &PatchParams::default(), &patch)
            .await
            .unwrap();
        if round % 30 == 0 {
            sets.list(&ListParams::default().limit(100)).await.unwrap();
        }
    }
    watching.abort();
    let log = simulation.request_log();
    log.iter().map(ToString::to_string).collect()
}

#[tokio::test(start_paused = true, flavor = "current_thread")]
async fn two_hours_pass_quickly_and_the_same_each_time() {
    let began = std::time::Instant::now();
    let log = two_hours(3).await;
    let took = began.elapsed();
    println!(
        "{} requests; {:.0} simulated seconds and {:.0} requests per second",
        log.len(),
        (HOURS * 3600) as f64 / took.as_secs_f64(),
        log.len() as f64 / took.as_secs_f64()
    );
    assert!(log.len() > 5000, "{}", log.len());
    assert_eq!(log, two_hours(3).await);
}
