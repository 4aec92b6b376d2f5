//! The scheduler and the kubelets: pods are placed, start, get ready, crash, finish and go, as their annotations say.
//!
//! | annotation `simulation.sluice.dev/…` | meaning |
//! |---|---|
//! | `ready-after: 3s` | ready so long after being placed; one second where nothing else is set |
//! | `never-ready: "true"` | runs, but is never ready |
//! | `crash-after: 10s` | the containers exit with code 1 so long after their start, and again after each restart |
//! | `image-error: "true"` | the image cannot be pulled |
//! | `finish-after: 5s` | the containers exit so long after their start; `never` to run on |
//! | `exit-code: "1"` | with which code they do; 0 where it is not set |
//! | `gone-after: 10s` | so long from a pod's deletion to its being gone |
//!
//! Annotations are read anew at every look, so a test can change a living pod's fate.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use super::hands::Hands;
use super::{Workloads, ownership};
use crate::json;
use crate::server::is_terminating;
use crate::store::Key;

const SCHEDULER: &str = "default-scheduler";
const KUBELET: &str = "kubelet";
/// The one node; a pod's place makes no difference here.
const NODE: &str = "simulated-node";
const NODE_ADDRESS: &str = "192.0.2.1";
/// From placement to the containers' start, for pods that get ready no sooner.
const START_DELAY: Duration = Duration::from_millis(200);
/// First and longest pause before a crashed container is started again.
const RESTART_BACKOFF: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(300));
/// From the first failure to pull an image to the kubelet's calling it a back-off.
const PULL_BACKOFF: Duration = Duration::from_secs(10);
/// How long containers run that are meant to end and do not say when.
const FINISH_AFTER: Duration = Duration::from_secs(1);
const ANNOTATION: &str = "/metadata/annotations/simulation.sluice.dev~1";

/// A pod made from a template, controlled by `owner` and named after it.
pub(super) fn from_template(template: &Value, owner: &Value) -> Value {
    let mut metadata = json!({
        "generateName": format!("{}-", json::text(owner, "/metadata/name")),
        "namespace": json::text(owner, "/metadata/namespace"),
        "ownerReferences": [ownership::reference(owner)],
    });
    for field in ["labels", "annotations", "finalizers"] {
        let value = template
            .get("metadata")
            .and_then(|metadata| metadata.get(field));
        if let Some(value) = value {
            json::set(&mut metadata, field, value.clone());
        }
    }
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": metadata,
        "spec": template.get("spec").cloned().unwrap_or_default(),
    })
}

/// Whether a pod's Ready condition is true.
pub(super) fn is_ready(pod: &Value) -> bool {
    ready_since(pod).is_some()
}

/// Since when a pod's Ready condition is true.
pub(super) fn ready_since(pod: &Value) -> Option<&str> {
    json::entries(pod, "/status/conditions")
        .iter()
        .find(|condition| {
            json::text(condition, "/type") == "Ready" && json::text(condition, "/status") == "True"
        })
        .map(|condition| json::text(condition, "/lastTransitionTime"))
}

/// What is known of each pod beyond its object, whose times are whole seconds.
#[derive(Debug)]
pub(super) struct Kubelet {
    pods: BTreeMap<Key, Life>,
    addresses: u32,
    ready_after: Duration,
    gone_after: Duration,
}

/// One pod's life so far.
#[derive(Clone, Debug)]
struct Life {
    uid: String,
    address: String,
    placed: Instant,
    /// When the containers last started.
    started: Option<Instant>,
    started_at: String,
    /// When they exited, and with which code, unless they were started again since.
    exited: Option<(Instant, i64)>,
    /// Their last exit, as a status tells it.
    last_exit: Option<Value>,
    restarts: u32,
    /// When the image could not be pulled for the first time.
    pull_failed: Option<Instant>,
    deleted: Option<Instant>,
}

/// What the containers are doing.
enum Containers {
    Creating,
    PullFailing { backing_off: bool },
    Running { ready: bool },
    BackingOff,
    Ended { code: i64 },
}

impl Kubelet {
    pub(super) fn new(options: &Workloads) -> Self {
        Self {
            pods: BTreeMap::new(),
            addresses: 0,
            ready_after: options.ready_after,
            gone_after: options.gone_after,
        }
    }

    /// Moves a pod on, and says when it moves on by itself.
    pub(super) fn reconcile(&mut self, hands: &mut Hands<'_>, key: &Key) -> Option<Duration> {
        let Some(pod) = hands.get("", "pods", key) else {
            self.pods.remove(key);
            return None;
        };
        let uid = json::text(&pod, "/metadata/uid");
        if self.pods.get(key).is_some_and(|life| life.uid != uid) {
            self.pods.remove(key);
        }
        if json::text(&pod, "/spec/nodeName").is_empty() {
            place(hands, &pod);
            return None;
        }
        if matches!(json::text(&pod, "/status/phase"), "Succeeded" | "Failed")
            && !is_terminating(&pod)
        {
            return None;
        }
        let (ready_after, gone_after) = (self.ready_after, self.gone_after);
        let life = self.life(key, uid);
        if is_terminating(&pod) {
            let deleted = *life.deleted.get_or_insert_with(Instant::now);
            let gone = deleted + duration(&pod, "gone-after").unwrap_or(gone_after);
            if Instant::now() < gone {
                return Some(gone - Instant::now());
            }
            hands.delete(KUBELET, &pod, None, Some(0));
            return None;
        }
        let (containers, again) = life.advance(hands, &pod, ready_after);
        let status = life.status(hands, &pod, &containers);
        // Whoever changed it in between causes another look.
        let _ = hands.set_status(KUBELET, &pod, status);
        again
    }

    fn life(&mut self, key: &Key, uid: &str) -> &mut Life {
        let addresses = &mut self.addresses;
        self.pods.entry(key.clone()).or_insert_with(|| {
            *addresses += 1;
            Life {
                uid: uid.to_owned(),
                address: format!(
                    "10.244.{}.{}",
                    (*addresses / 254) % 256,
                    *addresses % 254 + 1
                ),
                placed: Instant::now(),
                started: None,
                started_at: String::new(),
                exited: None,
                last_exit: None,
                restarts: 0,
                pull_failed: None,
                deleted: None,
            }
        })
    }
}

/// Puts a pod on the node.
fn place(hands: &mut Hands<'_>, pod: &Value) {
    if is_terminating(pod) {
        return;
    }
    let Ok(placed) = hands.patch(SCHEDULER, pod, json!({"spec": {"nodeName": NODE}})) else {
        return;
    };
    let mut status = placed.get("status").cloned().unwrap_or_default();
    let at = hands.timestamp();
    json::set(
        &mut status,
        "conditions",
        json!([condition("PodScheduled", true, &at)]),
    );
    // Whoever changed it in between causes another look.
    let _ = hands.set_status(SCHEDULER, &placed, status);
}

impl Life {
    /// Does what is due by now and says what the containers are doing, and when that changes.
    fn advance(
        &mut self,
        hands: &Hands<'_>,
        pod: &Value,
        ready_after: Duration,
    ) -> (Containers, Option<Duration>) {
        let now = Instant::now();
        if flag(pod, "image-error") {
            let failed = *self.pull_failed.get_or_insert(now);
            let back_off = failed + PULL_BACKOFF;
            let again = (now < back_off).then(|| back_off - now);
            return (
                Containers::PullFailing {
                    backing_off: now >= back_off,
                },
                again,
            );
        }
        self.pull_failed = None;
        let ready_after = duration(pod, "ready-after").unwrap_or(ready_after);
        let restart_policy = json::text(pod, "/spec/restartPolicy");
        if let Some((exited, code)) = self.exited {
            if !restarts(restart_policy, code) {
                return (Containers::Ended { code }, None);
            }
            let again = exited + backoff(self.restarts);
            if now < again {
                return (Containers::BackingOff, Some(again - now));
            }
            self.exited = None;
            self.restarts += 1;
            self.start(hands, now);
        }
        let started = match self.started {
            Some(started) => started,
            None => {
                let start = self.placed + START_DELAY.min(ready_after);
                if now < start {
                    return (Containers::Creating, Some(start - now));
                }
                self.start(hands, now);
                now
            }
        };
        if let Some((end, code)) = ending(pod, restart_policy) {
            let end = started + end;
            if now >= end {
                self.exited = Some((now, code));
                self.last_exit = Some(json!({"terminated": {
                    "exitCode": code,
                    "reason": if code == 0 { "Completed" } else { "Error" },
                    "startedAt": self.started_at,
                    "finishedAt": hands.timestamp(),
                }}));
                return self.advance(hands, pod, ready_after);
            }
            let (containers, again) = self.running(pod, started, ready_after, now);
            let left = end - now;
            return (
                containers,
                Some(again.map_or(left, |again| again.min(left))),
            );
        }
        self.running(pod, started, ready_after, now)
    }

    fn start(&mut self, hands: &Hands<'_>, now: Instant) {
        self.started = Some(now);
        self.started_at = hands.timestamp();
    }

    fn running(
        &self,
        pod: &Value,
        started: Instant,
        ready_after: Duration,
        now: Instant,
    ) -> (Containers, Option<Duration>) {
        if flag(pod, "never-ready") {
            return (Containers::Running { ready: false }, None);
        }
        // The first start counts from placement, a restart from itself.
        let since = if self.restarts == 0 {
            self.placed
        } else {
            started
        };
        let ready = since + ready_after;
        if now < ready {
            (Containers::Running { ready: false }, Some(ready - now))
        } else {
            (Containers::Running { ready: true }, None)
        }
    }

    /// The status that tells what the containers are doing.
    fn status(&self, hands: &Hands<'_>, pod: &Value, containers: &Containers) -> Value {
        let phase = match containers {
            Containers::Creating | Containers::PullFailing { .. } => "Pending",
            Containers::Running { .. } | Containers::BackingOff => "Running",
            Containers::Ended { code: 0 } => "Succeeded",
            Containers::Ended { .. } => "Failed",
        };
        let containers_ready = matches!(containers, Containers::Running { ready: true });
        let gates_open = json::entries(pod, "/spec/readinessGates")
            .iter()
            .all(|gate| {
                let wanted = json::text(gate, "/conditionType");
                json::entries(pod, "/status/conditions")
                    .iter()
                    .any(|found| {
                        json::text(found, "/type") == wanted
                            && json::text(found, "/status") == "True"
                    })
            });
        let started = !matches!(
            containers,
            Containers::Creating | Containers::PullFailing { .. }
        );
        let mut status = pod.get("status").cloned().unwrap_or_default();
        json::set(&mut status, "phase", phase);
        json::set(&mut status, "hostIP", NODE_ADDRESS);
        json::set(&mut status, "hostIPs", json!([{"ip": NODE_ADDRESS}]));
        if started {
            json::set(&mut status, "podIP", self.address.as_str());
            json::set(&mut status, "podIPs", json!([{"ip": self.address}]));
        }
        json::default(&mut status, "startTime", hands.timestamp());
        let list = |name: &str| json::entries(pod, name).iter();
        let init: Vec<Value> = list("/spec/initContainers")
            .map(|container| self.init_container(container, started))
            .collect();
        if !init.is_empty() {
            json::set(&mut status, "initContainerStatuses", init);
        }
        let main: Vec<Value> = list("/spec/containers")
            .map(|container| self.container(container, containers))
            .collect();
        json::set(&mut status, "containerStatuses", main);
        let at = hands.timestamp();
        let mut conditions = vec![
            condition("PodReadyToStartContainers", started, &at),
            condition("Initialized", true, &at),
            condition("Ready", containers_ready && gates_open, &at),
            condition("ContainersReady", containers_ready, &at),
            condition("PodScheduled", true, &at),
        ];
        explain_not_ready(
            &mut conditions,
            pod,
            containers,
            containers_ready,
            gates_open,
        );
        keep_transition_times(&mut conditions, pod);
        json::set(&mut status, "conditions", conditions);
        status
    }

    fn init_container(&self, container: &Value, started: bool) -> Value {
        let mut status = identity(container, &self.uid, started);
        let done = json!({"exitCode": 0, "reason": "Completed", "startedAt": self.started_at, "finishedAt": self.started_at});
        let state = if started {
            json!({"terminated": done})
        } else {
            json!({"waiting": {"reason": "PodInitializing"}})
        };
        json::set(&mut status, "state", state);
        json::set(&mut status, "ready", started);
        status
    }

    fn container(&self, container: &Value, containers: &Containers) -> Value {
        let started = !matches!(
            containers,
            Containers::Creating | Containers::PullFailing { .. }
        );
        let mut status = identity(container, &self.uid, started);
        let waiting = |reason: &str, message: String| {
            if message.is_empty() {
                json!({"waiting": {"reason": reason}})
            } else {
                json!({"waiting": {"reason": reason, "message": message}})
            }
        };
        let last_exit = || self.last_exit.clone().unwrap_or_else(|| json!({}));
        let image = json::text(container, "/image");
        let name = json::text(container, "/name");
        let (state, ready, running) = match containers {
            Containers::Creating => (waiting("ContainerCreating", String::new()), false, false),
            Containers::PullFailing { backing_off: false } => (
                waiting(
                    "ErrImagePull",
                    format!("failed to pull and unpack image {image:?}: not found"),
                ),
                false,
                false,
            ),
            Containers::PullFailing { backing_off: true } => (
                waiting(
                    "ImagePullBackOff",
                    format!("Back-off pulling image {image:?}"),
                ),
                false,
                false,
            ),
            Containers::Running { ready } => (
                json!({"running": {"startedAt": self.started_at}}),
                *ready,
                true,
            ),
            Containers::BackingOff => (
                waiting(
                    "CrashLoopBackOff",
                    format!(
                        "back-off {}s restarting failed container={name}",
                        backoff(self.restarts).as_secs()
                    ),
                ),
                false,
                false,
            ),
            Containers::Ended { .. } => (last_exit(), false, false),
        };
        json::set(&mut status, "state", state);
        json::set(&mut status, "ready", ready);
        json::set(&mut status, "started", running);
        json::set(&mut status, "restartCount", self.restarts);
        if !matches!(containers, Containers::Ended { .. }) {
            json::set(&mut status, "lastState", last_exit());
        }
        status
    }
}

/// What every container status has.
fn identity(container: &Value, uid: &str, pulled: bool) -> Value {
    let image = json::text(container, "/image");
    let mut status = json!({
        "name": json::text(container, "/name"),
        "image": image,
        "imageID": "",
        "restartCount": 0,
        "lastState": {},
    });
    if pulled {
        json::set(&mut status, "imageID", format!("simulation://{image}"));
        json::set(
            &mut status,
            "containerID",
            format!("simulation://{uid}/{}", json::text(container, "/name")),
        );
    }
    status
}

fn condition(name: &str, holds: bool, at: &str) -> Value {
    json!({"type": name, "status": if holds { "True" } else { "False" }, "lastTransitionTime": at})
}

fn explain_not_ready(
    conditions: &mut [Value],
    pod: &Value,
    containers: &Containers,
    containers_ready: bool,
    gates_open: bool,
) {
    let (reason, message) = if let Containers::Ended { code } = containers {
        if *code == 0 {
            ("PodCompleted", String::new())
        } else {
            ("PodFailed", String::new())
        }
    } else if !containers_ready {
        let names: Vec<&str> = json::entries(pod, "/spec/containers")
            .iter()
            .map(|container| json::text(container, "/name"))
            .collect();
        (
            "ContainersNotReady",
            format!("containers with unready status: [{}]", names.join(" ")),
        )
    } else if !gates_open {
        (
            "ReadinessGatesNotReady",
            "corresponding condition of pod readiness gate is not \"True\"".to_owned(),
        )
    } else {
        return;
    };
    for condition in conditions {
        let about_readiness = matches!(json::text(condition, "/type"), "Ready" | "ContainersReady");
        if about_readiness && json::text(condition, "/status") == "False" {
            json::set(condition, "reason", reason);
            if !message.is_empty() {
                json::set(condition, "message", message.as_str());
            }
        }
    }
}

/// Conditions that did not change keep their time; those of others stay.
fn keep_transition_times(conditions: &mut Vec<Value>, pod: &Value) {
    for before in json::entries(pod, "/status/conditions") {
        let same = conditions
            .iter_mut()
            .find(|condition| json::text(condition, "/type") == json::text(before, "/type"));
        match same {
            Some(condition) => {
                if json::text(condition, "/status") == json::text(before, "/status") {
                    json::restore(condition, before, "lastTransitionTime");
                }
            }
            None => conditions.push(before.clone()),
        }
    }
}

/// How long after their start the containers exit, and with which code.
fn ending(pod: &Value, restart_policy: &str) -> Option<(Duration, i64)> {
    let crash = duration(pod, "crash-after").map(|after| (after, 1));
    let code = annotation(pod, "exit-code").parse().unwrap_or_default();
    let finish = match annotation(pod, "finish-after") {
        "never" => None,
        "" if restart_policy == "Always" || crash.is_some() => None,
        "" => Some((FINISH_AFTER, code)),
        _ => duration(pod, "finish-after").map(|after| (after, code)),
    };
    match (crash, finish) {
        (Some(crash), Some(finish)) if finish.0 < crash.0 => Some(finish),
        (Some(crash), _) => Some(crash),
        (None, finish) => finish,
    }
}

fn restarts(policy: &str, code: i64) -> bool {
    match policy {
        "Never" => false,
        "OnFailure" => code != 0,
        _ => true,
    }
}

fn backoff(restarts: u32) -> Duration {
    let (first, longest) = RESTART_BACKOFF;
    first
        .saturating_mul(1_u32.checked_shl(restarts).unwrap_or(u32::MAX))
        .min(longest)
}

fn annotation<'a>(pod: &'a Value, name: &str) -> &'a str {
    json::text(pod, &format!("{ANNOTATION}{name}"))
}

fn flag(pod: &Value, name: &str) -> bool {
    annotation(pod, name) == "true"
}

/// A duration such as `3s`, `250ms` or `1m30s`; nothing if there is none or it cannot be read.
fn duration(pod: &Value, name: &str) -> Option<Duration> {
    let span: jiff::SignedDuration = annotation(pod, name).parse().ok()?;
    Duration::try_from(span).ok()
}
