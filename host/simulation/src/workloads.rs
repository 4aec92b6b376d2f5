//! The controllers of a cluster, as one task with one ordered queue: what kube-controller-manager, the scheduler
//! and the kubelets would do.
//!
//! Every change of an object puts work into the queue, due after a short reaction time that the seed draws.
//! Work is done in order of due time, each piece under the server's lock, so a seed repeats the whole cluster.

mod deployment;
mod disruption;
mod endpoints;
mod garbage;
mod hands;
mod job;
mod namespace;
mod ownership;
mod pod;
mod replica_set;

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep_until};

use crate::api::{Api, WeakApi};
use crate::json;
use crate::kinds::Resource;
use crate::seed::Seeded;
use crate::selectors::LabelSelector;
use crate::simulation::Simulation;
use crate::store::{Change, Key};

use garbage::Owners;
use hands::Hands;
use pod::Kubelet;

/// How quick the cluster is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Workloads {
    /// From a change to a controller's reaction, drawn by the seed in whole milliseconds.
    pub reaction: RangeInclusive<Duration>,
    /// From a pod being placed on a node to its being ready, where no annotation says otherwise.
    pub ready_after: Duration,
    /// From a pod's deletion to its being gone, where no annotation says otherwise.
    pub gone_after: Duration,
}

impl Default for Workloads {
    /// Reactions in 5 to 20 ms, pods ready after a second and gone after a second.
    ///
    /// The real controllers of the tests made the pod of a new set after 11 ms (median; 90 of 100 within 59 ms), the
    /// scheduler placed it 6 ms later, and the set counted it as ready 8 ms after it was. Readiness itself is the
    /// application's: a second is our choice.
    fn default() -> Self {
        Self {
            reaction: Duration::from_millis(5)..=Duration::from_millis(20),
            ready_after: Duration::from_secs(1),
            gone_after: Duration::from_secs(1),
        }
    }
}

impl Simulation {
    /// Starts the controllers of ReplicaSets, Deployments, Jobs, pods, EndpointSlices, PodDisruptionBudgets, namespaces and garbage.
    ///
    /// They run until the handle is used to stop them, or nobody holds the simulation or a client of it any more.
    /// Must be called inside a tokio runtime.
    pub fn start_workloads(&self, options: Workloads) -> AbortHandle {
        let (journal, present) = self.api.with_server(|server| {
            let journal = server.store.journal();
            let mut present: Vec<(Resource, Change)> = Vec::new();
            for kind in server.kinds.all() {
                for (key, object) in server.store.list(&kind.key(), None) {
                    let change = Change {
                        version: 0,
                        key: key.clone(),
                        before: None,
                        after: Some(Arc::clone(object)),
                    };
                    present.push((kind.key(), change));
                }
            }
            (journal, present)
        });
        let mut runner = Runner {
            api: self.api.downgrade(),
            journal,
            queue: Queue::default(),
            owners: Owners::default(),
            kubelet: Kubelet::new(&options),
            dice: Seeded::fork(self.seed(), "workloads"),
            reaction: options.reaction,
        };
        for (resource, change) in &present {
            runner.owners.note(resource, change);
        }
        if let Some(api) = runner.api.upgrade() {
            for (resource, change) in &present {
                runner.enqueue(&api, resource, change);
            }
        }
        tokio::spawn(runner.run()).abort_handle()
    }
}

/// Something to look at. The order of variants has no meaning beyond being fixed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Work {
    Deployment(Key),
    ReplicaSet(Key),
    Job(Key),
    Pod(Key),
    Endpoints(Key),
    Budget(Key),
    Namespace(String),
    /// An object that has owners, is waiting for its dependents, or is gone and may have left some.
    Garbage {
        resource: Resource,
        key: Key,
        uid: String,
    },
}

/// Work by the time at which it is due; each piece at most once.
#[derive(Debug, Default)]
struct Queue {
    due: BTreeMap<(Instant, u64), Work>,
    planned: BTreeMap<Work, (Instant, u64)>,
    added: u64,
}

impl Queue {
    /// Plans work, unless it is planned earlier already.
    fn add(&mut self, work: Work, at: Instant) {
        if let Some(planned) = self.planned.get(&work) {
            if planned.0 <= at {
                return;
            }
            self.due.remove(planned);
        }
        self.added += 1;
        self.due.insert((at, self.added), work.clone());
        self.planned.insert(work, (at, self.added));
    }

    fn next_due(&self) -> Option<Instant> {
        self.due.first_key_value().map(|((at, _), _)| *at)
    }

    fn pop_due(&mut self, now: Instant) -> Option<Work> {
        let entry = self.due.first_entry()?;
        if entry.key().0 > now {
            return None;
        }
        let work = entry.remove();
        self.planned.remove(&work);
        Some(work)
    }
}

struct Runner {
    api: WeakApi,
    journal: UnboundedReceiver<(Resource, Change)>,
    queue: Queue,
    owners: Owners,
    kubelet: Kubelet,
    dice: Seeded,
    reaction: RangeInclusive<Duration>,
}

impl Runner {
    async fn run(mut self) {
        loop {
            let due = self.queue.next_due();
            let change = tokio::select! {
                biased;
                change = self.journal.recv() => match change {
                    Some(change) => Some(change),
                    None => return,
                },
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => None,
            };
            let Some(api) = self.api.upgrade() else {
                return;
            };
            match change {
                Some((resource, change)) => {
                    self.owners.note(&resource, &change);
                    self.enqueue(&api, &resource, &change);
                }
                None => {
                    if let Some(work) = self.queue.pop_due(Instant::now()) {
                        self.work(&api, work);
                    }
                }
            }
        }
    }

    /// Plans what a change calls for.
    fn enqueue(&mut self, api: &Api, resource: &Resource, change: &Change) {
        let mut works = Vec::new();
        let key = change.key.clone();
        match (resource.0.as_str(), resource.1.as_str()) {
            ("apps", "deployments") => works.push(Work::Deployment(key)),
            ("apps", "replicasets") => {
                works.extend(owning(change, "Deployment").map(Work::Deployment));
                works.push(Work::ReplicaSet(key));
            }
            ("batch", "jobs") => works.push(Work::Job(key)),
            ("", "pods") => {
                works.extend(owning(change, "ReplicaSet").map(Work::ReplicaSet));
                works.extend(owning(change, "Job").map(Work::Job));
                works.extend(selecting(api, change));
                works.extend(disruption::concerned(api, change).map(Work::Budget));
                works.extend(waiting_for_the_end_of(api, change));
                works.push(Work::Pod(key));
            }
            ("", "services") => works.push(Work::Endpoints(key)),
            ("policy", "poddisruptionbudgets") => works.push(Work::Budget(key)),
            ("discovery.k8s.io", "endpointslices") => {
                works.extend(owning(change, "Service").map(Work::Endpoints));
            }
            ("", "namespaces") => works.push(Work::Namespace(key.1)),
            _ => {}
        }
        if let Some(object) = change
            .after
            .as_ref()
            .filter(|object| self.owners.concerns(object))
        {
            works.push(Work::Garbage {
                resource: resource.clone(),
                key: change.key.clone(),
                uid: json::text(object, "/metadata/uid").to_owned(),
            });
        }
        if let (Some(gone), None) = (&change.before, &change.after) {
            let left = self.owners.left_by(gone);
            works.extend(left.into_iter().map(|(resource, key, uid)| Work::Garbage {
                resource,
                key,
                uid,
            }));
            if !change.key.0.is_empty() {
                works.push(Work::Namespace(change.key.0.clone()));
            }
        }
        for work in works {
            let at = Instant::now() + self.draw_reaction();
            self.queue.add(work, at);
        }
    }

    fn draw_reaction(&mut self) -> Duration {
        let millis = |duration: &Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        let (low, high) = (millis(self.reaction.start()), millis(self.reaction.end()));
        Duration::from_millis(self.dice.between(low, high))
    }

    /// Does one piece of work and plans when to look again.
    fn work(&mut self, api: &Api, work: Work) {
        let mut state = api.lock();
        let mut hands = Hands::new(&mut state);
        let again = match &work {
            Work::Deployment(key) => deployment::reconcile(&mut hands, key),
            Work::ReplicaSet(key) => replica_set::reconcile(&mut hands, key),
            Work::Job(key) => job::reconcile(&mut hands, key),
            Work::Pod(key) => self.kubelet.reconcile(&mut hands, key),
            Work::Endpoints(key) => endpoints::reconcile(&mut hands, key),
            Work::Budget(key) => disruption::reconcile(&mut hands, key),
            Work::Namespace(name) => namespace::reconcile(&mut hands, name),
            Work::Garbage { resource, key, uid } => {
                garbage::reconcile(&mut hands, &self.owners, resource, key, uid)
            }
        };
        if let Some(after) = again {
            self.queue.add(work, Instant::now() + after);
        }
    }
}

/// The controller of that kind which an object has, or had before the change.
fn owning(change: &Change, kind: &'static str) -> impl Iterator<Item = Key> {
    let owner = move |object: &Arc<Value>| {
        let owner = ownership::controller(object)?;
        (json::text(owner, "/kind") == kind)
            .then(|| (change.key.0.clone(), json::text(owner, "/name").to_owned()))
    };
    let before = change.before.as_ref().and_then(owner);
    let after = change.after.as_ref().and_then(owner);
    let same = before == after;
    before.filter(|_| !same).into_iter().chain(after)
}

/// The Deployment behind a pod that is gone: one that recreates its pods waits for that.
fn waiting_for_the_end_of(api: &Api, change: &Change) -> Option<Work> {
    let (Some(gone), None) = (&change.before, &change.after) else {
        return None;
    };
    let owner =
        ownership::controller(gone).filter(|owner| json::text(owner, "/kind") == "ReplicaSet")?;
    let key = (change.key.0.clone(), json::text(owner, "/name").to_owned());
    let set = api.with_server(|server| {
        server
            .store
            .get(&("apps".to_owned(), "replicasets".to_owned()), &key)
    })?;
    let owner =
        ownership::controller(&set).filter(|owner| json::text(owner, "/kind") == "Deployment")?;
    Some(Work::Deployment((
        key.0,
        json::text(owner, "/name").to_owned(),
    )))
}

/// Services that select a pod or did so before the change, and ReplicaSets that could adopt it.
fn selecting(api: &Api, change: &Change) -> Vec<Work> {
    let matches = |selector: &LabelSelector| {
        [&change.before, &change.after]
            .into_iter()
            .flatten()
            .any(|pod| selector.matches(pod))
    };
    let namespace = Some(change.key.0.as_str());
    api.with_server(|server| {
        let services = server
            .store
            .list(&(String::new(), "services".to_owned()), namespace);
        let mut works: Vec<Work> = services
            .filter(|(_, service)| {
                let selector = LabelSelector::from_map(
                    service.pointer("/spec/selector").unwrap_or(&Value::Null),
                );
                !selector.is_empty() && matches(&selector)
            })
            .map(|(key, _)| Work::Endpoints(key.clone()))
            .collect();
        let orphan = change
            .after
            .as_ref()
            .is_some_and(|pod| ownership::controller(pod).is_none());
        if orphan {
            let sets = server
                .store
                .list(&("apps".to_owned(), "replicasets".to_owned()), namespace);
            works.extend(
                sets.filter(|(_, set)| {
                    set.pointer("/spec/selector")
                        .and_then(LabelSelector::from_object)
                        .is_some_and(|selector| matches(&selector))
                })
                .map(|(key, _)| Work::ReplicaSet(key.clone())),
            );
        }
        works
    })
}
