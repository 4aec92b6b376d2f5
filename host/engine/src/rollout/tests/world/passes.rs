//! One pass, and as many as it takes.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use jiff::SignedDuration;
use serde_json::Value;
use sluice_api as api;

use super::harm::named_services;
use super::objects::int;
use super::{How, Passed, World};
use crate::keys;
use crate::observed::{Looked, Observed, ReplicaSet, Service};
use crate::plan::{Action, Done, Plan, Query, Requeue, Role, Severity, WriteErrorKind};
use crate::plugin::{Ask, Plugins};
use crate::rollout::{Settled, decide, settle, validate};
use crate::template;

impl World {
    pub fn observe(&self) -> Observed {
        let all = |kind: &'static str| {
            let mut found: Vec<&Value> = self
                .objects
                .iter()
                .filter(move |((of, _), _)| of == kind)
                .map(|(_, body)| body)
                .collect();
            found.sort_by_key(|body| {
                let metadata = &body["metadata"];
                (
                    metadata["creationTimestamp"].as_str().map(str::to_owned),
                    metadata["name"].as_str().map(str::to_owned),
                )
            });
            found
        };
        let decoded = |kind| -> Vec<Value> { all(kind).into_iter().cloned().collect() };
        let rollout = self.rollout();
        let services: BTreeMap<String, Option<Arc<Service>>> = named_services(self.spec())
            .into_iter()
            .map(|name| {
                let found = self.objects.get(&("Service".to_owned(), name.clone()));
                let found = found.map(|body| Arc::new(service(body)));
                (name, found)
            })
            .collect();
        let templates = decoded("AnalysisTemplate")
            .into_iter()
            .map(|body| {
                let template: api::AnalysisTemplate = serde_json::from_value(body).unwrap();
                (template.metadata.name.clone(), Some(Arc::new(template)))
            })
            .collect();
        let (analysis_runs, foreign_runs): (Vec<api::AnalysisRun>, Vec<_>) = decoded("AnalysisRun")
            .into_iter()
            .map(|body| serde_json::from_value(body).unwrap())
            .partition(|run: &api::AnalysisRun| {
                let owner = run.metadata.controller();
                owner.is_some_and(|owner| owner.uid == rollout.metadata.uid)
            });
        Observed {
            now: self.now,
            rollout: Arc::new(rollout),
            replica_sets: self.labelled_sets(true),
            orphans: self.labelled_sets(false),
            services,
            analysis_templates: templates,
            cluster_analysis_templates: BTreeMap::new(),
            analysis_runs: analysis_runs.into_iter().map(Arc::new).collect(),
            foreign_runs: foreign_runs
                .into_iter()
                .map(|run| run.metadata.name)
                .collect(),
            experiments: Vec::new(),
            plugins: Plugins {
                loaded: Arc::new(self.plugins.clone()),
                loading: self.loading,
                jobs: self.jobs.values().map(|kept| self.job(kept)).collect(),
                marked: self.marked.clone(),
            },
            looked: self.looked.clone(),
        }
    }

    /// Sets that carry a hash label: those that the Rollout controls, or those that nobody does.
    pub(super) fn labelled_sets(&self, controlled: bool) -> Vec<Arc<ReplicaSet>> {
        let mut sets: Vec<ReplicaSet> = self.sets().map(replica_set).collect();
        sets.retain(|set| {
            let owner = set.metadata.controller().map(|owner| owner.uid.as_str());
            set.metadata.labels.contains_key(keys::POD_TEMPLATE_HASH)
                && set
                    .metadata
                    .labels
                    .get("app")
                    .is_some_and(|app| app == "web")
                && owner == controlled.then_some("uid-web")
        });
        sets.sort_by(|a, b| {
            let age =
                |set: &ReplicaSet| (set.metadata.creation_timestamp, set.metadata.name.clone());
            age(a).cmp(&age(b))
        });
        sets.into_iter().map(Arc::new).collect()
    }

    /// Validate, decide, carry out, settle, write the status.
    pub fn pass(&mut self) -> Passed {
        let mut seen = self.observe();
        // A list of pods lives one pass, and so does a failure.
        self.looked.retain(|query, looked| {
            !matches!(query, Query::Pods { .. }) && !matches!(looked, Looked::Failed(_))
        });
        let spec = validate(&seen.rollout, &seen);
        let made = decide(&spec, &seen);
        if self.twice {
            let again = decide(&spec, &seen);
            assert_eq!(made.plan, again.plan, "the same facts, another plan (I3)");
            assert_eq!(
                made.report, again.report,
                "the same facts, another report (I3)"
            );
        }
        check_weights(&made.plan);

        let asked = self.follow_calls(&made.plan);
        // What was read past the views is a fact of one pass, unless nothing was found.
        self.looked.retain(|query, looked| {
            !matches!(query, Query::Uncached(_)) || matches!(looked, Looked::Object(None))
        });
        let mut lines = Vec::new();
        let got = self.carry_out(&made.plan, &mut lines);
        let looks = || {
            made.plan
                .actions
                .iter()
                .filter_map(|planned| match &planned.action {
                    Action::Look(query) => Some(matches!(query, Query::Pods { .. })),
                    Action::Write(_) | Action::Call(_) => None,
                })
        };
        let (looked, listed) = (looks().any(|pods| !pods), looks().any(|pods| pods));
        if let Some(meanwhile) = self.meanwhile.take() {
            meanwhile(self);
        }
        let mut settled = settle(&spec, &seen, &made, &got);
        if self.twice {
            let twice = settle(&spec, &seen, &made, &got);
            assert_eq!(
                settled.status, twice.status,
                "the same outcome, another status (I3)"
            );
            assert_eq!(
                settled.events, twice.events,
                "the same outcome, other events (I3)"
            );
        }
        let mut written = true;
        let mut conflicts = 0;
        while let Some(write) = &settled.status {
            match self.write(write, None) {
                Ok(_) => break,
                Err(error) if error.kind == WriteErrorKind::Conflict && conflicts < 5 => {
                    conflicts += 1;
                    seen.rollout = Arc::new(self.rollout());
                    let spec = validate(&seen.rollout, &seen);
                    settled = settle(&spec, &seen, &made, &got);
                }
                Err(error) => {
                    lines.push(format!("status failed: {:?}", error.kind));
                    written = false;
                    break;
                }
            }
        }
        if !written {
            settled.events = std::mem::take(&mut settled.of_writes);
            settled.ended = None;
            settled.released.clear();
        }
        self.publish(&settled, &mut lines);
        let status = self.status();
        if written && settled.status.is_some() {
            assert_eq!(
                serde_json::to_value(&status).unwrap(),
                serde_json::to_value(&*settled.next).unwrap(),
                "the patch does not lead to the status that was meant"
            );
        }
        for wait in &made.report.waits {
            let until = wait.until.map_or_else(String::new, |time| {
                format!(" until {}", self.relative(time))
            });
            lines.push(self.readable(&format!("wait {}: {}{until}", wait.what, wait.for_what)));
        }
        self.requeue = settled.requeue;
        if let Requeue::At(time) = settled.requeue {
            lines.push(format!("again at {}", self.relative(time)));
        }
        // An eviction that is refused is tried again later, and nothing comes of it now.
        let forbidden = self.budget == Some(0);
        let refused = |index: usize| {
            made.plan.actions[index].role == Role::Restart
                && matches!(&got.done[index], Done::Failed(error)
                    if forbidden || matches!(error.kind, WriteErrorKind::Refused | WriteErrorKind::Invalid))
        };
        let quiet = made.plan.writes().all(|(index, _)| refused(index))
            && settled.status.is_none()
            && settled.events.is_empty()
            && self.hidden.is_empty()
            && !asked
            && !looked;
        let versions = self.versions;
        self.replica_set_controller();
        self.numbers_arrive();
        let quiet = quiet && self.versions == versions;
        let answered = self.router_answers();
        Passed {
            settled,
            lines,
            quiet: quiet && !answered,
            listed,
        }
    }

    /// Passes until nothing is planned, and one more: it must plan nothing and write nothing (I9).
    /// Returns what happened, without the waits of passes in between.
    pub fn settle(&mut self) -> String {
        let mut story = String::new();
        for _ in 0..200 {
            let passed = self.pass();
            let crash = Some(How::Crash);
            if self.disturbance.map(|disturbance| disturbance.how) == crash && self.disturbed() {
                self.restart();
                continue;
            }
            for line in passed
                .lines
                .iter()
                .filter(|line| passed.quiet || !is_wait(line))
            {
                writeln!(story, "{line}").unwrap();
            }
            if passed.quiet && !passed.listed {
                // A list that was older than the numbers of its set is made again.
                let listed_again = Requeue::At(self.now + SignedDuration::from_secs(1));
                let restarts = self.status().restarted_at != self.rollout().spec.restart_at;
                if self.numbers_lag > 0 && restarts && self.requeue == listed_again {
                    continue;
                }
                if let Requeue::At(time) = self.requeue {
                    assert!(
                        time > self.now,
                        "converged, but asks to be called again at once"
                    );
                }
                let mut again = self.pass();
                if again.listed {
                    again = self.pass();
                }
                assert!(
                    again.quiet,
                    "{}: a further pass does something (I9):\n{}",
                    self.story,
                    again.lines.join("\n")
                );
                writeln!(story, "{} | {}", self.phase(), self.sizes()).unwrap();
                return story;
            }
        }
        let last = self.pass();
        panic!(
            "{}: 200 passes without rest:\n{story}\nthen {:#?}\n{:#?}",
            self.story, last.lines, last.settled.status
        );
    }

    /// Whether the disturbance has come to pass.
    pub fn disturbed(&self) -> bool {
        self.disturbance
            .is_some_and(|disturbance| self.writes >= disturbance.at)
    }

    /// Sleeps until the pass asked to be called again, and settles. Nothing else wakes the controller.
    pub fn sleep(&mut self) -> String {
        let Requeue::At(time) = self.requeue else {
            panic!("nobody will ever wake this Rollout: {}", self.phase());
        };
        assert!(time > self.now, "asks for a time that has passed");
        self.now = time;
        self.settle()
    }

    /// The controller is gone and another one starts: only what the API server holds is left.
    pub fn restart(&mut self) {
        self.jobs.clear();
        self.looked.clear();
        self.requeue = Requeue::OnChange;
        if self
            .disturbance
            .is_some_and(|disturbance| disturbance.how == How::Crash)
        {
            self.disturbance = None;
        }
    }

    pub(super) fn publish(&mut self, settled: &Settled, lines: &mut Vec<String>) {
        self.marked
            .retain(|router| !settled.released.contains(router));
        for (slot, key) in &settled.reported {
            if let Some(kept) = self.jobs.get_mut(slot).filter(|kept| kept.job.key == *key) {
                kept.job.reported = true;
            }
        }
        if let Some(ended) = &settled.ended {
            let (began, end) = (
                ended.rollout_started_at.unwrap(),
                ended.finished_at.unwrap(),
            );
            self.ended.push((
                ended.completion_status.as_ref().unwrap().to_string(),
                end.0.duration_since(began.0).as_secs(),
                ended.total_manual_pause_duration_seconds.unwrap_or(0),
            ));
        }
        for event in &settled.events {
            let severity = match event.severity {
                Severity::Normal => "event",
                Severity::Warning => "warning",
            };
            let text = self.readable(&format!("{severity} {}: {}", event.reason, event.message));
            lines.push(text.clone());
            self.events.push(text);
        }
    }
}

pub(super) fn is_wait(line: &str) -> bool {
    line.starts_with("wait ") || line.starts_with("again ")
}

/// The weights of every call add up to the whole.
pub(super) fn check_weights(plan: &Plan) {
    for call in plan.calls() {
        if let Ask::Route(Some(traffic)) = &call.ask {
            assert_eq!(
                traffic.canary.weight + traffic.stable.weight,
                traffic.total_weight
            );
            assert!(traffic.canary.weight <= traffic.total_weight);
        }
    }
}

/// As the cluster crate trims it.
pub(super) fn replica_set(body: &Value) -> ReplicaSet {
    let metadata: api::ObjectMeta = serde_json::from_value(body["metadata"].clone()).unwrap();
    let ephemeral = metadata.annotations.get(keys::EPHEMERAL_METADATA).cloned();
    let failure = body["status"]["conditions"]
        .as_array()
        .into_iter()
        .flatten()
        .find(|c| c["type"] == "ReplicaFailure");
    ReplicaSet {
        replicas: int(&body["spec"]["replicas"]),
        min_ready_seconds: int(&body["spec"]["minReadySeconds"]),
        template: template::identity(&body["spec"]["template"], ephemeral.as_deref()),
        status_replicas: int(&body["status"]["replicas"]),
        ready: int(&body["status"]["readyReplicas"]),
        available: int(&body["status"]["availableReplicas"]),
        observed_generation: body["status"]["observedGeneration"].as_i64().unwrap_or(0),
        failure: failure.map(|failure| serde_json::from_value(failure.clone()).unwrap()),
        metadata,
    }
}

pub(super) fn service(body: &Value) -> Service {
    Service {
        metadata: serde_json::from_value(body["metadata"].clone()).unwrap(),
        selector: serde_json::from_value(body["spec"]["selector"].clone()).unwrap(),
    }
}
