//! A run, its jobs and a clock: what the controller, the plugin host and the API server do between passes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use sluice_api as api;

use crate::analysis::{RunDecision, RunObserved, RunSettled, decide, settle};
use crate::plan::{Action, Done, Edit, Outcome, Requeue, WriteError, WriteErrorKind, Written};
use crate::plugin::{
    Ask, Effects, Job, JobState, MeasureLifecycle, Measured, MeasuredValue, PluginCall, PluginInfo,
    PluginKind, PluginName, Plugins, Reply, UNAVAILABLE, Waiting,
};

/// The clock of every story starts here.
pub(super) const START: &str = "2024-05-06T07:08:09Z";

/// A run and everything around it.
pub(super) struct World {
    pub(super) now: Timestamp,
    pub(super) run: api::AnalysisRun,
    pub(super) jobs: Vec<Job>,
    pub(super) plugins: BTreeMap<PluginName, PluginInfo>,
    pub(super) loading: bool,
    /// What the API server answers to the next writes, instead of success.
    pub(super) refuse: Vec<WriteErrorKind>,
    /// Writes of providers that took effect.
    pub(super) written: Vec<String>,
    /// Number of status patches.
    pub(super) patches: usize,
    /// `Severity Reason: message`
    pub(super) events: Vec<String>,
    pub(super) requeue: Requeue,
    pub(super) deleted: bool,
    calls: BTreeMap<String, PluginCall>,
}

pub(super) fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

pub(super) fn run(spec: Value) -> api::AnalysisRun {
    serde_json::from_value(json!({
        "metadata": {
            "name": "checkout-7c9f-3-2", "namespace": "shop", "uid": "0b9a6f0e-run", "resourceVersion": "1",
            "creationTimestamp": "2024-05-06T07:08:08Z",
        },
        "spec": spec,
    }))
    .unwrap()
}

impl World {
    pub(super) fn new(spec: Value) -> Self {
        let names = ["web", "prometheus", "job", "acme/judge"];
        let plugins = names.map(|name| {
            let name = PluginName {
                kind: PluginKind::MetricProvider,
                name: name.to_owned(),
            };
            (
                name,
                PluginInfo {
                    digest: "sha256:1".to_owned(),
                    ..PluginInfo::default()
                },
            )
        });
        Self {
            now: at(START),
            run: run(spec),
            jobs: Vec::new(),
            plugins: plugins.into_iter().collect(),
            loading: false,
            refuse: Vec::new(),
            written: Vec::new(),
            patches: 0,
            events: Vec::new(),
            requeue: Requeue::OnChange,
            deleted: false,
            calls: BTreeMap::new(),
        }
    }

    pub(super) fn seen(&self) -> RunObserved {
        RunObserved {
            now: self.now,
            run: Arc::new(self.run.clone()),
            plugins: Plugins {
                loaded: Arc::new(self.plugins.clone()),
                loading: self.loading,
                jobs: self.jobs.clone(),
                ..Plugins::default()
            },
        }
    }

    /// One pass, carried out.
    pub(super) fn pass(&mut self) -> (RunDecision, RunSettled) {
        let seen = self.seen();
        let made = decide(&seen);
        assert_eq!(made, decide(&seen), "the same facts, another decision");
        let got = self.carry_out(&made);
        let settled = settle(&seen, &made, &got);
        assert_eq!(
            settled,
            settle(&seen, &made, &got),
            "the same outcome, another settlement"
        );
        self.apply(&settled);
        (made, settled)
    }

    /// Passes until nothing changes; the last one must plan no write and no new call.
    pub(super) fn settle(&mut self) {
        for _ in 0..10 {
            let calls = self.calls.clone();
            let jobs = self.jobs.len();
            let (made, settled) = self.pass();
            let quiet = settled.status.is_none()
                && settled.settled.is_empty()
                && made.plan.writes().count() == 0;
            if quiet && self.calls == calls && self.jobs.len() == jobs {
                assert!(
                    settled.events.is_empty(),
                    "events without a change: {:?}",
                    settled.events
                );
                let again = match self.requeue {
                    Requeue::OnChange => true,
                    Requeue::At(time) => time > self.now,
                };
                assert!(again, "converged, but asks to be called again at once");
                return;
            }
        }
        panic!("ten passes without convergence: {:#?}", self.run.status);
    }

    fn carry_out(&mut self, made: &RunDecision) -> Outcome {
        let mut outcome = Outcome::default();
        let mut wanted = BTreeSet::new();
        for planned in &made.plan.actions {
            let ready = planned.after.iter().all(|at| outcome.succeeded(*at));
            let done = match &planned.action {
                Action::Write(_) if !ready => Done::Skipped,
                Action::Call(call) => {
                    self.ask(call);
                    wanted.insert(call.slot.clone());
                    Done::Asked
                }
                Action::Write(write) => match self.refuse.pop() {
                    Some(kind) => Done::Failed(WriteError::new(kind, format!("no: {kind:?}"))),
                    None => {
                        if write.target.kind == "AnalysisRun"
                            && matches!(write.edit, Edit::Delete(_))
                        {
                            self.deleted = true;
                        }
                        self.written
                            .push(format!("{} ({})", write.target, write.reason));
                        Done::Applied {
                            object: Written::default(),
                        }
                    }
                },
                Action::Look(query) => panic!("a run looks at nothing: {query:?}"),
            };
            outcome.done.push(done);
        }
        self.jobs.retain(|job| wanted.contains(&job.slot));
        outcome
    }

    fn ask(&mut self, call: &PluginCall) {
        let key = call.key();
        self.calls.insert(call.slot.part.clone(), call.clone());
        if self
            .jobs
            .iter()
            .any(|job| job.slot == call.slot && job.key == key)
        {
            return;
        }
        self.jobs.retain(|job| job.slot != call.slot);
        self.jobs.push(Job {
            slot: call.slot.clone(),
            key,
            due: call.due,
            started: self.now,
            reported: false,
            state: JobState::Running,
        });
    }

    fn apply(&mut self, settled: &RunSettled) {
        self.requeue = settled.requeue;
        if let Some(write) = &settled.status {
            assert_eq!(
                write.precondition.as_deref(),
                Some(self.run.metadata.resource_version.as_str())
            );
            let Edit::MergePatch(patch) = &write.edit else {
                panic!("{write:?}")
            };
            assert_eq!(
                patch.as_object().unwrap().keys().collect::<Vec<_>>(),
                ["status"]
            );
            let mut object = serde_json::to_value(&self.run).unwrap();
            merge(&mut object, patch);
            self.run = serde_json::from_value(object).unwrap();
            self.patches += 1;
            self.run.metadata.resource_version = (self.patches + 1).to_string();
        }
        for (slot, key) in &settled.settled {
            self.jobs.retain(|job| (&job.slot, &job.key) != (slot, key));
        }
        for event in &settled.events {
            assert_eq!(event.about.uid, self.run.metadata.uid);
            self.events.push(format!(
                "{:?} {}: {}",
                event.severity, event.reason, event.message
            ));
        }
    }

    pub(super) fn wait(&mut self, seconds: i64) {
        self.now = self
            .now
            .checked_add(SignedDuration::from_secs(seconds))
            .unwrap();
    }

    /// The call that a metric has in its slot.
    pub(super) fn call(&self, metric: &str) -> &PluginCall {
        assert!(
            self.jobs.iter().any(|job| job.slot.part == metric),
            "nobody is asked about {metric}"
        );
        &self.calls[metric]
    }

    pub(super) fn is_asked(&self, metric: &str) -> bool {
        self.jobs.iter().any(|job| job.slot.part == metric)
    }

    pub(super) fn lifecycle(&self, metric: &str) -> MeasureLifecycle {
        match &self.call(metric).ask {
            Ask::Measure { lifecycle, .. } => *lifecycle,
            other => panic!("{other:?}"),
        }
    }

    /// The provider answers now.
    pub(super) fn answer(&mut self, metric: &str, reply: Reply) {
        let now = self.now;
        let job = self.jobs.iter_mut().find(|job| job.slot.part == metric);
        let job = job.unwrap_or_else(|| panic!("nobody is asked about {metric}"));
        assert!(
            matches!(job.state, JobState::Running),
            "{metric} has answered already"
        );
        job.state = JobState::Finished {
            at: now,
            reply: Arc::new(reply),
            fresh: true,
        };
    }

    /// An object that the provider read has changed. The host asks again at the next pass that has the call.
    pub(super) fn change(&mut self, metric: &str) {
        for job in self.jobs.iter_mut().filter(|job| job.slot.part == metric) {
            if let JobState::Finished { fresh, .. } = &mut job.state {
                *fresh = false;
            }
        }
    }

    /// The host repeats what it knows to be stale.
    pub(super) fn repeat(&mut self, metric: &str) {
        let now = self.now;
        for job in self.jobs.iter_mut().filter(|job| job.slot.part == metric) {
            if matches!(job.state, JobState::Finished { fresh: false, .. }) {
                (job.state, job.started) = (JobState::Running, now);
            }
        }
    }

    /// The next measurement of a metric, whatever it takes: asked, answered, written.
    pub(super) fn measure(&mut self, metric: &str, reply: Reply) {
        self.settle();
        self.answer(metric, reply);
        self.settle();
    }

    pub(super) fn result(&self, metric: &str) -> &api::MetricResult {
        let results = &self.run.status.metric_results;
        results
            .iter()
            .find(|result| result.name == metric)
            .unwrap_or_else(|| panic!("no result of {metric}"))
    }

    pub(super) fn last(&self, metric: &str) -> &api::Measurement {
        self.result(metric).measurements.last().unwrap()
    }

    pub(super) fn phase(&self) -> &str {
        self.run.status.phase.as_str()
    }
}

fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    let target = target.as_object_mut().unwrap();
    for (name, value) in patch {
        if value.is_null() {
            target.remove(name);
        } else {
            merge(target.entry(name.clone()).or_insert(Value::Null), value);
        }
    }
}

pub(super) fn number(value: f64) -> Reply {
    measured(Measured {
        value: Some(MeasuredValue::Number(value)),
        shown: value.to_string(),
        ..nothing()
    })
}

pub(super) fn measured(measured: Measured) -> Reply {
    Reply::Measured(Box::new(measured))
}

pub(super) fn nothing() -> Measured {
    Measured {
        value: None,
        shown: String::new(),
        phase: None,
        message: None,
        metadata: BTreeMap::new(),
        metric_metadata: BTreeMap::new(),
        effects: Effects::default(),
    }
}

pub(super) fn waiting(metadata: &[(&str, &str)], effects: Effects) -> Reply {
    Reply::Waiting(Waiting {
        effects,
        metadata: texts(metadata),
        message: None,
    })
}

pub(super) fn texts(entries: &[(&str, &str)]) -> BTreeMap<String, String> {
    entries
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

pub(super) fn unavailable(why: &str) -> Reply {
    Reply::Broken {
        reason: UNAVAILABLE.to_owned(),
        message: why.to_owned(),
    }
}

pub(super) fn broken() -> Reply {
    Reply::Broken {
        reason: "Trapped".to_owned(),
        message: "index out of bounds in plan.rs".to_owned(),
    }
}
