//! One pass of one call: rounds of needs until the guest decides, then its decision as a reply that may be acted on.
//!
//! Everything between guest and surroundings is checked here, by `grants`; jobs and their memory are a neighbour's.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures::future::{BoxFuture, join_all};
use jiff::Timestamp;
use serde_json::Value;
use sluice_engine::object::ObjectKey;
use sluice_engine::plugin::{
    Ask, Effects, Function, MeasureLifecycle, Measured, MeasurementFacts, PluginCall, PluginKind,
    PluginName, Reply, Slot,
};
use sluice_engine::read::ReadOutcome;
use tracing::Instrument as _;

use crate::answer::{Answer, Asked, Draft, Facts, Needs};
use crate::body::SubjectBody;
use crate::changes::{self, Author};
use crate::clock::after;
use crate::fault::{Fault, FaultKind};
use crate::grants;
use crate::guest_log::GuestLog;
use crate::http::{HttpFailure, HttpRequest, HttpResponse, Requester};
use crate::manifest::BodyWanted;
use crate::metrics::CallLabels;
use crate::plugin::Plugin;
use crate::ports::NoSecret;
use crate::question::{Question, Seen};
use crate::sandbox::Cost;
use crate::shared::Shared;

/// When the host asks again where nobody would tell it to: a provider waits and says neither for what nor for how long
/// (`waiting` in `provider.wit`), or a plugin watches what cannot be followed.
const NOBODY_TELLS: Duration = Duration::from_secs(10);

/// What is remembered from one pass of a slot to the next.
#[derive(Clone, Debug, Default)]
pub(crate) struct Memory {
    /// What the last answer asked for or watches, by the plugin's names.
    pub questions: BTreeMap<String, Question>,
    /// What a router returned as its state.
    pub state: Option<String>,
    /// Changes of the last answer that were not applied.
    pub failed_changes: Vec<(ObjectKey, String)>,
}

/// What came of a pass.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub reply: Reply,
    /// For the next pass. None: as it was.
    pub memory: Option<Memory>,
    /// What was read or is watched, and what it looked like.
    pub seen: BTreeMap<Question, Seen>,
}

impl From<Fault> for Outcome {
    fn from(fault: Fault) -> Self {
        Self {
            reply: fault.into_reply(),
            memory: None,
            seen: BTreeMap::new(),
        }
    }
}

/// Runs a call to its reply.
pub(crate) async fn run(
    shared: Arc<Shared>,
    call: PluginCall,
    body: SubjectBody,
    memory: Memory,
) -> Outcome {
    match Pass::prepare(shared, call, body, true).await {
        Ok(pass) => pass.run(memory).await,
        Err(fault) => fault.into(),
    }
}

struct Pass {
    shared: Arc<Shared>,
    plugin: Arc<Plugin>,
    call: PluginCall,
    body: SubjectBody,
    body_text: String,
    config: String,
    requester: Requester,
    now: Timestamp,
    /// Samples of samples are refused.
    samples_allowed: bool,
}

/// What the guest is told, growing from round to round.
#[derive(Default)]
struct Known {
    reads: BTreeMap<String, Asked>,
    responses: BTreeMap<String, Result<HttpResponse, HttpFailure>>,
    samples: BTreeMap<String, Result<Measured, String>>,
    state: Option<String>,
    failed_changes: Vec<(ObjectKey, String)>,
    /// Reads that this pass has asked for.
    asked: BTreeSet<String>,
}

impl Pass {
    async fn prepare(
        shared: Arc<Shared>,
        call: PluginCall,
        body: SubjectBody,
        samples_allowed: bool,
    ) -> Result<Self, Fault> {
        let plugin = match shared.plugin(&call.slot.plugin) {
            Some(plugin) if plugin.digest == call.digest => plugin,
            Some(_) => return Err(Fault::unavailable("the plugin has been replaced")),
            None => return Err(Fault::unavailable("nobody provides the plugin any more")),
        };
        let secrets = secrets(&shared, &call).await?;
        let now = shared.clock.now();
        Ok(Self {
            requester: Requester {
                client: Arc::clone(&shared.client),
                grants: Arc::clone(&plugin.grants),
                in_flight: Arc::clone(&plugin.in_flight),
                limits: Arc::clone(&shared.limits),
                now,
                config: call.config.clone(),
                settings: plugin.settings.clone(),
                secrets,
            },
            body_text: body.text(plugin.manifest.subject_body == BodyWanted::WithTemplate),
            config: call.config.to_string(),
            shared,
            plugin,
            call,
            body,
            now,
            samples_allowed,
        })
    }

    async fn run(self, memory: Memory) -> Outcome {
        match self.rounds(memory).await {
            Ok(outcome) => outcome,
            Err(fault) => fault.into(),
        }
    }

    async fn rounds(&self, memory: Memory) -> Result<Outcome, Fault> {
        let mut known = Known {
            state: match &self.call.ask {
                Ask::Step { state, .. } => state.as_ref().map(Value::to_string),
                Ask::Route(_) => memory.state,
                // A provider's memory is the measurement's metadata.
                Ask::Measure { .. } | Ask::Check | Ask::Verify { .. } => None,
            },
            failed_changes: memory.failed_changes,
            ..Known::default()
        };
        self.read(&mut known, memory.questions.into_iter().collect())
            .await?;
        for round in 0..self.shared.limits.rounds {
            match self.enter(round, &known).await? {
                Answer::Done(draft) => return self.finish(known, *draft).await,
                Answer::More(_) if round.saturating_add(1) >= self.shared.limits.rounds => break,
                Answer::More(needs) => self.satisfy(&mut known, needs, round).await?,
            }
        }
        let rounds = self.shared.limits.rounds;
        Err(self.too_many(format!("still asks for more after {rounds} rounds")))
    }

    fn too_many(&self, why: String) -> Fault {
        Fault::new(FaultKind::TooManyRounds, why)
    }

    /// One call into the guest.
    async fn enter(&self, round: u32, known: &Known) -> Result<Answer, Fault> {
        let name = &self.plugin.manifest.name;
        let function = self.call.slot.function;
        let limits = &self.shared.limits;
        let Ok(_permit) = self.plugin.permits.acquire().await else {
            return Err(Fault::unavailable("the controller is stopping"));
        };
        let subject = &self.call.subject;
        if round == 0 {
            self.plugin
                .breaker()
                .admit(subject, self.shared.clock.now(), limits)
                .map_err(|why| Fault::unavailable(format!("the plugin {why}")))?;
        }
        let log = GuestLog::new(name, self.call.subject.key.to_string(), round, limits.log);
        let facts = Facts {
            now: self.now,
            round,
            subject: &self.call.subject.key,
            subject_body: &self.body_text,
            config: &self.config,
            settings: &self.plugin.settings_text,
            state: known.state.as_deref(),
            reads: &known.reads,
            responses: &known.responses,
            samples: &known.samples,
            failed_changes: &known.failed_changes,
            ask: &self.call.ask,
        };
        let span = tracing::debug_span!("plugin.call", plugin = %name, ?function, round, subject = %self.call.subject.key);
        let mishap = self
            .shared
            .mishaps
            .as_ref()
            .and_then(|mishaps| mishaps(&self.call));
        let (answer, cost) = match mishap {
            Some(mishap) => (Err(mishap.happen(limits.wall).await), Cost::default()),
            None => {
                let sandbox = &self.shared.sandbox;
                let call = sandbox.call(&self.plugin.ready, log, &facts);
                call.instrument(span).await
            }
        };
        match &answer {
            Err(fault) if fault.kind.counts() => {
                tracing::warn!(plugin = %name, ?function, round, subject = %self.call.subject.key, %fault, "a plugin failed");
                let now = self.shared.clock.now();
                let mut breaker = self.plugin.breaker();
                breaker.failed(subject, now, &fault.to_string(), limits);
            }
            // A pass that goes on has no outcome yet; what is not the plugin's doing is none.
            Ok(Answer::More(_))
            | Err(Fault {
                kind: FaultKind::Unavailable,
                ..
            }) => {}
            _ => self.plugin.breaker().succeeded(subject),
        }
        let outcome = match &answer {
            Ok(Answer::Done(draft)) if matches!(draft.reply, Reply::Refused(_)) => "refused",
            Ok(_) => "ok",
            Err(fault) => fault.kind.reason(),
        };
        let labels = CallLabels {
            plugin: name.clone(),
            function,
            outcome,
        };
        self.shared.metrics.call(labels, cost.time);
        self.shared
            .metrics
            .used(name, cost.memory, cost.dropped_lines);
        answer
    }

    /// Finds out what the guest must know, all of it at the same time.
    async fn satisfy(&self, known: &mut Known, needs: Needs, round: u32) -> Result<(), Fault> {
        if let Some(state) = needs.state {
            self.check_state("needs.state", &state)?;
            known.state = Some(state);
        }
        let reads: Vec<_> = self
            .within(needs.reads)
            .inspect(|(id, _)| {
                known.asked.insert(id.clone());
            })
            .collect();
        let reads: Vec<_> = reads
            .into_iter()
            .filter(|(id, question)| {
                known
                    .reads
                    .get(id)
                    .is_none_or(|asked| asked.question != *question)
            })
            .collect();
        let requests: BTreeMap<String, HttpRequest> = needs
            .http
            .into_iter()
            .filter(|(id, _)| !known.responses.contains_key(id))
            .collect();
        let samples: BTreeMap<String, Value> = needs
            .samples
            .into_iter()
            .filter(|(id, _)| !known.samples.contains_key(id))
            .collect();
        if reads.is_empty() && requests.is_empty() && samples.is_empty() {
            return Err(self.too_many(format!(
                "asks in round {round} for nothing that is not answered already"
            )));
        }
        let most = self.shared.limits.requests;
        if known.responses.len().saturating_add(requests.len()) > most {
            return Err(Fault::invalid(format!(
                "needs.http: more than {most} requests in one pass"
            )));
        }
        if known.samples.len().saturating_add(samples.len()) > most {
            return Err(Fault::invalid(format!(
                "needs.samples: more than {most} samples in one pass"
            )));
        }
        let asking = self.read(known, reads);
        let requesting = join_all(requests.into_iter().map(async |(id, request)| {
            let outcome = self.requester.perform(request).await;
            let counted = match &outcome {
                Ok(response) => response.status.to_string(),
                Err(failure) => failure.kind().to_owned(),
            };
            self.shared
                .metrics
                .http(&self.plugin.manifest.name, &counted);
            (id, outcome)
        }));
        let sampling = join_all(
            samples
                .into_iter()
                .map(async |(id, provider)| (id, self.sample(provider).await)),
        );
        let (read, responses, samples) = futures::join!(asking, requesting, sampling);
        read?;
        known.responses.extend(responses);
        known.samples.extend(samples);
        Ok(())
    }

    fn within(
        &self,
        questions: Vec<(String, Question)>,
    ) -> impl Iterator<Item = (String, Question)> {
        let namespace = self.call.subject.key.namespace.clone();
        questions
            .into_iter()
            .map(move |(id, question)| (id, question.within(namespace.as_deref())))
    }

    fn may_read(&self, question: &Question) -> Result<(), String> {
        let namespace = self.call.subject.key.namespace.as_deref();
        grants::check_read(&self.plugin.grants, &question.read, namespace)
    }

    async fn read(
        &self,
        known: &mut Known,
        questions: Vec<(String, Question)>,
    ) -> Result<(), Fault> {
        let answers = join_all(questions.into_iter().map(async |(id, question)| {
            let outcome = match self.may_read(&question) {
                Ok(()) => question.ask(&self.shared.reads, &self.shared.limits).await,
                Err(why) => ReadOutcome::Forbidden(why),
            };
            (id, Asked { question, outcome })
        }));
        for (id, asked) in answers.await {
            if let ReadOutcome::Unavailable(why) = &asked.outcome {
                return Err(Fault::unavailable(format!(
                    "{} could not be read: {why}",
                    asked.question.read.kind
                )));
            }
            known.reads.insert(id, asked);
        }
        Ok(())
    }

    /// A measurement by another provider, on behalf of this one.
    async fn sample(&self, provider: Value) -> Result<Measured, String> {
        if !self.samples_allowed {
            return Err("samples of samples are refused".to_owned());
        }
        let Ask::Measure { facts, .. } = &self.call.ask else {
            return Err("only providers take samples".to_owned());
        };
        let (name, config) = provider_of(&provider)?;
        let name = PluginName {
            kind: PluginKind::MetricProvider,
            name,
        };
        let Some(plugin) = self.shared.plugin(&name) else {
            return Err(format!("nobody provides `{}`", name.name));
        };
        let mut metric = facts.metric.clone();
        if let Some(metric) = metric.as_object_mut() {
            metric.insert("provider".to_owned(), provider);
        }
        let call = PluginCall {
            subject: self.call.subject.clone(),
            slot: Slot {
                plugin: name,
                function: Function::Measure,
                part: self.call.slot.part.clone(),
            },
            digest: plugin.digest.clone(),
            config,
            ask: Ask::Measure {
                lifecycle: MeasureLifecycle::Start,
                facts: Box::new(MeasurementFacts {
                    metric,
                    number: facts.number,
                    errors_so_far: facts.errors_so_far,
                    previous: None,
                    open: None,
                }),
            },
            due: self.call.due,
            secrets: self.call.secrets.clone(),
        };
        match sample(Arc::clone(&self.shared), call, self.body.clone())
            .await
            .reply
        {
            Reply::Measured(measured) if measured.effects.writes.is_empty() => Ok(*measured),
            Reply::Measured(_) => Err("a sample must not change anything".to_owned()),
            Reply::Refused(refusal) => Err(refusal.message),
            Reply::Broken { reason, message } => Err(format!("{reason}: {message}")),
            _ => Err("the provider does not answer at once, so it cannot be sampled".to_owned()),
        }
    }

    async fn finish(&self, mut known: Known, draft: Draft) -> Result<Outcome, Fault> {
        let Draft {
            reply,
            wanted,
            state,
        } = draft;
        self.check_reply(&reply, !wanted.changes.is_empty())?;
        if let Some(state) = &state {
            self.check_state("state", state)?;
        }
        let author = Author {
            grants: &self.plugin.grants,
            subject: &self.call.subject,
            config: &self.call.config,
            part: &self.call.slot.part,
        };
        let writes = changes::writes(&author, wanted.changes, &known.reads)?;
        let watch: Vec<(String, Question)> = self.within(wanted.watch).collect();
        let mut questions: BTreeMap<String, Question> = known
            .asked
            .iter()
            .filter_map(|id| Some((id.clone(), known.reads.get(id)?.question.clone())))
            .collect();
        questions.extend(watch.iter().cloned());
        questions.retain(|_, question| self.may_read(question).is_ok());
        let seen = self.seen(&mut known, &questions).await;
        // Only now: what is read for the first time is followed from then on.
        let told = watch.iter().all(|(_, question)| self.is_followed(question));
        let waits_for_nothing = matches!(reply, Reply::Waiting(_)) && watch.is_empty();
        let again = match wanted.again_after {
            Some(millis) => Some(Duration::from_millis(millis.into())),
            None => (waits_for_nothing || !told).then_some(NOBODY_TELLS),
        };
        let effects = Effects {
            writes,
            notices: wanted.notices,
            again_at: again.map(|time| after(self.shared.clock.now(), time)),
        };
        Ok(Outcome {
            reply: with_effects(reply, effects),
            memory: Some(Memory {
                questions,
                state,
                failed_changes: Vec::new(),
            }),
            seen,
        })
    }

    /// Whether somebody notices when the answer to this question is another.
    fn is_followed(&self, question: &Question) -> bool {
        let Shared { reads, limits, .. } = &*self.shared;
        self.may_read(question).is_ok() && question.peek(reads, limits).is_some()
    }

    /// What the answers to these questions look like. Those that the guest did not see are asked now: changes count from
    /// here on.
    async fn seen(
        &self,
        known: &mut Known,
        questions: &BTreeMap<String, Question>,
    ) -> BTreeMap<Question, Seen> {
        let mut seen: BTreeMap<Question, Seen> = BTreeMap::new();
        for asked in known.reads.values() {
            if questions
                .values()
                .any(|question| *question == asked.question)
            {
                seen.insert(asked.question.clone(), Seen::of(&asked.outcome));
            }
        }
        let unseen: BTreeSet<_> = questions
            .values()
            .filter(|question| !seen.contains_key(question))
            .cloned()
            .collect();
        let found = join_all(unseen.into_iter().map(async |question| {
            let outcome = question.ask(&self.shared.reads, &self.shared.limits).await;
            (question, Seen::of(&outcome))
        }));
        seen.extend(found.await);
        seen
    }

    fn check_reply(&self, reply: &Reply, changes: bool) -> Result<(), Fault> {
        match reply {
            Reply::Routed(routed) => match &routed.status {
                None => Ok(()),
                Some(Value::Object(status)) => {
                    let declared = &self.plugin.manifest.status_keys;
                    match status.keys().find(|key| !declared.contains(*key)) {
                        Some(key) => Err(Fault::invalid(format!(
                            "status.{key}: the manifest does not declare it under statusKeys"
                        ))),
                        None => Ok(()),
                    }
                }
                Some(_) => Err(Fault::invalid("status: must be an object")),
            },
            Reply::Stepped(stepped) => match &stepped.status {
                Some(status) => self.check_state("status", &status.to_string()),
                None => Ok(()),
            },
            Reply::Verified { .. } if changes => Err(Fault::new(
                FaultKind::ChangeRefused,
                "a verifier must not change anything",
            )),
            _ => Ok(()),
        }
    }

    fn check_state(&self, field: &str, state: &str) -> Result<(), Fault> {
        let most = self.shared.limits.state;
        if state.len() > most {
            return Err(Fault::invalid(format!(
                "{field}: is {} bytes; at most {most} are kept",
                state.len()
            )));
        }
        serde_json::from_str::<serde::de::IgnoredAny>(state)
            .map(|_| ())
            .map_err(|error| Fault::invalid(format!("{field}: {error}")))
    }
}

/// A pass within a pass; boxed, since its future contains itself.
fn sample(shared: Arc<Shared>, call: PluginCall, body: SubjectBody) -> BoxFuture<'static, Outcome> {
    Box::pin(async move {
        match Pass::prepare(shared, call, body, false).await {
            Ok(pass) => pass.run(Memory::default()).await,
            Err(fault) => fault.into(),
        }
    })
}

/// Name and configuration in a metric's `provider` block.
fn provider_of(provider: &Value) -> Result<(String, Value), String> {
    let only = |value: &Value| match value.as_object() {
        Some(fields) if fields.len() == 1 => fields
            .iter()
            .next()
            .map(|(name, config)| (name.clone(), config.clone())),
        _ => None,
    };
    let wrong = || "provider: must be an object with the name of one provider".to_owned();
    match only(provider).ok_or_else(wrong)? {
        (name, config) if name == "plugin" => only(&config).ok_or_else(wrong),
        named => Ok(named),
    }
}

/// The values of the call's placeholders.
async fn secrets(
    shared: &Arc<Shared>,
    call: &PluginCall,
) -> Result<BTreeMap<String, String>, Fault> {
    let mut values = BTreeMap::new();
    for secret in call
        .secrets
        .iter()
        .filter(|secret| !secret.placeholder.is_empty())
    {
        let asked = shared
            .reads
            .secret(&secret.namespace, &secret.secret, &secret.key);
        let value = match tokio::time::timeout(shared.limits.read_timeout, asked).await {
            Ok(value) => value,
            Err(_) => Err(NoSecret::Unavailable("no answer in time".to_owned())),
        };
        let value = value.map_err(|trouble| {
            let (kind, why) = match trouble {
                NoSecret::Wrong(why) => (FaultKind::SecretMissing, why),
                NoSecret::Unavailable(why) => (FaultKind::Unavailable, why),
            };
            let (namespace, name, key) = (&secret.namespace, &secret.secret, &secret.key);
            Fault::new(kind, format!("Secret {namespace}/{name}, key {key}: {why}"))
        })?;
        values.insert(secret.placeholder.clone(), value);
    }
    Ok(values)
}

fn with_effects(reply: Reply, effects: Effects) -> Reply {
    match reply {
        Reply::Routed(mut routed) => {
            routed.effects = effects;
            Reply::Routed(routed)
        }
        Reply::Measured(mut measured) => {
            measured.effects = effects;
            Reply::Measured(measured)
        }
        Reply::Waiting(mut waiting) => {
            waiting.effects = effects;
            Reply::Waiting(waiting)
        }
        Reply::Stepped(mut stepped) => {
            stepped.effects = effects;
            Reply::Stepped(stepped)
        }
        Reply::Verified { verification, .. } => Reply::Verified {
            verification,
            effects,
        },
        Reply::Refused(mut refusal) => {
            refusal.notices = effects.notices;
            Reply::Refused(refusal)
        }
        Reply::Usable | Reply::Broken { .. } => reply,
    }
}
