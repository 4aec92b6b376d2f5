//! Is the specification usable? Parsed once into a type that is then trusted; the first error wins, as upstream.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value;
use sluice_api as api;

use super::steps::{self, Step};
use super::traffic;
use crate::observed::Observed;
use crate::plugin::{
    Answer, Ask, Disposition, Function, PluginCall, PluginKind, PluginName, Refusal, Reply, Slot,
};
use crate::{keys, object::Subject};

mod analysis;
mod canary;
mod references;
mod selector;

/// A Rollout whose specification and references are usable.
#[derive(Clone, Debug)]
pub struct ValidRollout {
    /// The Rollout as read.
    pub rollout: Arc<api::Rollout>,
    /// Its pod template.
    pub template: api::PodTemplate,
    /// How it replaces one revision by another.
    pub strategy: Strategy,
    /// Routers, in upstream's order.
    pub routers: Vec<Router>,
    /// Routers that have not answered yet whether their configuration is usable. As long as there are any the Rollout is
    /// neither valid nor InvalidSpec.
    pub unchecked: Vec<String>,
}

/// How a Rollout replaces one revision by another.
#[derive(Clone, Debug)]
pub enum Strategy {
    /// Step by step.
    Canary(Canary),
    /// At once.
    BlueGreen(BlueGreen),
}

/// The canary strategy.
#[derive(Clone, Debug)]
pub struct Canary {
    /// Parsed steps, one for each of the specification.
    pub steps: Vec<Step>,
    /// `trafficRouting` is there.
    pub routed: bool,
    /// `maxTrafficWeight` or 100.
    pub max_weight: i32,
    /// Name of the stable Service, if any; with ping-pong the one that is stable now.
    pub stable_service: Option<String>,
    /// Name of the canary Service, if any.
    pub canary_service: Option<String>,
}

/// The blue-green strategy.
#[derive(Clone, Debug)]
pub struct BlueGreen {
    /// The Service that is switched at promotion.
    pub active_service: String,
    /// The Service that follows the new set at once.
    pub preview_service: Option<String>,
}

/// A router that the specification names.
#[derive(Clone, Debug, PartialEq)]
pub struct Router {
    /// The lookup key.
    pub name: PluginName,
    /// Its block.
    pub config: Value,
    /// Where that block stands in the Rollout.
    pub path: String,
}

/// Something wrong with a field.
#[derive(Clone, Debug, PartialEq)]
pub struct FieldError {
    /// Path from the root of the object.
    pub path: String,
    /// What is wrong with it.
    pub problem: Problem,
}

/// Kubernetes' kinds of field errors that upstream uses.
#[derive(Clone, Debug, PartialEq)]
pub enum Problem {
    /// The value is not acceptable.
    Invalid {
        /// The value.
        value: Value,
        /// Why not.
        detail: String,
    },
    /// The value is none of those that are possible.
    Unsupported {
        /// The value.
        value: Value,
        /// The possible ones.
        supported: &'static str,
    },
    /// It must be there.
    Required(String),
    /// It must not be there.
    Forbidden(&'static str),
    /// Something else went wrong.
    Internal(String),
    /// What a plugin says of its own block, in these words.
    Told(String),
}

impl std::fmt::Display for FieldError {
    /// As Kubernetes' `field.Error` prints (VAL-001).
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.problem {
            Problem::Invalid { value, detail } => {
                write!(f, "{}: Invalid value: {value}: {detail}", self.path)
            }
            Problem::Unsupported { value, supported } => {
                write!(
                    f,
                    "{}: Unsupported value: {value}: supported values: \"{supported}\"",
                    self.path
                )
            }
            Problem::Required(detail) if detail.is_empty() => {
                write!(f, "{}: Required value", self.path)
            }
            Problem::Required(detail) => write!(f, "{}: Required value: {detail}", self.path),
            Problem::Forbidden(detail) => write!(f, "{}: Forbidden: {detail}", self.path),
            Problem::Told(message) => write!(f, "{}: {message}", self.path),
            Problem::Internal(detail) => write!(f, "{}: Internal error: {detail}", self.path),
        }
    }
}

/// Why a Rollout cannot be worked on. Never empty.
#[derive(Clone, Debug, PartialEq)]
pub struct FieldErrors {
    /// The one that the condition shows.
    pub first: FieldError,
    /// The routers of the specification as far as it can be read: their checks must go on, or nothing would recover.
    pub routers: Vec<Router>,
}

impl FieldErrors {
    /// The message of the condition InvalidSpec (VAL-001).
    pub fn message(&self, rollout: &str) -> String {
        format!("The Rollout \"{rollout}\" is invalid: {}", self.first)
    }
}

pub(super) type Check = Result<(), FieldError>;

pub(super) fn invalid(
    path: impl Into<String>,
    value: impl Into<Value>,
    detail: impl Into<String>,
) -> FieldError {
    FieldError {
        path: path.into(),
        problem: Problem::Invalid {
            value: value.into(),
            detail: detail.into(),
        },
    }
}

pub(super) fn required(path: impl Into<String>, detail: impl Into<String>) -> FieldError {
    FieldError {
        path: path.into(),
        problem: Problem::Required(detail.into()),
    }
}

/// Checks the specification, then what it refers to (ledger section 5). Total: every input has an answer.
pub fn validate(raw: &Arc<api::Rollout>, seen: &Observed) -> Result<ValidRollout, FieldErrors> {
    let routers = routers(raw);
    let fail = |first: FieldError| FieldErrors {
        first,
        routers: routers.clone(),
    };
    check_selector(raw).map_err(&fail)?;
    let template = raw.spec.template.clone().unwrap_or_default();
    check_template(raw, &template).map_err(&fail)?;
    check_times(raw).map_err(&fail)?;
    let strategy = parse_strategy(raw).map_err(&fail)?;
    references::check_services(raw, &template, seen).map_err(&fail)?;
    analysis::check_templates(raw, seen).map_err(&fail)?;
    let unchecked = check_routers(raw, &routers, seen).map_err(&fail)?;
    Ok(ValidRollout {
        rollout: raw.clone(),
        template,
        strategy,
        routers,
        unchecked,
    })
}

fn not_negative(path: &str, value: Option<i32>) -> Check {
    match value {
        Some(value) if value < 0 => Err(invalid(path, value, "must be greater than or equal to 0")),
        Some(_) | None => Ok(()),
    }
}

/// How many pods, and which ones (VAL-004, VAL-005).
fn check_selector(raw: &api::Rollout) -> Check {
    let spec = &raw.spec;
    not_negative("spec.replicas", spec.replicas)?;
    if spec.workload_ref.is_some() {
        // Honest until the referenced workload is resolved: a Rollout that would run without its pods helps nobody.
        return Err(invalid(
            "spec.workloadRef",
            Value::Null,
            "references to workloads are not supported by this version of Sluice",
        ));
    }
    selector::check(spec.selector.as_ref())
}

/// Times and limits (VAL-004, VAL-008).
fn check_times(raw: &api::Rollout) -> Check {
    let spec = &raw.spec;
    not_negative("spec.minReadySeconds", Some(spec.min_ready_seconds))?;
    not_negative("spec.revisionHistoryLimit", spec.revision_history_limit)?;
    not_negative(
        "spec.progressDeadlineSeconds",
        spec.progress_deadline_seconds,
    )?;
    let deadline = spec.progress_deadline_seconds();
    if deadline <= spec.min_ready_seconds {
        return Err(invalid(
            "spec.progressDeadlineSeconds",
            deadline,
            "must be greater than minReadySeconds",
        ));
    }
    Ok(())
}

/// The part of pod validation that a create would not tell us in time (VAL-007): selector and restart policy.
fn check_template(raw: &api::Rollout, template: &api::PodTemplate) -> Check {
    let labels = template.labels();
    let selects = raw
        .spec
        .selector
        .as_ref()
        .is_some_and(|selector| crate::selector::matches(selector, &labels));
    if !selects {
        return Err(invalid(
            "spec.template.metadata.labels",
            serde_json::to_value(&labels).unwrap_or_default(),
            "`selector` does not match template `labels`",
        ));
    }
    let spec = template.spec();
    let has_containers = spec
        .get("containers")
        .and_then(Value::as_array)
        .is_some_and(|containers| !containers.is_empty());
    if !has_containers {
        return Err(required("spec.template.spec.containers", ""));
    }
    match spec.get("restartPolicy").and_then(Value::as_str) {
        None | Some("" | "Always") => Ok(()),
        Some(other) => Err(FieldError {
            path: "spec.template.spec.restartPolicy".to_owned(),
            problem: Problem::Unsupported {
                value: other.into(),
                supported: "Always",
            },
        }),
    }
}

/// Exactly one strategy, and that one sound (VAL-009 to VAL-014).
fn parse_strategy(raw: &api::Rollout) -> Result<Strategy, FieldError> {
    let strategy = &raw.spec.strategy;
    match (&strategy.canary, &strategy.blue_green) {
        (None, None) => Err(required(
            "spec.strategy.strategy",
            "Rollout has missing field '.spec.strategy.canary or .spec.strategy.blueGreen'",
        )),
        (Some(_), Some(_)) => Err(invalid(
            "spec.strategy.strategy",
            "blueGreen: true canary: true",
            "Multiple Strategies can not be listed",
        )),
        (Some(spec), None) => canary::parse(raw, spec).map(Strategy::Canary),
        (None, Some(spec)) => parse_blue_green(raw, spec).map(Strategy::BlueGreen),
    }
}

fn parse_blue_green(
    raw: &api::Rollout,
    spec: &api::BlueGreenStrategy,
) -> Result<BlueGreen, FieldError> {
    if spec.active_service == spec.preview_service {
        return Err(invalid(
            "spec.strategy.activeService",
            spec.active_service.clone(),
            "This rollout uses the same service for the active and preview services, but two different services are required.",
        ));
    }
    let history = raw.spec.revision_history_limit();
    if let Some(limit) = spec.scale_down_delay_revision_limit
        && limit > history
    {
        return Err(invalid(
            "spec.strategy.scaleDownDelayRevisionLimit",
            limit,
            "This rollout's revision history limit can not be smaller than the rollout's scale down limit",
        ));
    }
    check_anti_affinity(spec.anti_affinity.as_ref())?;
    Ok(BlueGreen {
        active_service: spec.active_service.clone(),
        preview_service: some_text(&spec.preview_service),
    })
}

/// Exactly one term, its weight in range (VAL-012). Upstream leaves the strategy's name out of these paths.
fn check_anti_affinity(spec: Option<&api::AntiAffinity>) -> Check {
    let path = "spec.strategy.antiAffinity";
    let Some(spec) = spec else {
        return Ok(());
    };
    match (
        &spec.preferred_during_scheduling_ignored_during_execution,
        &spec.required_during_scheduling_ignored_during_execution,
    ) {
        (preferred, required) if preferred.is_some() == required.is_some() => {
            let prefix = "antiAffinity.";
            Err(invalid(
                path,
                format!(
                    "{prefix}PreferredDuringSchedulingIgnoredDuringExecution: {} \
                     {prefix}RequiredDuringSchedulingIgnoredDuringExecution: {}",
                    preferred.is_some(),
                    required.is_some()
                ),
                "AntiAffinity must have exactly one strategy listed",
            ))
        }
        (Some(preferred), _) if !(1..=100).contains(&preferred.weight) => Err(invalid(
            format!("{path}.weight"),
            preferred.weight,
            "AntiAffinity weight must be between 1-100",
        )),
        (_, _) => Ok(()),
    }
}

/// The routers of a specification, in upstream's order (TRF-013); plugins by name after the others.
pub(super) fn routers(raw: &api::Rollout) -> Vec<Router> {
    let Some(routing) = raw
        .spec
        .strategy
        .canary
        .as_ref()
        .and_then(|canary| canary.traffic_routing.as_ref())
    else {
        return Vec::new();
    };
    let named = |name: &str, config: &Value, path: String| Router {
        name: PluginName {
            kind: PluginKind::TrafficRouter,
            name: name.to_owned(),
        },
        config: config.clone(),
        path,
    };
    let base = "spec.strategy.canary.trafficRouting";
    let mut routers: Vec<(usize, Router)> = Vec::new();
    let plugin_order = api::upstream::routers().len();
    for (name, config) in &routing.routers {
        if name == PLUGINS {
            let plugins: BTreeMap<String, Value> =
                serde_json::from_value(config.clone()).unwrap_or_default();
            for (name, config) in &plugins {
                routers.push((
                    plugin_order,
                    named(name, config, format!("{base}.plugins[{name}]")),
                ));
            }
        } else {
            let order = api::upstream::routers()
                .iter()
                .position(|known| known.name == *name)
                .unwrap_or(plugin_order);
            routers.push((order, named(name, config, format!("{base}.{name}"))));
        }
    }
    routers.sort_by_key(|(order, _)| *order);
    routers.into_iter().map(|(_, router)| router).collect()
}

/// The key under which `trafficRouting` holds plugins by their full names (TRF-011).
const PLUGINS: &str = "plugins";

/// The call that asks a router whether its configuration is usable, and when it is to be asked again although nothing
/// changes: a router that trapped or could not say must not be asked once only. None where nobody provides it.
pub(super) fn check_call(
    raw: &api::Rollout,
    router: &Router,
    seen: &Observed,
) -> Option<(PluginCall, Option<Timestamp>)> {
    let info = seen.plugins.find(router.name.kind, &router.name.name)?;
    let slot = Slot {
        plugin: router.name.clone(),
        function: Function::Check,
        part: String::new(),
    };
    let (due, again) = seen.plugins.due(&slot, seen.now);
    let call = PluginCall {
        subject: subject(raw),
        slot,
        digest: info.digest.clone(),
        config: router.config.clone(),
        ask: Ask::Check,
        due,
        secrets: Vec::new(),
    };
    Some((call, again))
}

/// The Rollout as the subject of calls, events and ownership.
pub(crate) fn subject(raw: &api::Rollout) -> Subject {
    Subject {
        key: crate::object::ObjectKey::namespaced(
            "argoproj.io/v1alpha1",
            "Rollout",
            &raw.metadata.namespace,
            &raw.metadata.name,
        ),
        uid: raw.metadata.uid.clone(),
    }
}

/// Every router must be provided and find its configuration usable. Returns those that have not answered.
fn check_routers(
    raw: &api::Rollout,
    routers: &[Router],
    seen: &Observed,
) -> Result<Vec<String>, FieldError> {
    let mut unchecked = Vec::new();
    for router in routers {
        let Some((call, _)) = check_call(raw, router, seen) else {
            if seen.plugins.loading {
                unchecked.push(router.name.name.clone());
                continue;
            }
            return Err(not_provided(router));
        };
        check_total(raw, router, seen)?;
        match seen.plugins.answer(&call) {
            Answer::Fresh(Reply::Usable, _) | Answer::Stale(Reply::Usable) => {}
            Answer::Fresh(Reply::Refused(refusal), _) | Answer::Stale(Reply::Refused(refusal)) => {
                match refusal.disposition {
                    Disposition::InvalidConfig | Disposition::Fail => {
                        return Err(refused(router, refusal));
                    }
                    // What the configuration names is missing for now: upstream reports that as an invalid reference.
                    Disposition::Retry if refusal.field.is_some() => {
                        return Err(refused(router, refusal));
                    }
                    Disposition::Retry => unchecked.push(router.name.name.clone()),
                }
            }
            // Not answered, or the plugin is at fault: that says nothing about the specification.
            Answer::None | Answer::Running | Answer::Fresh(..) | Answer::Stale(_) => {
                unchecked.push(router.name.name.clone());
            }
        }
    }
    Ok(unchecked)
}

/// A router that splits into a hundred parts would take a larger total for shares that it does not have.
fn check_total(raw: &api::Rollout, router: &Router, seen: &Observed) -> Check {
    let canary = raw.spec.strategy.canary.as_ref();
    let total = canary
        .and_then(|canary| canary.traffic_routing.as_ref()?.max_traffic_weight)
        .unwrap_or(100);
    let info = seen.plugins.find(router.name.kind, &router.name.name);
    if info.is_none_or(|info| traffic::knows_total(info, total)) {
        return Ok(());
    }
    Err(invalid(
        "spec.strategy.trafficRouting.maxTrafficWeight",
        total,
        format!("router {} splits into 100 parts only", router.name.name),
    ))
}

/// Upstream's text for a router plugin that it cannot find (RT-PLG-001).
fn not_provided(router: &Router) -> FieldError {
    let name = &router.name.name;
    FieldError {
        path: router.path.clone(),
        problem: Problem::Internal(format!(
            "failed to get traffic router plugin {name}: no loaded plugin provides it"
        )),
    }
}

fn refused(router: &Router, refusal: &Refusal) -> FieldError {
    let path = match &refusal.field {
        Some(field) if field.starts_with("spec.") => field.clone(),
        Some(field) if !field.is_empty() => format!("{}.{field}", router.path),
        Some(_) | None => router.path.clone(),
    };
    // The message carries Kubernetes' prefix ("Invalid value: …") already.
    FieldError {
        path,
        problem: Problem::Told(refusal.message.clone()),
    }
}

pub(super) fn some_text(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}
