//! What routers have left of Rollouts that are gone or that name them no more, and who is asked about it.
//!
//! A Rollout that is deleted while we watch is known as it was last. What happened while nobody watched is found by looking
//! once at the objects that each router may change: those marked as a Rollout's that does not name it. Nothing is followed
//! for that; once a router has been looked after, only a new one makes us look again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use sluice_api as api;
use sluice_cluster::Key;
use sluice_engine::object::{ObjectKey, Subject};
use sluice_engine::plan::{Requeue, WriteError, WriteErrorKind};
use sluice_engine::plugin::{PluginKind, PluginName};
use sluice_engine::rollout::{self, Departed, Record, Recorded};
use sluice_plugin_host::{Reach, SubjectBody};

use crate::reconcile::{Passed, outcome};
use crate::{Controller, Item, body};

/// How long routers are asked to let go of a Rollout that is gone.
const PATIENCE: Duration = Duration::from_secs(600);

/// What is known of leftovers.
#[derive(Debug, Default)]
pub(crate) struct Leftovers(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    /// Rollouts that are gone.
    departures: BTreeMap<Key, Departure>,
    /// Routers that have marked something as the Rollout's, which does not name them.
    marked: BTreeMap<Key, BTreeSet<String>>,
    /// Components of routers, and the group and kind of which they have been looked after.
    searched: BTreeSet<(String, (String, String))>,
}

#[derive(Clone, Debug)]
struct Departure {
    subject: Subject,
    rollout: Option<Arc<api::Rollout>>,
    routers: Record,
    until: Timestamp,
}

impl Leftovers {
    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The routers that have marked something as this Rollout's.
    pub(crate) fn marked(&self, key: &Key) -> BTreeSet<String> {
        self.lock().marked.get(key).cloned().unwrap_or_default()
    }

    /// These routers have let go of the Rollout.
    pub(crate) fn released(&self, key: &Key, routers: &[String]) {
        if routers.is_empty() {
            return;
        }
        let mut known = self.lock();
        if let Some(marked) = known.marked.get_mut(key) {
            marked.retain(|router| !routers.contains(router));
            if marked.is_empty() {
                known.marked.remove(key);
            }
        }
    }

    /// Whether the subject is a Rollout that is gone and that something is still done for.
    pub(crate) fn is_departed(&self, subject: &Subject) -> bool {
        let known = self.lock();
        let departure = known.departures.get(&Key::from(&subject.key));
        departure.is_some_and(|departure| departure.subject == *subject)
    }

    /// The Rollouts that are gone.
    pub(crate) fn departed(&self) -> Vec<Key> {
        self.lock().departures.keys().cloned().collect()
    }

    fn departure(&self, key: &Key) -> Option<Departure> {
        self.lock().departures.get(key).cloned()
    }

    fn mark(&self, key: &Key, routers: impl IntoIterator<Item = String>) {
        let mut known = self.lock();
        known.marked.entry(key.clone()).or_default().extend(routers);
    }
}

fn unavailable(message: String) -> WriteError {
    WriteError::new(WriteErrorKind::Unavailable, message)
}

fn subject_of(key: &Key, uid: &str) -> Subject {
    Subject {
        key: ObjectKey::namespaced(
            <api::Rollout as api::Kind>::API_VERSION,
            <api::Rollout as api::Kind>::KIND,
            &key.namespace,
            &key.name,
        ),
        uid: uid.to_owned(),
    }
}

impl Controller {
    /// A Rollout has been deleted.
    pub(crate) fn depart(&self, key: Key, uid: &str) {
        self.unsaid.forget(&key);
        let Some(rollout) = self.cluster.take_departed(&key, uid) else {
            return;
        };
        let routers = rollout::record(&rollout);
        self.see_off(key, uid, Some(rollout), routers);
    }

    /// Begins to ask routers to let go.
    fn see_off(&self, key: Key, uid: &str, rollout: Option<Arc<api::Rollout>>, routers: Record) {
        let now = self.clock.now();
        let departure = Departure {
            subject: subject_of(&key, uid),
            rollout,
            routers,
            until: now.checked_add(PATIENCE).unwrap_or(now),
        };
        let before = self
            .leftovers
            .lock()
            .departures
            .insert(key.clone(), departure);
        if let Some(before) = before {
            self.plugins.forget(&before.subject);
        }
        self.queue.add(Item::Departed(key));
    }

    /// One pass over a Rollout that is gone.
    pub(crate) async fn pass_departed(&self, key: &Key) -> Passed {
        let Some(departure) = self.leftovers.departure(key) else {
            return Passed::Look(Requeue::OnChange);
        };
        // Another controller's Rollout, or one that no watch shows yet, has the name too.
        let replaced = match self.cluster.rollout(key) {
            Some(_) => Ok(true),
            None => self.cluster.has_rollout(key).await,
        };
        let replaced = match replaced {
            Ok(replaced) => replaced,
            Err(message) => return Passed::Failed(unavailable(message), Requeue::OnChange),
        };
        let subject = departure.subject.clone();
        let seen = Departed {
            now: self.clock.now(),
            subject: subject.clone(),
            routers: departure.routers.clone(),
            until: departure.until,
            replaced,
            plugins: self.plugins_of(&subject),
        };
        let made = rollout::decide_departed(&seen);
        self.follow_calls(&subject, &made.plan, &seen.plugins, |call| {
            departure.body(&call.slot.plugin.name)
        });
        let got = self.cluster.execute(&subject, &made.plan).await;
        self.tell_plugins(&subject, &made.plan, &got, &seen.plugins);
        let parted = rollout::settle_departed(&seen, &made, &got);
        self.publish(&subject, parted.events, &[]);
        if !parted.over {
            return outcome(&made.plan, &got, false, parted.requeue, seen.now);
        }
        self.plugins.forget(&subject);
        let mut known = self.leftovers.lock();
        let is_same = |departure: &Departure| departure.subject == subject;
        if known.departures.get(key).is_some_and(is_same) {
            known.departures.remove(key);
        }
        drop(known);
        if replaced {
            // Whatever carries its name, the new one is to decide about.
            self.leftovers.mark(key, departure.routers.into_keys());
            self.queue.add(Item::Rollout(key.clone()));
        }
        Passed::Look(Requeue::OnChange)
    }

    /// Looks for what Rollouts have left with routers that have not been looked after yet.
    pub(crate) async fn search(&self) -> Passed {
        let mut failed = None;
        for reach in self.plugins.reaches() {
            // Services carry our own marks, which are looked after elsewhere.
            let kinds = reach
                .kinds
                .iter()
                .filter(|(group, kind)| !(group.is_empty() && kind == "Service"));
            for (group, kind) in kinds {
                let place = (reach.digest.clone(), (group.clone(), kind.clone()));
                if self.leftovers.lock().searched.contains(&place) {
                    continue;
                }
                // A kind that cannot be listed keeps nobody from the others.
                match self.cluster.marked(group, kind).await {
                    Ok(found) => {
                        for key in found {
                            self.sort_out(key, &reach);
                        }
                        self.leftovers.lock().searched.insert(place);
                    }
                    Err(message) => {
                        failed.get_or_insert_with(|| format!("{kind}: {message}"));
                    }
                }
            }
        }
        match failed {
            Some(message) => Passed::Failed(unavailable(message), Requeue::OnChange),
            None => Passed::Look(Requeue::OnChange),
        }
    }

    /// Something that the router may change is marked as this Rollout's.
    fn sort_out(&self, key: Key, reach: &Reach) {
        if let Some(rollout) = self.cluster.rollout(&key) {
            if !self.names(&rollout, reach) {
                self.leftovers.mark(&key, [reach.router.clone()]);
                self.queue.add(Item::Rollout(key));
            }
            return;
        }
        let known = self.leftovers.departure(&key);
        let (uid, rollout, mut routers) = match known {
            Some(known) if known.routers.contains_key(&reach.router) => return,
            Some(known) => (known.subject.uid, known.rollout, known.routers),
            None => (String::new(), None, Record::new()),
        };
        routers.insert(reach.router.clone(), Recorded::default());
        self.see_off(key, &uid, rollout, routers);
    }

    /// Whether the specification names this router, under any of its names.
    fn names(&self, rollout: &api::Rollout, reach: &Reach) -> bool {
        let registry = self.plugins.registry();
        rollout::named_routers(rollout).into_iter().any(|name| {
            let name = PluginName {
                kind: PluginKind::TrafficRouter,
                name,
            };
            name.name == reach.router
                || registry
                    .get(&name)
                    .is_some_and(|info| info.digest == reach.digest)
        })
    }
}

impl Departure {
    /// The Rollout as the router saw it last; no more than its name where nobody knows.
    fn body(&self, router: &str) -> SubjectBody {
        match &self.rollout {
            Some(rollout) => body::released(rollout, self.routers.get(router)),
            None => body::name_only(&self.subject),
        }
    }
}
