//! The canary strategy's own rules (VAL-013 to VAL-032).

use serde_json::Value;
use sluice_api as api;

use super::{
    Canary, Check, FieldError, check_anti_affinity, invalid, not_negative, required, some_text,
    steps,
};
use crate::analysis::template::metadata_field;
use crate::rollout::counts;

/// Upstream leaves the strategy's name out of the paths of these checks.
const BASE: &str = "spec.strategy";

pub(super) fn parse(raw: &api::Rollout, spec: &api::CanaryStrategy) -> Result<Canary, FieldError> {
    check_surge(spec)?;
    if !spec.canary_service.is_empty() && spec.canary_service == spec.stable_service {
        return Err(invalid(
            format!("{BASE}.stableService"),
            spec.stable_service.clone(),
            "This rollout uses the same service for the stable and canary services, but two different services are required.",
        ));
    }
    let routed = spec.traffic_routing.is_some();
    check_routing(raw, spec)?;
    let max_weight = spec
        .traffic_routing
        .as_ref()
        .and_then(|routing| routing.max_traffic_weight)
        .unwrap_or(100);
    let mut parsed = Vec::with_capacity(spec.steps.len());
    for (index, step) in spec.steps.iter().enumerate() {
        parsed.push(parse_step(raw, spec, step, index, max_weight)?);
    }
    check_anti_affinity(spec.anti_affinity.as_ref())?;
    Ok(Canary {
        steps: parsed,
        routed,
        max_weight,
        stable_service: some_text(&spec.stable_service),
        canary_service: some_text(&spec.canary_service),
    })
}

/// Nothing could ever move with both at zero (VAL-013).
fn check_surge(spec: &api::CanaryStrategy) -> Check {
    let zero = |value: Option<&api::IntOrString>| {
        value.is_some_and(|value| counts::share_of(value, 100, true) == 0)
    };
    if zero(spec.max_surge.as_ref()) && zero(spec.max_unavailable.as_ref()) {
        let value = serde_json::to_value(&spec.max_surge).unwrap_or_default();
        return Err(invalid(
            format!("{BASE}.maxSurge"),
            value,
            "MaxSurge and MaxUnavailable both can not be zero",
        ));
    }
    Ok(())
}

fn check_routing(raw: &api::Rollout, spec: &api::CanaryStrategy) -> Check {
    let Some(routing) = &spec.traffic_routing else {
        if let Some(seconds) = spec.scale_down_delay_seconds {
            return Err(invalid(
                format!("{BASE}.scaleDownDelaySeconds"),
                seconds,
                "Canary scaleDownDelaySeconds can only be used with traffic routing",
            ));
        }
        if spec.dynamic_stable_scale {
            return Err(invalid(
                format!("{BASE}.dynamicStableScale"),
                true,
                "Canary dynamicStableScale can only be used with traffic routing",
            ));
        }
        return Ok(());
    };
    let needs_services = super::routers(raw).iter().any(|router| {
        known(router)
            .is_some_and(|known| known.requires_services(&router.config, spec.ping_pong.is_some()))
    });
    for (field, service) in [
        ("stableService", &spec.stable_service),
        ("canaryService", &spec.canary_service),
    ] {
        if needs_services && service.is_empty() {
            return Err(invalid(
                format!("{BASE}.{field}"),
                service.clone(),
                "Canary service and Stable service must to be set to use Traffic Routing",
            ));
        }
    }
    if spec.dynamic_stable_scale && spec.scale_down_delay_seconds.is_some() {
        return Err(invalid(
            format!("{BASE}.dynamicStableScale"),
            true,
            "Canary dynamicStableScale cannot be used with scaleDownDelaySeconds",
        ));
    }
    let supports = |has: fn(&api::upstream::Router) -> bool| {
        super::routers(raw)
            .iter()
            .any(|router| api::upstream::router(&router.name.name).is_none_or(has))
    };
    if spec.ping_pong.is_some() {
        return Err(invalid(
            format!("{BASE}.pingPong"),
            Value::Null,
            "ping-pong Services are not supported by this version of Sluice",
        ));
    }
    if let Some(max) = routing.max_traffic_weight
        && !supports(|router| router.max_traffic_weight)
    {
        return Err(invalid(
            format!("{BASE}.trafficRouting.maxTrafficWeight"),
            max,
            api::upstream::messages().max_traffic_weight.clone(),
        ));
    }
    Ok(())
}

fn parse_step(
    raw: &api::Rollout,
    spec: &api::CanaryStrategy,
    step: &api::CanaryStep,
    index: usize,
    max_weight: i32,
) -> Result<steps::Step, FieldError> {
    let path = format!("{BASE}.steps[{index}]");
    check_kinds(step, &path)?;
    if let Some(weight) = step.set_weight
        && !(0..=max_weight).contains(&weight)
    {
        return Err(invalid(
            format!("{path}.setWeight"),
            weight,
            format!("SetWeight needs to be between 0 and {max_weight}"),
        ));
    }
    if let Some(pause) = &step.pause {
        // A text that is no duration counts as -1.
        let seconds = steps::pause_duration(pause)
            .map_or(-1, |length| length.map_or(0, |length| length.as_secs()));
        if seconds < 0 {
            return Err(invalid(
                format!("{path}.pause.duration"),
                seconds,
                "Duration needs to be greater than 0",
            ));
        }
    }
    let routing = spec.traffic_routing.as_ref();
    if step.set_canary_scale.is_some() && routing.is_none() {
        return Err(required(
            format!("{BASE}.trafficRouting"),
            "SetCanaryScale requires TrafficRouting to be set",
        ));
    }
    if let Some(scale) = &step.set_canary_scale {
        let path = format!("{path}.setCanaryScale");
        not_negative(&format!("{path}.replicas"), scale.replicas)?;
        not_negative(&format!("{path}.weight"), scale.weight)?;
    }
    check_route(raw, spec, step, &path)?;
    check_arguments(raw, step, &path)?;
    for (present, what) in [
        (step.experiment.is_some(), "experiment"),
        (step.plugin.is_some(), "plugin"),
    ] {
        if present {
            return Err(invalid(
                format!("{path}.{what}"),
                Value::Null,
                format!("{what} steps are not supported by this version of Sluice"),
            ));
        }
    }
    steps::Step::parse(step).ok_or_else(|| invalid(path, Value::Null, "Step cannot be read"))
}

/// One thing in a step (VAL-025). What else may stand beside it is upstream's choice.
fn check_kinds(step: &api::CanaryStep, path: &str) -> Check {
    let (experiment, pause) = (step.experiment.is_some(), step.pause.is_some());
    let (weight, analysis) = (step.set_weight.is_some(), step.analysis.is_some());
    let others = [
        step.set_canary_scale.is_some(),
        step.set_header_route.is_some(),
        step.set_mirror_route.is_some(),
        step.plugin.is_some(),
    ];
    let count = [experiment, pause, weight, analysis]
        .iter()
        .filter(|set| **set)
        .count();
    let value = if count > 1 {
        format!(
            "step.Experiment: {experiment} step.Pause: {pause} step.SetWeight: {weight} step.Analysis: {analysis}"
        )
    } else if count == 0 && !others.contains(&true) {
        // In this text upstream says what is missing.
        "step.Experiment: true step.Pause: true step.SetWeight: true step.Analysis: true step.SetCanaryScale: true \
         step.SetHeaderRoute: true step.SetMirrorRoute: true step.Plugin: true"
            .to_owned()
    } else {
        return Ok(());
    };
    Err(invalid(
        path,
        value,
        "Step must have one of the following set: experiment, setWeight, setCanaryScale, plugin or pause",
    ))
}

/// Arguments that refer to the Rollout's metadata refer to something that can be read (VAL-033).
fn check_arguments(raw: &api::Rollout, step: &api::CanaryStep, path: &str) -> Check {
    let args = step
        .analysis
        .as_ref()
        .map(|analysis| analysis.args.as_slice())
        .unwrap_or_default();
    let unreadable = args.iter().any(|arg| {
        let field = arg
            .value_from
            .as_ref()
            .and_then(|from| from.field_ref.as_ref());
        field.is_some_and(|field| {
            field.field_path.starts_with("metadata")
                && metadata_field(&raw.metadata, &field.field_path).is_err()
        })
    });
    if unreadable {
        return Err(invalid(
            format!("{path}.analyses"),
            serde_json::to_value(args).unwrap_or_default(),
            "Analyses arguments must refer to valid object metadata supported by downwardAPI",
        ));
    }
    Ok(())
}

/// Header and mirror routes need a router that can do them, and must be listed as managed (VAL-029 to VAL-031).
fn check_route(
    raw: &api::Rollout,
    spec: &api::CanaryStrategy,
    step: &api::CanaryStep,
    path: &str,
) -> Check {
    let supported = |has: fn(&api::upstream::Router) -> bool| {
        super::routers(raw)
            .iter()
            .any(|router| known(router).is_none_or(has))
    };
    let texts = api::upstream::messages();
    if let Some(route) = &step.set_header_route {
        let path = format!("{path}.setHeaderRoute");
        if !supported(|router| router.header_routes) {
            let value = serde_json::to_value(route).unwrap_or_default();
            return Err(invalid(path, value, texts.header_routes.clone()));
        }
        check_header(raw, route, &path)?;
        check_managed(spec, &route.name, path)?;
    }
    if let Some(route) = &step.set_mirror_route {
        let path = format!("{path}.setMirrorRoute");
        if !supported(|router| router.mirror_routes) {
            let value = serde_json::to_value(route).unwrap_or_default();
            return Err(invalid(path, value, texts.mirror_routes.clone()));
        }
        for (index, one) in route.match_.iter().enumerate() {
            for text in [&one.method, &one.path].into_iter().flatten() {
                check_match(Some(text), format!("{path}.match[{index}]"))?;
            }
        }
        check_managed(spec, &route.name, path)?;
    }
    Ok(())
}

/// What upstream knows of a router: a block of its own, or one among the plugins.
fn known(router: &super::Router) -> Option<&'static api::upstream::Router> {
    api::upstream::router(&router.name.name)
}

/// Each header is matched in one way; some routers can do one only.
fn check_header(raw: &api::Rollout, route: &api::SetHeaderRoute, path: &str) -> Check {
    let exact_only = super::routers(raw)
        .iter()
        .find_map(|router| known(router)?.header_exact_only.clone());
    for (index, one) in route.match_.iter().enumerate() {
        let path = format!("{path}.match[{index}]");
        match (&exact_only, &one.header_value) {
            (Some(text), Some(value))
                if value.exact.is_empty()
                    || !value.regex.is_empty()
                    || !value.prefix.is_empty() =>
            {
                return Err(invalid(
                    path,
                    serde_json::to_value(value).unwrap_or_default(),
                    text.clone(),
                ));
            }
            (Some(_), Some(_)) => {}
            (_, value) => check_match(value.as_ref(), path)?,
        }
    }
    Ok(())
}

fn check_match(value: Option<&api::StringMatch>, path: String) -> Check {
    let ways = value.map_or(0, |value| {
        let texts = [&value.exact, &value.regex, &value.prefix];
        texts.iter().filter(|text| !text.is_empty()).count()
    });
    let detail = match ways {
        0 => {
            "StringMatch value missed, match value must have one of the following: exact, regex, prefix"
        }
        1 => return Ok(()),
        _ => "StringMatch match value must have exactly one of the following: exact, regex, prefix",
    };
    Err(invalid(
        path,
        serde_json::to_value(value).unwrap_or_default(),
        detail,
    ))
}

fn check_managed(spec: &api::CanaryStrategy, name: &str, path: String) -> Check {
    let Some(routing) = &spec.traffic_routing else {
        return Ok(());
    };
    if routing.managed_routes.is_empty() {
        return Err(required(
            format!("{BASE}.trafficRouting.managedRoutes"),
            "Rollout has missing field 'spec.strategy.canary.trafficRouting.managedRoutes'",
        ));
    }
    if !routing
        .managed_routes
        .iter()
        .any(|route| route.name == name)
    {
        return Err(invalid(
            path,
            name,
            "Steps define a route that does not exist in spec.strategy.canary.trafficRouting.managedRoutes",
        ));
    }
    Ok(())
}
