//! The facts of a call, and the loop of rounds.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::{Cluster, MAX_ROUNDS, yaml_documents};
use crate::provider::{self, MeasurementFacts, MetricProvider};
use crate::router::{self, Plan, TrafficRouter};
use crate::step::{self, Step};
use crate::{
    Change, Context, FailedChange, HttpFailure, HttpRequest, HttpResponse, HttpResult, Needs,
    ObjectRef, PluginError, Read, ReadResult,
};

type Responder = Box<dyn Fn(&HttpRequest) -> Result<HttpResponse, HttpFailure>>;

/// The world in which a plugin is called: a subject, its configuration, objects, and what answers requests.
pub struct Given {
    /// The objects; changes of the plugin happen here.
    pub cluster: Cluster,
    subject: Value,
    config: Value,
    settings: BTreeMap<String, String>,
    now: String,
    state: Option<String>,
    failed: Vec<FailedChange>,
    responder: Responder,
}

/// How a call ended.
#[derive(Debug)]
pub struct Pass<A> {
    /// The answer.
    pub answer: A,
    /// How often the plugin was called.
    pub rounds: u32,
    /// The requests that it made, in order.
    pub requests: Vec<HttpRequest>,
}

/// What is known so far in a pass.
#[derive(Default)]
struct Facts {
    reads: Vec<ReadResult>,
    responses: Vec<HttpResult>,
    requests: Vec<HttpRequest>,
    state: Option<String>,
    asked: BTreeSet<String>,
}

/// An answer, or what is needed for one.
enum Turn<A> {
    Done(A),
    More(Needs),
}

impl Given {
    /// The subject, in JSON. Nothing else exists, and every request is unreachable.
    pub fn subject(subject: Value) -> Self {
        Self {
            cluster: Cluster::default(),
            subject,
            config: json!({}),
            settings: BTreeMap::new(),
            now: "2026-03-09T10:15:00Z".to_owned(),
            state: None,
            failed: Vec::new(),
            responder: Box::new(|request| {
                Err(HttpFailure::Unreachable(format!(
                    "nobody answers {}",
                    request.url
                )))
            }),
        }
    }

    /// The plugin's block of the specification.
    #[must_use]
    pub fn config(mut self, config: Value) -> Self {
        self.config = config;
        self
    }

    /// A setting of the administrator.
    #[must_use]
    pub fn setting(mut self, name: &str, value: &str) -> Self {
        self.settings.insert(name.to_owned(), value.to_owned());
        self
    }

    /// The decision clock.
    #[must_use]
    pub fn now(mut self, now: &str) -> Self {
        self.now = now.to_owned();
        self
    }

    /// These objects, from a YAML stream.
    #[must_use]
    pub fn objects(mut self, text: &str) -> Self {
        yaml_documents(text)
            .into_iter()
            .for_each(|object| self.cluster.put(object));
        self
    }

    /// What answers requests.
    #[must_use]
    pub fn answering(
        mut self,
        responder: impl Fn(&HttpRequest) -> Result<HttpResponse, HttpFailure> + 'static,
    ) -> Self {
        self.responder = Box::new(responder);
        self
    }

    /// Changes the subject for the calls that follow.
    pub fn set_subject(&mut self, subject: Value) {
        self.subject = subject;
    }

    /// Changes the configuration for the calls that follow.
    pub fn set_config(&mut self, config: Value) {
        self.config = config;
    }

    /// `traffic-router.check`.
    ///
    /// # Errors
    /// The plugin's.
    pub fn check<R: TrafficRouter>(&self) -> Result<Pass<Vec<Read>>, PluginError> {
        self.rounds(|context| {
            Ok(match router::check::<R>(context)? {
                router::Checked::Usable(usable) => Turn::Done(usable.watch),
                router::Checked::More(needs) => Turn::More(needs),
            })
        })
    }

    /// `traffic-router.reconcile`, and its changes applied.
    ///
    /// # Errors
    /// The plugin's.
    pub fn reconcile<R: TrafficRouter>(
        &mut self,
        desired: Option<&router::Traffic>,
    ) -> Result<Pass<Plan>, PluginError> {
        let pass = self.rounds(|context| {
            Ok(match router::reconcile::<R>(context, desired)? {
                router::Reply::Done(plan) => Turn::Done(plan),
                router::Reply::More(needs) => Turn::More(needs),
            })
        })?;
        self.state.clone_from(&pass.answer.state);
        self.apply(&pass.answer.effects.changes);
        Ok(pass)
    }

    /// As [`Self::reconcile`], and then once more: the second pass must plan no change.
    ///
    /// # Errors
    /// The plugin's.
    ///
    /// # Panics
    /// When a change fails or the second pass plans one.
    pub fn settle<R: TrafficRouter>(
        &mut self,
        desired: Option<&router::Traffic>,
    ) -> Result<Pass<Plan>, PluginError> {
        let first = self.reconcile::<R>(desired)?;
        assert!(self.failed.is_empty(), "changes failed: {:?}", self.failed);
        let second = self.reconcile::<R>(desired)?.answer.effects;
        assert!(
            second.changes.is_empty(),
            "a second pass changes something: {:?}",
            second.changes
        );
        Ok(first)
    }

    /// `metric-provider.measure`, and its changes applied.
    ///
    /// # Errors
    /// The plugin's.
    ///
    /// # Panics
    /// When the provider asks for samples: this host has no other provider.
    pub fn measure<P: MetricProvider>(
        &mut self,
        lifecycle: provider::Lifecycle,
        facts: &MeasurementFacts,
    ) -> Result<Pass<provider::Reply>, PluginError> {
        let pass = self.rounds(|context| {
            Ok(match provider::measure::<P>(lifecycle, context, facts)? {
                provider::Reply::More(more) => {
                    assert!(
                        more.samples.is_empty(),
                        "samples are not supported here: {:?}",
                        more.samples
                    );
                    Turn::More(more.needs)
                }
                reply => Turn::Done(reply),
            })
        })?;
        match &pass.answer {
            provider::Reply::Measured(finished) => self.apply(&finished.effects.changes),
            provider::Reply::Wait(waiting) => self.apply(&waiting.effects.changes),
            provider::Reply::More(_) => {}
        }
        Ok(pass)
    }

    /// `step.execute`, and its changes applied.
    ///
    /// # Errors
    /// The plugin's.
    pub fn execute<S: Step>(
        &mut self,
        lifecycle: step::Lifecycle,
    ) -> Result<Pass<step::Outcome>, PluginError> {
        let pass = self.rounds(|context| {
            Ok(match step::execute::<S>(lifecycle, context)? {
                step::Reply::Done(outcome) => Turn::Done(outcome),
                step::Reply::More(needs) => Turn::More(needs),
            })
        })?;
        if pass.answer.status.is_some() {
            self.state.clone_from(&pass.answer.status);
        }
        self.apply(&pass.answer.effects.changes);
        Ok(pass)
    }

    /// The changes of the last answer that could not be applied.
    pub fn failed_changes(&self) -> &[FailedChange] {
        &self.failed
    }

    fn apply(&mut self, changes: &[Change]) {
        let namespace = self.subject_ref().namespace.unwrap_or_default();
        self.failed = self.cluster.apply(changes, &namespace);
    }

    fn rounds<A>(
        &self,
        call: impl Fn(&Context) -> Result<Turn<A>, PluginError>,
    ) -> Result<Pass<A>, PluginError> {
        let mut facts = Facts {
            state: self.state.clone(),
            ..Facts::default()
        };
        for round in 0..MAX_ROUNDS {
            match call(&self.context(round, &facts))? {
                Turn::Done(answer) => {
                    return Ok(Pass {
                        answer,
                        rounds: round + 1,
                        requests: facts.requests,
                    });
                }
                Turn::More(needs) => self.answer(needs, &mut facts),
            }
        }
        panic!("no answer after {MAX_ROUNDS} rounds");
    }

    fn answer(&self, needs: Needs, facts: &mut Facts) {
        let namespace = self.subject_ref().namespace.unwrap_or_default();
        let Needs { reads, http, state } = needs;
        assert!(
            !reads.is_empty() || !http.is_empty(),
            "needs that need nothing"
        );
        for read in reads {
            assert!(
                facts.asked.insert(format!("read {}", read.id)),
                "asked again: {read:?}"
            );
            facts.reads.push(self.cluster.answer(&read, &namespace));
        }
        for request in http {
            assert!(
                facts.asked.insert(format!("request {}", request.id)),
                "asked again: {request:?}"
            );
            facts.responses.push(HttpResult {
                id: request.id.clone(),
                outcome: (self.responder)(&request),
            });
            facts.requests.push(request);
        }
        facts.state = state.or_else(|| facts.state.take());
    }

    fn context(&self, round: u32, facts: &Facts) -> Context {
        Context {
            now: self.now.clone(),
            round,
            subject: self.subject_ref(),
            subject_body: self.subject.to_string(),
            config: self.config.to_string(),
            settings: json!(self.settings).to_string(),
            state: facts.state.clone(),
            reads: facts.reads.clone(),
            responses: facts.responses.clone(),
            failed_changes: self.failed.clone(),
        }
    }

    fn subject_ref(&self) -> ObjectRef {
        let text = |pointer| {
            self.subject
                .pointer(pointer)
                .and_then(Value::as_str)
                .map(str::to_owned)
        };
        ObjectRef {
            api_version: text("/apiVersion").unwrap_or_default(),
            kind: text("/kind").unwrap_or_default(),
            namespace: text("/metadata/namespace"),
            name: text("/metadata/name").unwrap_or_default(),
        }
    }
}
