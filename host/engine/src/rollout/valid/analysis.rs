//! Templates that the specification names must exist and make runnable runs (VAL-043 to VAL-046).

use sluice_api as api;

use super::{Check, invalid};
use crate::analysis::template;
use crate::observed::Observed;

/// Every analysis of the specification: its path, and whether it may run for ever.
fn analyses(raw: &api::Rollout) -> Vec<(String, api::RolloutAnalysis, bool)> {
    let mut found = Vec::new();
    let strategy = &raw.spec.strategy;
    if let Some(spec) = &strategy.blue_green {
        for (name, analysis) in [
            ("prePromotionAnalysis", &spec.pre_promotion_analysis),
            ("postPromotionAnalysis", &spec.post_promotion_analysis),
        ] {
            if let Some(analysis) = analysis {
                found.push((
                    format!("spec.strategy.blueGreen.{name}"),
                    analysis.clone(),
                    false,
                ));
            }
        }
    }
    if let Some(spec) = &strategy.canary {
        if let Some(background) = &spec.analysis {
            found.push((
                "spec.strategy.canary.analysis".to_owned(),
                background.analysis(),
                true,
            ));
        }
        for (index, step) in spec.steps.iter().enumerate() {
            if let Some(analysis) = &step.analysis {
                found.push((
                    format!("spec.strategy.canary.steps[{index}].analysis"),
                    analysis.clone(),
                    false,
                ));
            }
        }
    }
    found
}

pub(super) fn check_templates(raw: &api::Rollout, seen: &Observed) -> Check {
    for (path, analysis, background) in analyses(raw) {
        if analysis.templates.is_empty() {
            continue;
        }
        template::check(
            &analysis,
            &seen.analysis_templates,
            &seen.cluster_analysis_templates,
            background,
        )
        .map_err(|problem| {
            let path = problem
                .path
                .map_or_else(|| format!("{path}.templates"), str::to_owned);
            invalid(path, problem.value, problem.message)
        })?;
    }
    Ok(())
}
