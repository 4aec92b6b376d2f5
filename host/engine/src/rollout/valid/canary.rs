//! The canary strategy's own rules (VAL-013 to VAL-032).

use serde_json::Value;
use sluice_api as api;

use super::{Canary, Check, FieldError, check_anti_affinity, invalid, required, some_text, steps};
use crate::rollout::counts;

const BASE: &str = "spec.strategy.canary";

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
        parsed.push(parse_step(spec, step, index, max_weight)?);
    }
    check_anti_affinity(&format!("{BASE}.antiAffinity"), spec.anti_affinity.as_ref())?;
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
    let zero = |value: Option<&api::IntOrString>| value.is_some_and(|value| counts::share_of(value, 100, true) == 0);
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
    if spec.dynamic_stable_scale
        && let Some(seconds) = spec.scale_down_delay_seconds
    {
        return Err(invalid(
            format!("{BASE}.dynamicStableScale"),
            seconds,
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
    let unnamed = spec.canary_service.is_empty() || spec.stable_service.is_empty();
    let needs_services = super::routers(raw)
        .iter()
        .any(|router| {
            api::upstream::router(&router.name.name)
                .is_some_and(|known| known.requires_services(&router.config, spec.ping_pong.is_some()))
        });
    if unnamed && needs_services {
        return Err(invalid(
            format!("{BASE}.stableService"),
            spec.stable_service.clone(),
            "Canary service and Stable service must to be set to use Traffic Routing",
        ));
    }
    Ok(())
}

fn parse_step(
    spec: &api::CanaryStrategy,
    step: &api::CanaryStep,
    index: usize,
    max_weight: i32,
) -> Result<steps::Step, FieldError> {
    let path = format!("{BASE}.steps[{index}]");
    let value = || serde_json::to_value(step).unwrap_or_default();
    let exclusive = [
        step.set_weight.is_some(),
        step.pause.is_some(),
        step.experiment.is_some(),
        step.analysis.is_some(),
    ];
    let others = [
        step.set_canary_scale.is_some(),
        step.set_header_route.is_some(),
        step.set_mirror_route.is_some(),
        step.plugin.is_some(),
    ];
    let count = exclusive.iter().filter(|set| **set).count();
    if count > 1 || (count == 0 && !others.contains(&true)) {
        return Err(invalid(
            path,
            value(),
            "Step must have one of the following set: experiment, setWeight, setCanaryScale, plugin or pause",
        ));
    }
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
        let duration = serde_json::to_value(&pause.duration).unwrap_or_default();
        let bad = || invalid(format!("{path}.pause.duration"), duration.clone(), "Duration needs to be greater than 0");
        match steps::pause_duration(pause) {
            Ok(Some(length)) if length.is_negative() => return Err(bad()),
            Ok(_) => {}
            Err(_) => return Err(bad()),
        }
    }
    let routing = spec.traffic_routing.as_ref();
    if step.set_canary_scale.is_some() && routing.is_none() {
        return Err(required(
            format!("{path}.setCanaryScale"),
            "SetCanaryScale requires TrafficRouting to be set",
        ));
    }
    check_route(spec, step, &path)?;
    for (present, what) in [
        (step.experiment.is_some(), "experiment"),
        (step.plugin.is_some(), "plugin"),
    ] {
        if present {
            return Err(invalid(
                format!("{path}.{what}"),
                value(),
                format!("{what} steps are not supported by this version of Sluice"),
            ));
        }
    }
    steps::Step::parse(step).ok_or_else(|| invalid(path, value(), "Step cannot be read"))
}

/// Header and mirror routes must be listed as managed (VAL-029 to VAL-031).
fn check_route(spec: &api::CanaryStrategy, step: &api::CanaryStep, path: &str) -> Check {
    let (name, field, without_routing) = match (&step.set_header_route, &step.set_mirror_route) {
        (Some(route), _) => (&route.name, "setHeaderRoute", &api::upstream::messages().header_routes),
        (None, Some(route)) => (&route.name, "setMirrorRoute", &api::upstream::messages().mirror_routes),
        (None, None) => return Ok(()),
    };
    let Some(routing) = &spec.traffic_routing else {
        return Err(invalid(format!("{path}.{field}"), name.clone(), without_routing.clone()));
    };
    if routing.managed_routes.is_empty() {
        return Err(required(
            "spec.strategy.canary.trafficRouting.managedRoutes",
            "Rollout has missing field 'spec.strategy.canary.trafficRouting.managedRoutes'",
        ));
    }
    if !routing.managed_routes.iter().any(|route| &route.name == name) {
        return Err(invalid(
            format!("{path}.{field}"),
            name.clone(),
            "Steps define a route that does not exist in spec.strategy.canary.trafficRouting.managedRoutes",
        ));
    }
    Ok(())
}
