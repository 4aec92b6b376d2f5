//! The Job controller: as many pods as must still succeed, until they did or failed too often.
//!
//! Indexed jobs and pod failure policies are left out: no plugin of ours asks for them.

use std::sync::Arc;
use std::time::Duration;

use jiff::SignedDuration;
use serde_json::{Value, json};

use super::hands::Hands;
use super::{ownership, pod};
use crate::clock;
use crate::json;
use crate::server::delete::Propagation;
use crate::server::is_terminating;
use crate::store::Key;

const ACTOR: &str = "job-controller";
/// First and longest pause after a failed pod.
const BACKOFF: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(360));

/// Brings the Job's pods and status on.
pub(super) fn reconcile(hands: &mut Hands<'_>, key: &Key) -> Option<Duration> {
    let job = hands.get("batch", "jobs", key)?;
    if is_terminating(&job) {
        return None;
    }
    if let Some(finished) = finished_at(&job) {
        return expire(hands, &job, finished);
    }
    let pods: Vec<Arc<Value>> = hands
        .list("", "pods", &key.0)
        .into_iter()
        .filter(|pod| ownership::is_controlled_by(pod, json::text(&job, "/metadata/uid")))
        .collect();
    let seen = Counts::of(&pods);
    let mut status = job.get("status").cloned().unwrap_or_else(|| json!({}));
    let suspended = json::flag(&job, "/spec/suspend");
    if !suspended {
        json::default(&mut status, "startTime", hands.timestamp());
    }
    seen.write(&mut status);

    let verdict = verdict(hands, &job, &status, &seen);
    if let Some(verdict) = &verdict {
        for pod in pods.iter().filter(|pod| is_active(pod)) {
            hands.delete(ACTOR, pod, None, None);
        }
        for field in ["active", "ready"] {
            json::take(&mut status, field);
        }
        conclude(&mut status, verdict, &hands.timestamp());
    }
    let mut again = None;
    if verdict.is_none() {
        again = if suspended {
            for pod in pods.iter().filter(|pod| is_active(pod)) {
                hands.delete(ACTOR, pod, None, None);
            }
            None
        } else {
            bring_pods(hands, &job, &pods, &seen)
        };
        let deadline = until_deadline(hands, &job, &status);
        again = match (again, deadline) {
            (Some(again), Some(deadline)) => Some(again.min(deadline)),
            (again, deadline) => again.or(deadline),
        };
    }
    // Whoever changed it in between causes another look.
    let _ = hands.set_status(ACTOR, &job, status);
    again
}

/// What the pods did so far.
struct Counts {
    active: i64,
    ready: i64,
    succeeded: i64,
    failed: i64,
}

impl Counts {
    fn of(pods: &[Arc<Value>]) -> Self {
        let count = |matching: &dyn Fn(&Value) -> bool| {
            let count = pods.iter().filter(|pod| matching(pod)).count();
            i64::try_from(count).unwrap_or(i64::MAX)
        };
        let phase = |pod: &Value, wanted: &str| json::text(pod, "/status/phase") == wanted;
        Self {
            active: count(&is_active),
            ready: count(&|pod| is_active(pod) && pod::is_ready(pod)),
            succeeded: count(&|pod| phase(pod, "Succeeded")),
            failed: count(&|pod| phase(pod, "Failed")),
        }
    }

    fn write(&self, status: &mut Value) {
        json::set(status, "ready", self.ready);
        json::set(status, "terminating", 0);
        for (field, count) in [
            ("active", self.active),
            ("succeeded", self.succeeded),
            ("failed", self.failed),
        ] {
            // Zero is left out, as Go's omitempty does.
            if count == 0 {
                json::take(status, field);
            } else {
                json::set(status, field, count);
            }
        }
    }
}

fn is_active(pod: &Value) -> bool {
    !is_terminating(pod) && !matches!(json::text(pod, "/status/phase"), "Succeeded" | "Failed")
}

/// How a Job ended.
enum Verdict {
    Complete,
    Failed {
        reason: &'static str,
        message: &'static str,
    },
}

fn verdict(hands: &Hands<'_>, job: &Value, status: &Value, seen: &Counts) -> Option<Verdict> {
    let complete = match json::number(job, "/spec/completions") {
        Some(wanted) => seen.succeeded >= wanted,
        // A work queue is done when one pod says so and no other runs.
        None => seen.succeeded > 0 && seen.active == 0,
    };
    if complete {
        return Some(Verdict::Complete);
    }
    let restarts = seen.failed;
    if restarts > json::number(job, "/spec/backoffLimit").unwrap_or(6) {
        return Some(Verdict::Failed {
            reason: "BackoffLimitExceeded",
            message: "Job has reached the specified backoff limit",
        });
    }
    let limit = json::number(job, "/spec/activeDeadlineSeconds")?;
    let started = clock::parse(json::text(status, "/startTime"))?;
    let passed = hands.now().duration_since(started);
    (passed >= SignedDuration::from_secs(limit)).then_some(Verdict::Failed {
        reason: "DeadlineExceeded",
        message: "Job was active longer than specified deadline",
    })
}

fn until_deadline(hands: &Hands<'_>, job: &Value, status: &Value) -> Option<Duration> {
    let limit = SignedDuration::from_secs(json::number(job, "/spec/activeDeadlineSeconds")?);
    let started = clock::parse(json::text(status, "/startTime"))?;
    let left = limit.checked_sub(hands.now().duration_since(started))?;
    Duration::try_from(left).ok()
}

fn conclude(status: &mut Value, verdict: &Verdict, at: &str) {
    let condition = |name: &str, reason: &str, message: &str| {
        json!({
            "type": name,
            "status": "True",
            "lastProbeTime": at,
            "lastTransitionTime": at,
            "reason": reason,
            "message": message,
        })
    };
    let conditions = match verdict {
        Verdict::Complete => {
            json::set(status, "completionTime", at);
            let text = (
                "CompletionsReached",
                "Reached expected number of succeeded pods",
            );
            vec![
                condition("SuccessCriteriaMet", text.0, text.1),
                condition("Complete", text.0, text.1),
            ]
        }
        Verdict::Failed { reason, message } => vec![
            condition("FailureTarget", reason, message),
            condition("Failed", reason, message),
        ],
    };
    json::set(status, "conditions", conditions);
}

/// Creates the pods that are missing, after the pause that failures ask for.
fn bring_pods(
    hands: &mut Hands<'_>,
    job: &Value,
    pods: &[Arc<Value>],
    seen: &Counts,
) -> Option<Duration> {
    let parallelism = json::number(job, "/spec/parallelism").unwrap_or(1);
    let wanted = match json::number(job, "/spec/completions") {
        Some(completions) => parallelism.min(completions - seen.succeeded),
        None if seen.succeeded > 0 => seen.active,
        None => parallelism,
    };
    if seen.active >= wanted {
        return None;
    }
    let pause = pause_after_failures(hands, pods, seen.failed);
    if pause.is_some() {
        return pause;
    }
    for _ in seen.active..wanted {
        let template = job.pointer("/spec/template").cloned().unwrap_or_default();
        // A pod that is refused is refused again at the next look; the log says why.
        if hands
            .create(ACTOR, pod::from_template(&template, job))
            .is_err()
        {
            break;
        }
    }
    None
}

fn pause_after_failures(hands: &Hands<'_>, pods: &[Arc<Value>], failed: i64) -> Option<Duration> {
    let shift = u32::try_from(failed.checked_sub(1)?).ok()?;
    let pause = BACKOFF
        .0
        .saturating_mul(1_u32.checked_shl(shift).unwrap_or(u32::MAX))
        .min(BACKOFF.1);
    let last = pods
        .iter()
        .filter(|pod| json::text(pod, "/status/phase") == "Failed")
        .flat_map(|pod| json::entries(pod, "/status/containerStatuses"))
        .filter_map(|status| clock::parse(json::text(status, "/state/terminated/finishedAt")))
        .max()?;
    let passed = hands.now().duration_since(last);
    let left = SignedDuration::try_from(pause).ok()?.checked_sub(passed)?;
    Duration::try_from(left).ok().filter(|left| !left.is_zero())
}

fn finished_at(job: &Value) -> Option<&str> {
    json::entries(job, "/status/conditions")
        .iter()
        .find(|condition| {
            matches!(json::text(condition, "/type"), "Complete" | "Failed")
                && json::text(condition, "/status") == "True"
        })
        .map(|condition| json::text(condition, "/lastTransitionTime"))
}

/// Deletes a finished Job when its time is over.
fn expire(hands: &mut Hands<'_>, job: &Value, finished: &str) -> Option<Duration> {
    let kept = SignedDuration::from_secs(json::number(job, "/spec/ttlSecondsAfterFinished")?);
    let passed = hands.now().duration_since(clock::parse(finished)?);
    let left = kept.checked_sub(passed)?;
    if left.is_positive() {
        return Duration::try_from(left).ok();
    }
    hands.delete(
        "ttl-after-finished-controller",
        job,
        Some(Propagation::Background),
        None,
    );
    None
}
