//! Rare facts, fetched only when a decision asks for them, and what is remembered of a subject's latest pass.
//!
//! An answer stays with its subject until what was asked for has changed: a defaulted template until its source changes,
//! an object as long as somebody wants it (it is watched), pods and what was read past the watches for one pass. That
//! there is no object of a name holds until a write of ours may have made one.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use serde_json::Value;
use sluice_engine::hash;
use sluice_engine::keys;
use sluice_engine::object::{ObjectKey, Subject};
use sluice_engine::observed::{Looked, Pod};
use sluice_engine::plan::{Query, WriteError, WriteErrorKind};
use sluice_engine::read::{Read, ReadOutcome, Select};

use crate::cluster::{Cluster, lock};
use crate::kinds::escape;
use crate::outbox::{Changed, SubjectKind};
use crate::{Key, views};

/// What was asked for and written, by subject.
#[derive(Debug, Default)]
pub(crate) struct Looks(Mutex<BTreeMap<Subject, Memory>>);

#[derive(Debug, Default)]
struct Memory {
    answers: BTreeMap<Query, Answer>,
    /// Versions that the writes of the latest pass have produced.
    written: BTreeMap<ObjectKey, String>,
    /// Names of AnalysisRuns that no watch of ours shows, and that were in the way of a creation.
    in_the_way: BTreeSet<String>,
}

#[derive(Clone, Debug)]
enum Answer {
    /// Fetched once.
    Fixed(Looked),
    /// Watched; read from the watch when it is needed.
    Watched,
}

impl Looks {
    /// A new pass: versions and short-lived answers of the one before are no longer facts.
    pub(crate) fn begin_pass(&self, subject: &Subject) {
        let mut memories = lock(&self.0);
        let Some(memory) = memories.get_mut(subject) else {
            return;
        };
        memory.written.clear();
        memory
            .answers
            .retain(|query, answer| !is_short_lived(query, answer));
        if memory.answers.is_empty() && memory.in_the_way.is_empty() {
            memories.remove(subject);
        }
    }

    /// The version that this pass has produced by writing the object.
    pub(crate) fn written(&self, subject: &Subject, target: &ObjectKey) -> Option<String> {
        lock(&self.0).get(subject)?.written.get(target).cloned()
    }

    /// What was read of an object past the watches may be wrong from now on: a write of it may have taken effect.
    pub(crate) fn forget_read(&self, subject: &Subject, target: &ObjectKey) {
        if let Some(memory) = lock(&self.0).get_mut(subject) {
            memory.answers.remove(&Query::Uncached(target.clone()));
        }
    }

    /// Remembers such a version. Not for what has no passes and is never said to be gone, such as a Service that is given
    /// back: its memory would stay for ever.
    pub(crate) fn remember_written(&self, subject: &Subject, target: ObjectKey, version: String) {
        if SubjectKind::from_name(&subject.key.kind).is_none() {
            return;
        }
        let mut memories = lock(&self.0);
        memories
            .entry(subject.clone())
            .or_default()
            .written
            .insert(target, version);
    }

    /// Remembers a run that was in the way of a creation.
    pub(crate) fn remember_in_the_way(&self, subject: &Subject, name: &str) {
        let mut memories = lock(&self.0);
        let memory = memories.entry(subject.clone()).or_default();
        memory.in_the_way.insert(name.to_owned());
    }

    /// The names of such runs.
    pub(crate) fn in_the_way(&self, subject: &Subject) -> BTreeSet<String> {
        let memories = lock(&self.0);
        let memory = memories.get(subject);
        memory
            .map(|memory| memory.in_the_way.clone())
            .unwrap_or_default()
    }

    /// The subject is gone.
    pub(crate) fn forget(&self, kind: SubjectKind, key: &Key, uid: &str) {
        lock(&self.0).retain(|subject, _| {
            subject.uid != uid
                || SubjectKind::from_name(&subject.key.kind) != Some(kind)
                || Key::from(&subject.key) != *key
        });
    }

    /// The subjects that want to know when this object changes.
    pub(crate) fn wanting(&self, object: &ObjectKey) -> Vec<Changed> {
        let query = Query::Object(object.clone());
        let memories = lock(&self.0);
        let wanting = memories
            .iter()
            .filter(|(_, memory)| memory.answers.contains_key(&query));
        wanting
            .filter_map(|(subject, _)| {
                let kind = SubjectKind::from_name(&subject.key.kind)?;
                Some(kind.changed(Key::from(&subject.key)))
            })
            .collect()
    }

    /// Version and kind of everything that is watched for a subject.
    pub(crate) fn watched_kinds(&self) -> BTreeSet<(String, String)> {
        let memories = lock(&self.0);
        let queries = memories.values().flat_map(|memory| memory.answers.keys());
        queries
            .filter_map(|query| match query {
                Query::Object(object) => Some((object.api_version.clone(), object.kind.clone())),
                Query::Pods { .. } | Query::DefaultedTemplate { .. } | Query::Uncached(_) => None,
            })
            .collect()
    }

    fn queries(&self, subject: &Subject) -> BTreeMap<Query, Answer> {
        lock(&self.0)
            .get(subject)
            .map(|memory| memory.answers.clone())
            .unwrap_or_default()
    }

    /// Keeps an answer. Whether it says anything new that outlives the next pass. What does not is for the pass that follows
    /// the one that looked; announced besides, it would make a pass that has it no more, and looks again, for ever. That
    /// nothing is there is of that kind as well: a creation that follows forgets it, and when that fails, an announcement
    /// would take the place of the wait for the next attempt.
    fn keep(&self, subject: &Subject, query: &Query, answer: Answer) -> bool {
        let mut memories = lock(&self.0);
        let memory = memories.entry(subject.clone()).or_default();
        if let (Query::DefaultedTemplate { source, .. }, "Rollout") =
            (query, subject.key.kind.as_str())
        {
            // A Rollout has one template; that of an earlier specification is not asked for again.
            memory.answers.retain(|other, _| match other {
                Query::DefaultedTemplate { source: other, .. } => other == source,
                Query::Pods { .. } | Query::Object(_) | Query::Uncached(_) => true,
            });
        }
        let before = memory.answers.insert(query.clone(), answer.clone());
        match (before, answer) {
            (_, answer) if is_short_lived(query, &answer) => false,
            _ if matches!(query, Query::Uncached(_)) => false,
            (Some(Answer::Fixed(before)), Answer::Fixed(answer)) => before != answer,
            (Some(Answer::Watched), Answer::Watched) => false,
            (_, Answer::Fixed(_) | Answer::Watched) => true,
        }
    }
}

fn is_short_lived(query: &Query, answer: &Answer) -> bool {
    match query {
        Query::Pods { .. } => true,
        Query::Uncached(_) => !matches!(answer, Answer::Fixed(Looked::Object(None))),
        // Who can go on without it asks again all the same.
        Query::DefaultedTemplate { .. } => matches!(answer, Answer::Fixed(Looked::Failed(_))),
        Query::Object(_) => false,
    }
}

impl Cluster {
    /// Finds an answer, and asks to look at the subject again when there is something new in it that stays. The pass that
    /// looked is followed by another one anyway.
    ///
    /// # Errors
    /// When there is no answer now, so that the next attempt waits a little.
    pub(crate) async fn look(&self, subject: &Subject, query: &Query) -> Result<(), WriteError> {
        let answer = match query {
            Query::Pods {
                namespace,
                replica_set,
            } => Answer::Fixed(self.pods(namespace, replica_set).await),
            Query::DefaultedTemplate {
                namespace,
                source,
                labels,
            } => Answer::Fixed(
                self.defaulted_template(subject, namespace, source, labels)
                    .await,
            ),
            Query::Object(object) => {
                // Waits for the first list of the kind, so that the next pass has the object.
                let _ = self.read(by_name(object)).await;
                Answer::Watched
            }
            Query::Uncached(object) => Answer::Fixed(self.read_now(object).await),
        };
        let failed = match &answer {
            Answer::Fixed(Looked::Failed(message)) => Err(WriteError::new(
                WriteErrorKind::Unavailable,
                message.clone(),
            )),
            Answer::Fixed(_) | Answer::Watched => Ok(()),
        };
        let news = self.shared.looks.keep(subject, query, answer);
        if let Some(kind) = SubjectKind::from_name(&subject.key.kind).filter(|_| news) {
            self.shared
                .outbox
                .put(kind.changed(Key::from(&subject.key)));
        }
        failed
    }

    /// Reads an object past the watches. What the views keep of it is brought up to date with it.
    async fn read_now(&self, object: &ObjectKey) -> Looked {
        let served = match self
            .shared
            .discovery
            .find(&object.api_version, &object.kind)
            .await
        {
            Ok(served) => served,
            Err(trouble) => return Looked::Failed(trouble.into_message()),
        };
        let path = match served.path(object.namespace.as_deref(), Some(&object.name)) {
            Ok(path) => path,
            Err(message) => return Looked::Failed(message),
        };
        match self.get_object(path, &object.name).await {
            Ok(Some(body)) => {
                self.shared.absorb(object, body.clone());
                Looked::Object(Some(Arc::new(body)))
            }
            Ok(None) => Looked::Object(None),
            Err(trouble) => {
                let discovery = &self.shared.discovery;
                let trouble = discovery.misplaced(&object.api_version, trouble);
                Looked::Failed(trouble.into_message())
            }
        }
    }

    /// Every answer that the subject has.
    pub(crate) fn looked(&self, subject: &Subject) -> BTreeMap<Query, Looked> {
        let queries = self.shared.looks.queries(subject);
        let answers = queries.into_iter().map(|(query, answer)| {
            let looked = match (&query, answer) {
                (Query::Object(object), Answer::Watched) => self.watched_object(object),
                (_, Answer::Fixed(looked)) => looked,
                (_, Answer::Watched) => Looked::Failed("not watched".to_owned()),
            };
            (query, looked)
        });
        answers.collect()
    }

    fn watched_object(&self, object: &ObjectKey) -> Looked {
        match self.peek(&by_name(object)) {
            Some(ReadOutcome::Found(found)) => match found.first() {
                Some(raw) => match serde_json::from_str(&raw.body) {
                    Ok(body) => Looked::Object(Some(Arc::new(body))),
                    Err(error) => Looked::Failed(error.to_string()),
                },
                None => Looked::Object(None),
            },
            // A kind that does not exist has no objects.
            Some(ReadOutcome::NotServed(_)) => Looked::Object(None),
            Some(ReadOutcome::Forbidden(message) | ReadOutcome::Unavailable(message)) => {
                Looked::Failed(message)
            }
            Some(ReadOutcome::TooMany(count)) => {
                Looked::Failed(format!("{count} objects of one name"))
            }
            None => Looked::Failed(format!("{} is not known yet", object.kind)),
        }
    }

    async fn pods(&self, namespace: &str, replica_set: &str) -> Looked {
        let Some(set) = self
            .shared
            .replica_sets
            .get(&Key::new(namespace, replica_set))
        else {
            return Looked::Pods(Vec::new());
        };
        let path = format!(
            "/api/v1/namespaces/{}/pods?labelSelector={}%3D{}",
            escape(namespace),
            escape(keys::POD_TEMPLATE_HASH),
            escape(set.hash()),
        );
        let list = match self.get(path).await {
            Ok(list) => list,
            Err(trouble) => return Looked::Failed(trouble.into_message()),
        };
        let mut pods = Vec::new();
        for body in list
            .get("items")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
        {
            match views::pod(body.clone()) {
                Ok(pod)
                    if pod
                        .metadata
                        .controller()
                        .is_some_and(|owner| owner.uid == set.metadata.uid) =>
                {
                    pods.push(pod)
                }
                Ok(_) => {}
                Err(error) => {
                    tracing::warn!(
                        namespace,
                        replica_set,
                        error,
                        "skipped a pod that cannot be read"
                    );
                    self.shared.count_undecodable("Pod", 1);
                }
            }
        }
        pods.sort_by(|a: &Pod, b: &Pod| a.metadata.name.cmp(&b.metadata.name));
        Looked::Pods(pods.into_iter().map(Arc::new).collect())
    }

    async fn defaulted_template(
        &self,
        subject: &Subject,
        namespace: &str,
        source: &str,
        labels: &BTreeMap<String, String>,
    ) -> Looked {
        let Some(template) = self.find_template(subject, source) else {
            return Looked::Failed("the template has changed meanwhile".to_owned());
        };
        match self.dry_run_template(namespace, labels, &template).await {
            Ok(defaulted) => Looked::Template(defaulted),
            Err(error) => Looked::Failed(error.message),
        }
    }

    /// The template with this hash: of the Rollout, of the workload that it refers to, or of the Experiment.
    fn find_template(&self, subject: &Subject, source: &str) -> Option<Arc<Value>> {
        let key = Key::from(&subject.key);
        let mut candidates: Vec<Arc<Value>> = Vec::new();
        match SubjectKind::from_name(&subject.key.kind)? {
            SubjectKind::Rollout => {
                let rollout = self.shared.rollouts.get(&key)?;
                candidates.extend(
                    rollout
                        .spec
                        .template
                        .iter()
                        .map(|template| Arc::clone(&template.0)),
                );
                for (query, looked) in self.looked(subject) {
                    if let (Query::Object(_), Looked::Object(Some(object))) = (query, looked) {
                        // A workload has it in its specification, a PodTemplate at the top.
                        let template = object
                            .pointer("/spec/template")
                            .or_else(|| object.get("template"));
                        candidates.extend(template.map(|template| Arc::new(template.clone())));
                    }
                }
            }
            SubjectKind::Experiment => {
                let experiment = self.shared.experiments.get(&key)?;
                let templates = experiment.spec.templates.iter();
                candidates.extend(
                    templates
                        .filter_map(|template| Some(Arc::clone(&template.template.as_ref()?.0))),
                );
            }
            SubjectKind::AnalysisRun => {}
        }
        candidates
            .into_iter()
            .find(|template| hash::template_source(template) == source)
    }
}

fn by_name(object: &ObjectKey) -> Read {
    Read {
        api_version: object.api_version.clone(),
        kind: object.kind.clone(),
        namespace: object.namespace.clone(),
        select: Select::Name(object.name.clone()),
    }
}
