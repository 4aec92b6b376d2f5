//! A Rollout in one word and one sentence.

use serde_json::{Value, json};

use crate::rollout::phase;

// CND-040, CND-041, CND-042, CND-043, CND-044, CND-045, CND-046, CND-047, CND-048, CND-049, CND-050, CND-051, CND-053
// The answers were recorded from upstream's function.
#[test]
fn the_first_rule_that_matches_names_the_phase() {
    let rows: Vec<(&str, Value, Value, &str)> = vec![
        (
            "CND-040",
            json!({"strategy": {"canary": {}}}),
            json!({"conditions": [{"type": "Progressing", "status": "True", "reason": "RolloutPaused", "message": "x", "lastUpdateTime": "2024-05-06T07:08:09Z", "lastTransitionTime": "2024-05-06T07:08:09Z"}, {"type": "InvalidSpec", "status": "True", "reason": "InvalidSpec", "message": "The Rollout is wrong", "lastUpdateTime": "2024-05-06T07:08:09Z", "lastTransitionTime": "2024-05-06T07:08:09Z"}]}),
            "Degraded | InvalidSpec: The Rollout is wrong",
        ),
        (
            "CND-041",
            json!({"strategy": {"canary": {}}, "paused": true}),
            json!({"conditions": [{"type": "Progressing", "status": "True", "reason": "RolloutAborted", "message": "Rollout aborted update to revision 2", "lastUpdateTime": "2024-05-06T07:08:09Z", "lastTransitionTime": "2024-05-06T07:08:09Z"}, {"type": "InvalidSpec", "status": "True", "reason": "InvalidSpec", "message": "later", "lastUpdateTime": "2024-05-06T07:08:09Z", "lastTransitionTime": "2024-05-06T07:08:09Z"}]}),
            "Degraded | RolloutAborted: Rollout aborted update to revision 2",
        ),
        (
            "CND-041",
            json!({"strategy": {"canary": {}}}),
            json!({"conditions": [{"type": "Progressing", "status": "True", "reason": "ProgressDeadlineExceeded", "message": "too late", "lastUpdateTime": "2024-05-06T07:08:09Z", "lastTransitionTime": "2024-05-06T07:08:09Z"}]}),
            "Degraded | ProgressDeadlineExceeded: too late",
        ),
        (
            "CND-042",
            json!({"strategy": {"canary": {}}, "paused": true}),
            json!({"pauseConditions": [{"reason": "CanaryPauseStep", "startTime": "2024-05-06T07:08:09Z"}]}),
            "Paused | manually paused",
        ),
        (
            "CND-043",
            json!({"strategy": {"canary": {}}}),
            json!({"pauseConditions": [{"reason": "InconclusiveAnalysisRun", "startTime": "2024-05-06T07:08:09Z"}, {"reason": "CanaryPauseStep", "startTime": "2024-05-06T07:08:09Z"}]}),
            "Paused | InconclusiveAnalysisRun",
        ),
        (
            "CND-044",
            json!({"strategy": {"canary": {}}, "restartAt": "2024-05-06T07:08:09Z"}),
            json!({"updatedReplicas": 3, "availableReplicas": 3}),
            "Progressing | rollout is restarting",
        ),
        (
            "CND-045",
            json!({"strategy": {"canary": {}}}),
            json!({"updatedReplicas": 2, "availableReplicas": 1}),
            "Progressing | more replicas need to be updated",
        ),
        (
            "CND-046",
            json!({"strategy": {"canary": {}}}),
            json!({"updatedReplicas": 3, "availableReplicas": 2}),
            "Progressing | updated replicas are still becoming available",
        ),
        (
            "CND-047",
            json!({"strategy": {"blueGreen": {"activeService": "a"}}}),
            json!({"updatedReplicas": 3, "availableReplicas": 3, "currentPodHash": "new"}),
            "Progressing | active service cutover pending",
        ),
        (
            "CND-047",
            json!({"strategy": {"blueGreen": {"activeService": "a"}}}),
            json!({"updatedReplicas": 3, "availableReplicas": 3, "currentPodHash": "new", "blueGreen": {"activeSelector": "old"}}),
            "Progressing | active service cutover pending",
        ),
        (
            "CND-048",
            json!({"strategy": {"blueGreen": {"activeService": "a"}}}),
            json!({"updatedReplicas": 3, "availableReplicas": 3, "currentPodHash": "new", "stableRS": "old", "blueGreen": {"activeSelector": "new"}}),
            "Progressing | waiting for post-promotion verification to complete",
        ),
        (
            "CND-048",
            json!({"strategy": {"blueGreen": {"activeService": "a", "postPromotionAnalysis": {"templates": [{"templateName": "x"}]}}}}),
            json!({"updatedReplicas": 3, "availableReplicas": 3, "currentPodHash": "new", "stableRS": "old", "blueGreen": {"activeSelector": "new"}}),
            "Progressing | waiting for analysis to complete",
        ),
        (
            "CND-048",
            json!({"strategy": {"blueGreen": {"activeService": "a", "postPromotionAnalysis": {"templates": [{"templateName": "x"}]}}}}),
            json!({"updatedReplicas": 3, "availableReplicas": 3, "currentPodHash": "new", "stableRS": "old", "blueGreen": {"activeSelector": "new", "postPromotionAnalysisRunStatus": {"name": "r", "status": "Running"}}}),
            "Progressing | waiting for analysis to complete",
        ),
        (
            "CND-048",
            json!({"strategy": {"blueGreen": {"activeService": "a", "postPromotionAnalysis": {"templates": [{"templateName": "x"}]}}}}),
            json!({"updatedReplicas": 3, "availableReplicas": 3, "currentPodHash": "new", "stableRS": "old", "blueGreen": {"activeSelector": "new", "postPromotionAnalysisRunStatus": {"name": "r", "status": "Successful"}}}),
            "Progressing | waiting for post-promotion verification to complete",
        ),
        (
            "CND-049",
            json!({"strategy": {"canary": {}}}),
            json!({"replicas": 4, "updatedReplicas": 3, "availableReplicas": 4, "currentPodHash": "new", "stableRS": "new"}),
            "Progressing | old replicas are pending termination",
        ),
        (
            "CND-050",
            json!({"strategy": {"canary": {"trafficRouting": {"istio": {}}}}}),
            json!({"replicas": 4, "updatedReplicas": 3, "availableReplicas": 4, "currentPodHash": "new", "stableRS": "old"}),
            "Progressing | waiting for all steps to complete",
        ),
        (
            "CND-050",
            json!({"strategy": {"canary": {}}}),
            json!({"replicas": 3, "updatedReplicas": 3, "availableReplicas": 3, "currentPodHash": "new"}),
            "Progressing | waiting for all steps to complete",
        ),
        (
            "CND-051",
            json!({"strategy": {"canary": {"trafficRouting": {"istio": {}}}}}),
            json!({"replicas": 4, "updatedReplicas": 3, "availableReplicas": 4, "currentPodHash": "new", "stableRS": "new"}),
            "Healthy | ",
        ),
        (
            "CND-051",
            json!({"strategy": {"blueGreen": {"activeService": "a"}}, "restartAt": "2024-05-06T07:08:09Z"}),
            json!({"restartedAt": "2024-05-06T07:08:09Z", "updatedReplicas": 3, "availableReplicas": 3, "currentPodHash": "new", "stableRS": "new", "blueGreen": {"activeSelector": "new"}}),
            "Healthy | ",
        ),
        // A fraction of a second is not written into the status, so it cannot be waited for.
        (
            "CND-051",
            json!({"strategy": {"blueGreen": {"activeService": "a"}}, "restartAt": "2024-05-06T07:08:09.5Z"}),
            json!({"restartedAt": "2024-05-06T07:08:09Z", "updatedReplicas": 3, "availableReplicas": 3, "currentPodHash": "new", "stableRS": "new", "blueGreen": {"activeSelector": "new"}}),
            "Healthy | ",
        ),
    ];
    for (row, mut spec, status, expected) in rows {
        spec["replicas"] = json!(3);
        let spec = serde_json::from_value(spec).unwrap();
        let status = serde_json::from_value(status).unwrap();
        let (phase, message) = phase(&spec, &status);
        assert_eq!(format!("{phase} | {message}"), expected, "{row}");
    }
}
