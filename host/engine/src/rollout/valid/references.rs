//! Services that the specification names must exist and fit (VAL-040 to VAL-042).

use sluice_api as api;

use super::{Check, invalid, keys};
use crate::observed::Observed;

/// Every Service that the specification names, with the field that names it.
pub(in crate::rollout) fn services(raw: &api::Rollout) -> Vec<(&'static str, &str)> {
    let strategy = &raw.spec.strategy;
    let mut named: Vec<(&'static str, &str)> = Vec::new();
    if let Some(spec) = &strategy.blue_green {
        named.push((
            "spec.strategy.blueGreen.activeService",
            &spec.active_service,
        ));
        named.push((
            "spec.strategy.blueGreen.previewService",
            &spec.preview_service,
        ));
    }
    if let Some(spec) = &strategy.canary {
        named.push(("spec.strategy.canary.stableService", &spec.stable_service));
        named.push(("spec.strategy.canary.canaryService", &spec.canary_service));
    }
    named.retain(|(_, name)| !name.is_empty());
    named
}

pub(super) fn check_services(
    raw: &api::Rollout,
    template: &api::PodTemplate,
    seen: &Observed,
) -> Check {
    let labels = template.labels();
    for (path, name) in services(raw) {
        let Some(service) = seen.services.get(name).and_then(Option::as_ref) else {
            return Err(invalid(path, name, format!("service \"{name}\" not found")));
        };
        let stranger = service.selector.iter().find(|(key, value)| {
            key.as_str() != keys::POD_TEMPLATE_HASH && labels.get(*key) != Some(value)
        });
        if let Some((key, _)) = stranger {
            return Err(invalid(
                path,
                name,
                format!("Service \"{name}\" has unmatch label \"{key}\" in rollout"),
            ));
        }
        if let Some(other) = service.metadata.annotations.get(keys::MANAGED_BY)
            && other != &raw.metadata.name
        {
            return Err(invalid(
                path,
                name,
                format!("Service \"{name}\" is managed by another Rollout"),
            ));
        }
    }
    Ok(())
}
