//! Canary steps: parsed once, then trusted.

use jiff::SignedDuration;
use serde_json::Value;
use sluice_api as api;

/// A step that validation has accepted. Each thing in it is done; upstream's documents have steps with a scale and a route.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// Wait.
    pub pause: Option<Pause>,
    /// Fix the size of the canary set.
    pub scale: Option<CanaryScale>,
    /// Send this share of the traffic to the canary.
    pub weight: Option<i32>,
    /// Run an analysis to its end.
    pub analysis: Option<Box<api::RolloutAnalysis>>,
    /// Add or remove a route by header.
    pub header_route: Option<Value>,
    /// Add or remove a mirrored route.
    pub mirror_route: Option<Value>,
}

/// How long to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pause {
    /// None: until somebody promotes.
    pub duration: Option<SignedDuration>,
}

/// What `setCanaryScale` asks for. `replicas` wins over `weight`; `MatchTrafficWeight` ends an earlier one (STP-005).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CanaryScale {
    /// This many pods.
    Replicas(i32),
    /// This share of the Rollout's pods.
    Weight(i32),
    /// As the traffic weight says.
    MatchTrafficWeight,
}

impl Step {
    /// Parses one step; None for what validation refuses.
    pub fn parse(step: &api::CanaryStep) -> Option<Self> {
        let pause = match &step.pause {
            Some(pause) => Some(Pause {
                duration: pause_duration(pause).ok()?,
            }),
            None => None,
        };
        let step = Self {
            pause,
            scale: step.set_canary_scale.as_ref().map(canary_scale),
            weight: step.set_weight,
            analysis: step.analysis.clone().map(Box::new),
            header_route: written(step.set_header_route.as_ref())?,
            mirror_route: written(step.set_mirror_route.as_ref())?,
        };
        (!step.is_empty()).then_some(step)
    }

    /// The routes that it sets or removes.
    pub fn routes(&self) -> impl Iterator<Item = &Value> {
        self.header_route.iter().chain(&self.mirror_route)
    }

    fn is_empty(&self) -> bool {
        let Self {
            pause,
            scale,
            weight,
            analysis,
            header_route,
            mirror_route,
        } = self;
        pause.is_none()
            && scale.is_none()
            && weight.is_none()
            && analysis.is_none()
            && header_route.is_none()
            && mirror_route.is_none()
    }
}

/// Whether a step sets this route. One without a match is removed (STP-006, STP-007).
pub fn is_set(route: &Value) -> bool {
    let matches = route.get("match").and_then(Value::as_array);
    matches.is_some_and(|matches| !matches.is_empty())
}

/// A route as routers get it; None if it cannot be written.
fn written<T: serde::Serialize>(route: Option<&T>) -> Option<Option<Value>> {
    route.map(serde_json::to_value).transpose().ok()
}

/// The duration of a pause: None until promoted. An unreadable one is an error (STP-002).
pub fn pause_duration(pause: &api::RolloutPause) -> Result<Option<SignedDuration>, String> {
    let text = match &pause.duration {
        None => return Ok(None),
        Some(api::IntOrString::Int(seconds)) => {
            return Ok(Some(SignedDuration::from_secs(i64::from(*seconds))));
        }
        Some(api::IntOrString::String(text)) => text,
    };
    if let Ok(seconds) = text.parse::<i32>() {
        return Ok(Some(SignedDuration::from_secs(i64::from(seconds))));
    }
    api::parse_duration(text)
        .map(|duration| Some(SignedDuration::from_secs(duration.as_secs())))
        .map_err(|error| error.to_string())
}

fn canary_scale(scale: &api::SetCanaryScale) -> CanaryScale {
    if scale.match_traffic_weight {
        CanaryScale::MatchTrafficWeight
    } else if let Some(replicas) = scale.replicas {
        CanaryScale::Replicas(replicas)
    } else if let Some(weight) = scale.weight {
        CanaryScale::Weight(weight)
    } else {
        CanaryScale::MatchTrafficWeight
    }
}

/// The step as events and logs show it (STP-009).
pub fn display(step: &api::CanaryStep) -> String {
    if let Some(weight) = step.set_weight {
        return format!("setWeight: {weight}");
    }
    if let Some(pause) = &step.pause {
        return match &pause.duration {
            None => "pause".to_owned(),
            Some(api::IntOrString::Int(seconds)) => format!("pause: {seconds}"),
            Some(api::IntOrString::String(text)) => format!("pause: {text}"),
        };
    }
    if step.experiment.is_some() {
        return "experiment".to_owned();
    }
    if step.analysis.is_some() {
        return "analysis".to_owned();
    }
    if let Some(scale) = &step.set_canary_scale {
        match (scale.weight, scale.match_traffic_weight, scale.replicas) {
            (Some(weight), _, _) => return format!("setCanaryScale{{weight: {weight}}}"),
            (None, true, _) => return "setCanaryScale{matchTrafficWeight: true}".to_owned(),
            (None, false, Some(pods)) => return format!("setCanaryScale{{replicas: {pods}}}"),
            (None, false, None) => {}
        }
    }
    if let Some(plugin) = &step.plugin {
        return format!("plugin: {}", plugin.name);
    }
    if let Some(route) = &step.set_header_route {
        return format!("setHeaderRoute: {}", route.name);
    }
    if let Some(route) = &step.set_mirror_route {
        return format!("setMirrorRoute: {}", route.name);
    }
    "invalid".to_owned()
}

/// The weight of the nearest `setWeight` at or before this position; 0 where there is none (CAN-002).
pub fn weight_at(steps: &[Step], index: usize) -> i32 {
    steps
        .iter()
        .take(index.saturating_add(1))
        .rev()
        .find_map(|step| step.weight)
        .unwrap_or(0)
}

/// The `setCanaryScale` in force at this position (CAN-021); none after the last step.
pub fn scale_at(steps: &[Step], index: usize) -> Option<CanaryScale> {
    if index >= steps.len() {
        return None;
    }
    let nearest = steps
        .iter()
        .take(index.saturating_add(1))
        .rev()
        .find_map(|step| step.scale);
    nearest.filter(|scale| *scale != CanaryScale::MatchTrafficWeight)
}
