//! A Rollout in one word and one sentence (CND-040 to CND-051). The first rule that matches wins.

use sluice_api as api;
use sluice_api::{RolloutConditionType, RolloutPhase};

use super::conditions;

/// Phase and message, from the specification and a status whose conditions are up to date.
pub fn phase(spec: &api::RolloutSpec, status: &api::RolloutStatus) -> (RolloutPhase, String) {
    for condition in &status.conditions {
        if condition.type_ == RolloutConditionType::InvalidSpec {
            return (
                RolloutPhase::Degraded,
                format!("InvalidSpec: {}", condition.message),
            );
        }
        if condition.reason == conditions::ROLLOUT_ABORTED
            || condition.reason == conditions::TIMED_OUT
        {
            return (
                RolloutPhase::Degraded,
                format!("{}: {}", condition.reason, condition.message),
            );
        }
    }
    if spec.paused {
        return (RolloutPhase::Paused, "manually paused".to_owned());
    }
    if let Some(pause) = status.pause_conditions.first() {
        return (RolloutPhase::Paused, pause.reason.to_string());
    }
    let progressing = |message: &str| (RolloutPhase::Progressing, message.to_owned());
    let restart_at = spec.restart_at.map(api::Time::truncated);
    if restart_at.is_some() && restart_at != status.restarted_at {
        return progressing("rollout is restarting");
    }
    if status.updated_replicas < spec.replicas() {
        return progressing("more replicas need to be updated");
    }
    if status.available_replicas < status.updated_replicas {
        return progressing("updated replicas are still becoming available");
    }
    if let Some(blue_green) = &spec.strategy.blue_green {
        let active = &status.blue_green.active_selector;
        if active.is_empty() || *active != status.current_pod_hash {
            return progressing("active service cutover pending");
        }
        if !conditions::is_completed(status) {
            let analysing = blue_green.post_promotion_analysis.is_some()
                && status
                    .blue_green
                    .post_promotion_analysis_run_status
                    .as_ref()
                    .is_none_or(|run| !run.status.completed());
            return progressing(if analysing {
                "waiting for analysis to complete"
            } else {
                "waiting for post-promotion verification to complete"
            });
        }
    }
    if let Some(canary) = &spec.strategy.canary {
        if canary.traffic_routing.is_none() && status.replicas > status.updated_replicas {
            return progressing("old replicas are pending termination");
        }
        if !conditions::is_completed(status) {
            return progressing("waiting for all steps to complete");
        }
    }
    (RolloutPhase::Healthy, String::new())
}
