//! From analysis templates to an AnalysisRun: nested templates are found, put together, given their arguments
//! (ARG-004 to ARG-006), checked for a Rollout (VAL-043 to VAL-046) and made into a run (RAN-007, RAN-009).
//! When a run is wanted, and what it is called, is the Rollout's business.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::Value;
use sluice_api as api;

use super::arguments::{self, Values};
use super::fields;
use crate::keys;

pub use super::fields::metadata as metadata_field;

/// Every AnalysisTemplate of the namespace that may be needed; None where it does not exist.
pub type Templates = BTreeMap<String, Option<Arc<api::AnalysisTemplate>>>;
/// The same for ClusterAnalysisTemplates.
pub type ClusterTemplates = BTreeMap<String, Option<Arc<api::ClusterAnalysisTemplate>>>;

/// What is wrong with the templates of an analysis.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where it is, if it is not the analysis' own list of templates: in a template that refers to others.
    pub path: Option<&'static str>,
    /// The value that is wrong.
    pub value: String,
    /// Why, in upstream's words.
    pub message: String,
}

/// Templates in the order in which their metrics are put together, each once.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Found<'a> {
    /// Of the namespace. They come first.
    pub namespaced: Vec<&'a api::AnalysisTemplate>,
    /// Of the cluster.
    pub cluster: Vec<&'a api::ClusterAnalysisTemplate>,
}

impl<'a> Found<'a> {
    fn all(&self) -> impl Iterator<Item = (&'a str, &'a api::AnalysisTemplateSpec)> {
        let namespaced = self
            .namespaced
            .iter()
            .map(|found| (found.metadata.name.as_str(), &found.spec));
        let cluster = self
            .cluster
            .iter()
            .map(|found| (found.metadata.name.as_str(), &found.spec));
        namespaced.chain(cluster)
    }
}

/// Finds the templates that are referred to, and those that they refer to, depth first (ARG-006). Templates that refer
/// to each other in a circle are found once, as any other.
///
/// # Errors
/// A template that does not exist (VAL-043).
pub fn find<'a>(
    references: &[api::AnalysisTemplateRef],
    templates: &'a Templates,
    cluster_templates: &'a ClusterTemplates,
) -> Result<Found<'a>, Problem> {
    let mut search = Search {
        templates,
        cluster_templates,
        seen: BTreeSet::new(),
        found: Found::default(),
    };
    // A list instead of recursion: nesting costs no stack.
    let mut pending: Vec<_> = references
        .iter()
        .rev()
        .map(|reference| (reference, None))
        .collect();
    while let Some((reference, path)) = pending.pop() {
        if let Some(spec) = search.take(reference, path)? {
            let nested = spec.templates.iter().rev();
            pending.extend(nested.map(|reference| (reference, Some("spec.templates"))));
        }
    }
    Ok(search.found)
}

struct Search<'a> {
    templates: &'a Templates,
    cluster_templates: &'a ClusterTemplates,
    seen: BTreeSet<(bool, &'a str)>,
    found: Found<'a>,
}

impl<'a> Search<'a> {
    /// The template of a reference; None where it was found before.
    fn take(
        &mut self,
        reference: &api::AnalysisTemplateRef,
        path: Option<&'static str>,
    ) -> Result<Option<&'a api::AnalysisTemplateSpec>, Problem> {
        let name = &reference.template_name;
        let missing = |kind: &str| Problem {
            path,
            value: name.clone(),
            message: format!("{kind} '{name}' not found"),
        };
        if reference.cluster_scope == Some(true) {
            let found = self.cluster_templates.get_key_value(name);
            let Some((name, Some(template))) = found else {
                return Err(missing("ClusterAnalysisTemplate"));
            };
            let new = self.seen.insert((true, name));
            new.then(|| self.found.cluster.push(template));
            Ok(new.then_some(&template.spec))
        } else {
            let found = self.templates.get_key_value(name);
            let Some((name, Some(template))) = found else {
                return Err(missing("AnalysisTemplate"));
            };
            let new = self.seen.insert((false, name));
            new.then(|| self.found.namespaced.push(template));
            Ok(new.then_some(&template.spec))
        }
    }
}

/// Puts templates together (ARG-005).
///
/// # Errors
/// In upstream's words: a metric, a rule or an argument that two of them define differently.
pub fn flatten(found: &Found<'_>) -> Result<api::AnalysisTemplateSpec, String> {
    let mut flat = api::AnalysisTemplateSpec::default();
    for (_, spec) in found.all() {
        flat.metrics.extend(spec.metrics.iter().cloned());
        flat.dry_run.extend(spec.dry_run.iter().cloned());
        flat.measurement_retention
            .extend(spec.measurement_retention.iter().cloned());
    }
    let names = flat.metrics.iter().map(|metric| metric.name.as_str());
    if let Some(name) = repeated(names) {
        return Err(format!("two metrics have the same name '{name}'"));
    }
    check_rules(&flat.dry_run, &flat.measurement_retention)?;
    for (_, spec) in found.all() {
        for argument in &spec.args {
            declare(&mut flat.args, argument)?;
        }
    }
    Ok(flat)
}

fn repeated<'a>(names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let mut seen = BTreeSet::new();
    names.into_iter().find(|name| !seen.insert(*name))
}

fn check_rules(
    dry_run: &[api::DryRun],
    retention: &[api::MeasurementRetention],
) -> Result<(), String> {
    if let Some(name) = repeated(dry_run.iter().map(|rule| rule.metric_name.as_str())) {
        return Err(format!(
            "two Dry-Run metric rules have the same name '{name}'"
        ));
    }
    if let Some(name) = repeated(retention.iter().map(|rule| rule.metric_name.as_str())) {
        return Err(format!(
            "two Measurement Retention metric rules have the same name '{name}'"
        ));
    }
    Ok(())
}

/// Adds an argument; one that is there already keeps its value, if it has one.
fn declare(args: &mut Vec<api::Argument>, new: &api::Argument) -> Result<(), String> {
    let Some(known) = args.iter_mut().find(|known| known.name == new.name) else {
        args.push(new.clone());
        return Ok(());
    };
    match (&known.value, &new.value) {
        (Some(old), Some(value)) if old != value => Err(format!(
            "Argument `{}` specified multiple times with different values: '{old}', '{value}'",
            known.name
        )),
        (None, _) => {
            *known = new.clone();
            Ok(())
        }
        (Some(_), _) => Ok(()),
    }
}

/// Gives declared arguments their values (ARG-004). What is not declared is dropped.
///
/// # Errors
/// A declared argument that gets neither a value nor a source.
pub fn merge_args(
    given: &[api::Argument],
    declared: &[api::Argument],
) -> Result<Vec<api::Argument>, String> {
    let mut args = declared.to_vec();
    for new in given {
        if let Some(argument) = args.iter_mut().find(|argument| argument.name == new.name) {
            if new.value.is_some() {
                argument.value.clone_from(&new.value);
            } else if new.value_from.is_some() {
                argument.value_from.clone_from(&new.value_from);
            }
        }
    }
    match args
        .iter()
        .find(|argument| argument.value.is_none() && argument.value_from.is_none())
    {
        Some(missing) => Err(format!("args.{} was not resolved", missing.name)),
        None => Ok(args),
    }
}

/// The specification of a run: templates put together, the caller's rules in front, arguments given.
///
/// # Errors
/// Those of [`flatten`] and [`merge_args`], and rules that are in the templates already.
pub fn run_spec(
    found: &Found<'_>,
    args: &[api::Argument],
    dry_run: &[api::DryRun],
    retention: &[api::MeasurementRetention],
) -> Result<api::AnalysisRunSpec, String> {
    let flat = flatten(found)?;
    let args = merge_args(args, &flat.args)?;
    let dry_run = [dry_run, &flat.dry_run].concat();
    let measurement_retention = [retention, &flat.measurement_retention].concat();
    check_rules(&dry_run, &measurement_retention)?;
    Ok(api::AnalysisRunSpec {
        metrics: flat.metrics,
        args,
        dry_run,
        measurement_retention,
        ..api::AnalysisRunSpec::default()
    })
}

/// What stands for a value that is not known before a run is made.
const DUMMY: &str = "dummy-value";

/// Checks that the templates of a Rollout's analysis exist and make a run that can end (VAL-043 to VAL-046).
/// A `background` analysis may run for ever, since it ends with the update.
///
/// # Errors
/// The first problem.
pub fn check(
    analysis: &api::RolloutAnalysis,
    templates: &Templates,
    cluster_templates: &ClusterTemplates,
    background: bool,
) -> Result<(), Problem> {
    let found = find(&analysis.templates, templates, cluster_templates)?;
    let given: Vec<api::Argument> = analysis.args.iter().map(dummy).collect();
    run_spec(
        &found,
        &given,
        &analysis.dry_run,
        &analysis.measurement_retention,
    )
    .map_err(|message| {
        let names: Vec<_> = found.all().map(|(name, _)| name).collect();
        Problem {
            path: None,
            value: format!("templateNames: [{}]", names.join(" ")),
            message,
        }
    })?;
    for (name, spec) in found.all() {
        let checked = if background {
            check_supplied(spec, analysis)
        } else {
            check_ends(name, spec, &given)
        };
        checked.map_err(|message| Problem {
            path: None,
            value: name.to_owned(),
            message,
        })?;
    }
    Ok(())
}

/// An argument of a Rollout as far as it is known before a run is made.
fn dummy(argument: &api::AnalysisRunArgument) -> api::Argument {
    let value = if argument.value_from.is_some() {
        DUMMY
    } else {
        &argument.value
    };
    api::Argument {
        name: argument.name.clone(),
        value: Some(value.to_owned()),
        value_from: None,
    }
}

/// Every metric of a template must have an end (VAL-045). Values that the Rollout gives count, so that a `count` that is
/// an argument is no problem; upstream looks at the template alone.
fn check_ends(
    name: &str,
    spec: &api::AnalysisTemplateSpec,
    given: &[api::Argument],
) -> Result<(), String> {
    let failed = |error: String| format!("AnalysisTemplate {name}: {error}");
    let twice = spec
        .args
        .iter()
        .find(|argument| argument.value.is_some() && argument.value_from.is_some());
    if let Some(argument) = twice {
        return Err(failed(format!(
            "arg '{}' has both Value and ValueFrom fields",
            argument.name
        )));
    }
    let mut args = spec.args.clone();
    for argument in &mut args {
        if let Some(given) = given.iter().find(|given| given.name == argument.name) {
            argument.value.clone_from(&given.value);
        }
    }
    let values = Values::or_dummy(&args, DUMMY);
    for metric in &spec.metrics {
        let metric = arguments::resolve_metric(metric, &values).map_err(failed)?;
        if metric.effective_count().is_none() {
            let count = metric
                .count
                .as_ref()
                .map_or("<nil>".to_owned(), ToString::to_string);
            return Err(format!(
                "AnalysisTemplate {name} has metric {} which runs indefinitely. Invalid value for count: {count}",
                metric.name
            ));
        }
    }
    Ok(())
}

/// Every argument of a template without a value must be given (VAL-046).
fn check_supplied(
    spec: &api::AnalysisTemplateSpec,
    analysis: &api::RolloutAnalysis,
) -> Result<(), String> {
    let open = spec
        .args
        .iter()
        .filter(|argument| argument.value.is_none() && argument.value_from.is_none());
    for argument in open {
        if analysis.args.is_empty() {
            return Err("missing analysis arguments in rollout spec".to_owned());
        }
        if !analysis
            .args
            .iter()
            .any(|given| given.name == argument.name)
        {
            return Err(argument.name.clone());
        }
    }
    Ok(())
}

/// The values of a Rollout's arguments for a run (RAN-009).
///
/// # Errors
/// A field that does not exist, or that is no single value. Upstream lets a later argument hide the error of an earlier.
pub fn arguments(
    args: &[api::AnalysisRunArgument],
    rollout: &api::Rollout,
    stable_hash: &str,
    latest_hash: &str,
) -> Result<Vec<api::Argument>, String> {
    let value = |argument: &api::AnalysisRunArgument| -> Result<String, String> {
        let Some(from) = &argument.value_from else {
            return Ok(argument.value.clone());
        };
        match (&from.pod_template_hash_value, &from.field_ref) {
            (Some(api::ValueFromPodTemplateHash::Latest), _) => Ok(latest_hash.to_owned()),
            (Some(api::ValueFromPodTemplateHash::Stable), _) => Ok(stable_hash.to_owned()),
            (None, Some(field)) => fields::value(rollout, &field.field_path),
            (Some(_), _) | (None, None) => Ok(argument.value.clone()),
        }
    };
    args.iter()
        .map(|argument| {
            Ok(api::Argument {
                name: argument.name.clone(),
                value: Some(value(argument)?),
                value_from: None,
            })
        })
        .collect()
}

/// A run that a Rollout wants.
#[derive(Clone, Copy, Debug)]
pub struct RunRequest<'a> {
    /// The Rollout.
    pub rollout: &'a api::Rollout,
    /// The analysis of its specification.
    pub analysis: &'a api::RolloutAnalysis,
    /// Templates of its namespace.
    pub templates: &'a Templates,
    /// Templates of the cluster.
    pub cluster_templates: &'a ClusterTemplates,
    /// Name of the run.
    pub name: &'a str,
    /// The label `rollout-type`.
    pub rollout_type: &'a str,
    /// The label `step-index`, for the analysis of a step.
    pub step_index: Option<usize>,
    /// Hash of the stable set.
    pub stable_hash: &'a str,
    /// Hash of the new set.
    pub latest_hash: &'a str,
    /// Revision of the new set.
    pub revision: i64,
}

/// The AnalysisRun for a Rollout, ready to be created (RAN-007).
///
/// # Errors
/// Why there is none: a template that is gone, an argument that cannot be resolved.
pub fn run(request: &RunRequest<'_>) -> Result<Value, String> {
    let RunRequest {
        rollout, analysis, ..
    } = request;
    let args = arguments(
        &analysis.args,
        rollout,
        request.stable_hash,
        request.latest_hash,
    )?;
    let found = find(
        &analysis.templates,
        request.templates,
        request.cluster_templates,
    )
    .map_err(|problem| problem.message)?;
    let run = api::AnalysisRun {
        metadata: api::ObjectMeta {
            name: request.name.to_owned(),
            namespace: rollout.metadata.namespace.clone(),
            labels: labels(request),
            annotations: annotations(request),
            owner_references: vec![owner(rollout)],
            ..api::ObjectMeta::default()
        },
        spec: run_spec(
            &found,
            &args,
            &analysis.dry_run,
            &analysis.measurement_retention,
        )?,
        status: api::AnalysisRunStatus::default(),
    };
    let mut body = serde_json::to_value(run).map_err(|error| error.to_string())?;
    if let Some(fields) = body.as_object_mut() {
        fields.remove("status");
    }
    Ok(body)
}

/// Ours, then the user's, then those of the selector: later ones win.
fn labels(request: &RunRequest<'_>) -> BTreeMap<String, String> {
    let rollout = request.rollout;
    let mut labels = BTreeMap::from([
        (
            keys::POD_TEMPLATE_HASH.to_owned(),
            request.latest_hash.to_owned(),
        ),
        (
            keys::ROLLOUT_TYPE.to_owned(),
            request.rollout_type.to_owned(),
        ),
    ]);
    if let Some(index) = request.step_index {
        labels.insert(keys::STEP_INDEX.to_owned(), index.to_string());
    }
    if let Some(instance) = rollout
        .metadata
        .labels
        .get(keys::INSTANCE_ID)
        .filter(|id| !id.is_empty())
    {
        labels.insert(keys::INSTANCE_ID.to_owned(), instance.clone());
    }
    if let Some(metadata) = &request.analysis.analysis_run_metadata {
        labels.extend(metadata.labels.clone());
    }
    if let Some(selector) = &rollout.spec.selector {
        labels.extend(selector.match_labels.clone());
    }
    labels
}

fn annotations(request: &RunRequest<'_>) -> BTreeMap<String, String> {
    let mut annotations =
        BTreeMap::from([(keys::REVISION.to_owned(), request.revision.to_string())]);
    if let Some(metadata) = &request.analysis.analysis_run_metadata {
        annotations.extend(metadata.annotations.clone());
    }
    annotations
}

fn owner(rollout: &api::Rollout) -> api::OwnerReference {
    api::OwnerReference {
        api_version: <api::Rollout as api::Kind>::API_VERSION.to_owned(),
        kind: <api::Rollout as api::Kind>::KIND.to_owned(),
        name: rollout.metadata.name.clone(),
        uid: rollout.metadata.uid.clone(),
        controller: Some(true),
        block_owner_deletion: Some(true),
    }
}
