//! What objects look like on the wire: round trips, order of fields, what is left out.

use std::collections::BTreeMap;

use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

use crate::*;

/// Reading and writing gives the same JSON back.
fn check_round_trip<T: Serialize + DeserializeOwned>(value: Value) {
    let decoded = decode::<T>(value.clone()).unwrap();
    assert_eq!(decoded.problems, []);
    assert_eq!(serde_json::to_value(&decoded.object).unwrap(), value);
}

// Every field of a canary and of its status: that it survives, not what it does.
#[test]
fn a_rich_canary_survives_a_round_trip() {
    check_round_trip::<Rollout>(rich_canary());
}

// Every field of blue-green, in the same way.
#[test]
fn a_blue_green_rollout_survives_a_round_trip() {
    check_round_trip::<Rollout>(json!({
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Rollout",
        "metadata": { "name": "shop", "namespace": "web" },
        "spec": {
            "workloadRef": { "apiVersion": "apps/v1", "kind": "Deployment", "name": "shop", "scaleDown": "onsuccess" },
            "strategy": { "blueGreen": {
                "activeService": "shop",
                "previewService": "shop-preview",
                "previewReplicaCount": 0,
                "autoPromotionEnabled": false,
                "autoPromotionSeconds": 45,
                "maxUnavailable": "30%",
                "scaleDownDelaySeconds": 0,
                "scaleDownDelayRevisionLimit": 2,
                "prePromotionAnalysis": { "templates": [{ "templateName": "smoke", "clusterScope": true }] },
                "postPromotionAnalysis": { "args": [{ "name": "hash", "valueFrom": { "podTemplateHashValue": "Latest" } }] },
                "antiAffinity": { "preferredDuringSchedulingIgnoredDuringExecution": { "weight": 7 } },
                "previewMetadata": { "labels": { "role": "preview" } },
                "activeMetadata": { "annotations": { "role": "active" } },
                "abortScaleDownDelaySeconds": 3,
            } },
        },
        "status": {
            "canary": {},
            "blueGreen": {
                "previewSelector": "77d8cf",
                "activeSelector": "6b56c8",
                "scaleUpPreviewCheckPoint": true,
                "prePromotionAnalysisRunStatus": { "name": "shop-77d8cf-2-pre", "status": "Running" },
                "postPromotionAnalysisRunStatus": { "name": "shop-6b56c8-1-post", "status": "Successful", "message": "ok" },
            },
        },
    }));
}

// AR-001: every field of an AnalysisRun.
#[test]
fn an_analysis_run_survives_a_round_trip() {
    check_round_trip::<AnalysisRun>(json!({
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "AnalysisRun",
        "metadata": {
            "name": "shop-77d8cf-2-1",
            "namespace": "web",
            "generation": 4,
            "ownerReferences": [{
                "apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout", "name": "shop", "uid": "u-1",
                "controller": true, "blockOwnerDeletion": true,
            }],
        },
        "spec": {
            "metrics": [{
                "name": "errors",
                "interval": "90s",
                "initialDelay": "1m",
                "count": "{{args.count}}",
                "successCondition": "result[0] < 0.05",
                "failureCondition": "result[0] > 0.1",
                "failureLimit": 0,
                "inconclusiveLimit": 2,
                "consecutiveErrorLimit": "3",
                "provider": { "prometheus": { "address": "http://metrics", "query": "up", "timeout": 20 } },
                "consecutiveSuccessLimit": 6,
            }],
            "args": [
                { "name": "empty", "value": "" },
                { "name": "token", "valueFrom": { "secretKeyRef": { "name": "s", "key": "k" } } },
                { "name": "env", "valueFrom": { "fieldRef": { "fieldPath": "metadata.labels['env']" } } },
            ],
            "terminate": true,
            "dryRun": [{ "metricName": ".*" }],
            "measurementRetention": [{ "metricName": "errors", "limit": 25 }],
            "ttlStrategy": { "secondsAfterCompletion": 0, "secondsAfterFailure": 60, "secondsAfterSuccess": 30 },
        },
        "status": {
            "phase": "Running",
            "message": "measuring",
            "metricResults": [{
                "name": "errors",
                "phase": "Running",
                "measurements": [{
                    "phase": "Successful",
                    "startedAt": "2026-02-03T04:05:06Z",
                    "finishedAt": "2026-02-03T04:05:07Z",
                    "value": "[0.01]",
                    "metadata": { "job-name": "j" },
                    "resumeAt": "2026-02-03T04:06:00Z",
                }],
                "count": 1,
                "successful": 1,
                "consecutiveSuccess": 1,
                "dryRun": true,
                "metadata": { "ResolvedPrometheusQuery": "up" },
            }],
            "startedAt": "2026-02-03T04:05:05Z",
            "runSummary": {},
            "dryRunSummary": { "count": 1 },
        },
    }));
}

// Every field of an Experiment.
#[test]
fn an_experiment_survives_a_round_trip() {
    check_round_trip::<Experiment>(json!({
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Experiment",
        "metadata": { "name": "shop-77d8cf-2-0", "namespace": "web" },
        "spec": {
            "templates": [{
                "name": "baseline",
                "replicas": 2,
                "minReadySeconds": 9,
                "selector": { "matchLabels": { "app": "shop" } },
                "template": { "metadata": { "labels": { "app": "shop" } }, "spec": { "containers": [] } },
                "service": {},
            }],
            "duration": "20m",
            "progressDeadlineSeconds": 30,
            "analyses": [{ "name": "compare", "templateName": "judge", "requiredForCompletion": true,
                "args": [{ "name": "a", "value": "b" }] }],
            "scaleDownDelaySeconds": 4,
            "analysisRunMetadata": { "labels": { "team": "a" } },
        },
        "status": {
            "phase": "Running",
            "templateStatuses": [{
                "name": "baseline", "replicas": 0, "updatedReplicas": 0, "readyReplicas": 0,
                "availableReplicas": 0, "status": "Progressing", "podTemplateHash": "77d8cf",
            }],
            "conditions": [{
                "type": "Progressing", "status": "True", "lastUpdateTime": "2026-02-03T04:05:06Z",
                "lastTransitionTime": "2026-02-03T04:05:06Z", "reason": "NewReplicaSetCreated", "message": "m",
            }],
            "analysisRuns": [{ "name": "compare", "analysisRun": "x", "phase": "Running" }],
        },
    }));
}

// BASE-001, AT-005
#[test]
fn templates_of_both_scopes_survive_a_round_trip() {
    let body = |kind: &str| {
        json!({
            "apiVersion": "argoproj.io/v1alpha1",
            "kind": kind,
            "metadata": { "name": "smoke" },
            "spec": {
                "metrics": [{ "name": "m", "provider": { "web": { "url": "http://x", "jsonPath": "{$.ok}" } } }],
                "templates": [{ "templateName": "other", "clusterScope": true }],
            },
        })
    };
    check_round_trip::<AnalysisTemplate>(body("AnalysisTemplate"));
    check_round_trip::<ClusterAnalysisTemplate>(body("ClusterAnalysisTemplate"));
}

// HASH-007: the order of Go's struct fields, whatever the order of the input.
#[test]
fn the_fields_of_a_step_are_written_in_the_order_of_go() {
    let step = json!({
        "plugin": { "name": "p" , "config": { "b": 1, "a": 2 } },
        "setMirrorRoute": { "percentage": 5, "name": "m", "match": [{
            "headers": { "z": { "regex": "r", "prefix": "p", "exact": "e" }, "a": {} }, "path": {}, "method": {} }] },
        "setHeaderRoute": { "match": [{ "headerValue": { "exact": "x" }, "headerName": "h" }], "name": "n" },
        "setCanaryScale": { "matchTrafficWeight": true, "replicas": 1, "weight": 2 },
        "analysis": {
            "analysisRunMetadata": { "annotations": { "k": "v" }, "labels": { "k": "v" } },
            "measurementRetention": [{ "limit": 1, "metricName": "m" }],
            "dryRun": [{ "metricName": "m" }],
            "args": [{ "valueFrom": { "fieldRef": { "fieldPath": "f" }, "podTemplateHashValue": "Stable" }, "value": "v", "name": "n" }],
            "templates": [{ "clusterScope": false, "templateName": "t" }],
        },
        "experiment": {
            "scaleDownDelaySeconds": 1,
            "dryRun": [{ "metricName": "m" }],
            "analyses": [{ "requiredForCompletion": true, "args": [], "clusterScope": true, "templateName": "t", "name": "n" }],
            "duration": "1m",
            "templates": [{ "service": { "name": "s" }, "weight": 5, "selector": { "matchExpressions":
                [{ "values": ["v"], "operator": "In", "key": "k" }], "matchLabels": { "a": "b" } },
                "replicas": 1, "specRef": "canary", "name": "t" }],
        },
        "pause": { "duration": "1h" },
        "setWeight": 0,
    });
    let expected = concat!(
        r#"{"setWeight":0,"pause":{"duration":"1h"},"#,
        r#""experiment":{"templates":[{"name":"t","specRef":"canary","replicas":1,"metadata":{},"#,
        r#""selector":{"matchLabels":{"a":"b"},"matchExpressions":[{"key":"k","operator":"In","values":["v"]}]},"#,
        r#""weight":5,"service":{"name":"s"}}],"duration":"1m","#,
        r#""analyses":[{"name":"n","templateName":"t","clusterScope":true,"requiredForCompletion":true}],"#,
        r#""dryRun":[{"metricName":"m"}],"analysisRunMetadata":{},"scaleDownDelaySeconds":1},"#,
        r#""analysis":{"templates":[{"templateName":"t","clusterScope":false}],"#,
        r#""args":[{"name":"n","value":"v","valueFrom":{"podTemplateHashValue":"Stable","fieldRef":{"fieldPath":"f"}}}],"#,
        r#""dryRun":[{"metricName":"m"}],"measurementRetention":[{"metricName":"m","limit":1}],"#,
        r#""analysisRunMetadata":{"labels":{"k":"v"},"annotations":{"k":"v"}}},"#,
        r#""setCanaryScale":{"weight":2,"replicas":1,"matchTrafficWeight":true},"#,
        r#""setHeaderRoute":{"name":"n","match":[{"headerName":"h","headerValue":{"exact":"x"}}]},"#,
        r#""setMirrorRoute":{"name":"m","match":[{"method":{},"path":{},"#,
        r#""headers":{"a":{},"z":{"exact":"e","prefix":"p","regex":"r"}}}],"percentage":5},"#,
        r#""plugin":{"name":"p","config":{"a":2,"b":1}}}"#,
    );
    let step: CanaryStep = serde_json::from_value(step).unwrap();
    assert_eq!(serde_json::to_string(&step).unwrap(), expected);
}

// HASH-007: which empty values Go writes and which it leaves out.
#[test]
fn empty_values_of_a_step_are_written_as_go_writes_them() {
    check(json!({}), "{}");
    check(json!({ "pause": {} }), r#"{"pause":{}}"#);
    check(
        json!({ "pause": { "duration": 0 } }),
        r#"{"pause":{"duration":0}}"#,
    );
    check(
        json!({ "setCanaryScale": { "matchTrafficWeight": false } }),
        r#"{"setCanaryScale":{}}"#,
    );
    check(
        json!({ "analysis": { "templates": [], "analysisRunMetadata": {} } }),
        r#"{"analysis":{"analysisRunMetadata":{}}}"#,
    );
    check(
        json!({ "setHeaderRoute": { "match": [{}] } }),
        r#"{"setHeaderRoute":{"match":[{"headerName":"","headerValue":null}]}}"#,
    );
    check(
        json!({ "setMirrorRoute": {} }),
        r#"{"setMirrorRoute":{"name":""}}"#,
    );
    check(
        json!({ "plugin": { "config": {} } }),
        r#"{"plugin":{"name":"","config":{}}}"#,
    );
    check(
        json!({ "experiment": { "templates": [{}] } }),
        r#"{"experiment":{"templates":[{"name":"","specRef":"","metadata":{}}],"analysisRunMetadata":{}}}"#,
    );

    fn check(step: Value, expected: &str) {
        let step: CanaryStep = serde_json::from_value(step).unwrap();
        assert_eq!(serde_json::to_string(&step).unwrap(), expected);
    }
}

// ST-013, ST-018, ST-024, ST-033
#[test]
fn empty_statuses_are_written_as_go_writes_them() {
    check(&RolloutStatus::default(), r#"{"canary":{},"blueGreen":{}}"#);
    check(
        &AnalysisRunStatus::default(),
        r#"{"phase":"","runSummary":{}}"#,
    );
    check(&ExperimentStatus::default(), "{}");
    check(
        &TemplateStatus::default(),
        r#"{"name":"","replicas":0,"updatedReplicas":0,"readyReplicas":0,"availableReplicas":0}"#,
    );
    check(
        &TrafficWeights::default(),
        r#"{"canary":{"weight":0},"stable":{"weight":0}}"#,
    );
    check(
        &ALBStatus::default(),
        concat!(
            r#"{"loadBalancer":{"name":"","arn":"","fullName":""},"#,
            r#""canaryTargetGroup":{"name":"","arn":"","fullName":""},"#,
            r#""stableTargetGroup":{"name":"","arn":"","fullName":""}}"#,
        ),
    );
    check(
        &StepPluginStatus::default(),
        r#"{"index":0,"name":"","operation":""}"#,
    );
    check(
        &RolloutCondition::default(),
        r#"{"type":"","status":"","lastUpdateTime":null,"lastTransitionTime":null,"reason":"","message":""}"#,
    );
    check(
        &RolloutStatus {
            hpa_replicas: 3,
            stable_rs: "x".into(),
            observed_generation: "7".into(),
            ..Default::default()
        },
        r#"{"observedGeneration":"7","canary":{},"blueGreen":{},"HPAReplicas":3,"stableRS":"x"}"#,
    );

    fn check<T: Serialize>(status: &T, expected: &str) {
        assert_eq!(serde_json::to_string(status).unwrap(), expected);
    }
}

#[test]
fn times_are_written_in_whole_seconds_of_utc() {
    check(r#""2026-02-03T04:05:06Z""#, r#""2026-02-03T04:05:06Z""#);
    check(r#""2026-02-03T04:05:06.999Z""#, r#""2026-02-03T04:05:06Z""#);
    check(
        r#""2026-02-03T06:05:06+02:00""#,
        r#""2026-02-03T04:05:06Z""#,
    );
    check("null", "null");

    fn check(input: &str, expected: &str) {
        let time: Time = serde_json::from_str(input).unwrap();
        assert_eq!(serde_json::to_string(&time).unwrap(), expected);
    }
}

#[test]
fn a_text_that_nobody_knows_is_written_back_as_it_was() {
    let phase: AnalysisPhase = serde_json::from_value(json!("Sleeping")).unwrap();
    assert_eq!(phase, AnalysisPhase::Unknown("Sleeping".into()));
    assert_eq!(serde_json::to_value(&phase).unwrap(), json!("Sleeping"));
    assert!(!phase.completed());

    let status: ConditionStatus = serde_json::from_value(json!("Unknown")).unwrap();
    assert_eq!(status, ConditionStatus::Unknown);
}

// TRF-011, TRF-013: the host keeps blocks as they are, and knows none by name.
#[test]
fn router_blocks_stay_raw() {
    let routing: RolloutTrafficRouting = serde_json::from_value(json!({
        "istio": { "virtualService": { "name": "vs" } },
        "nginx": null,
        "plugins": { "example/router": { "any": ["thing"] } },
        "managedRoutes": [{ "name": "r" }],
        "maxTrafficWeight": 1000,
    }))
    .unwrap();
    assert_eq!(
        routing,
        RolloutTrafficRouting {
            routers: BTreeMap::from([
                (
                    "istio".into(),
                    json!({ "virtualService": { "name": "vs" } })
                ),
                (
                    "plugins".into(),
                    json!({ "example/router": { "any": ["thing"] } })
                ),
            ]),
            managed_routes: vec![MangedRoutes { name: "r".into() }],
            max_traffic_weight: Some(1000),
        }
    );
}

#[test]
fn the_only_provider_of_a_metric_is_found() {
    let check = |blocks: Value, expected: Option<&str>| {
        let provider: MetricProvider = serde_json::from_value(blocks).unwrap();
        assert_eq!(provider.only().map(|(name, _)| name), expected);
    };
    check(json!({}), None);
    check(json!({ "web": {} }), Some("web"));
    check(json!({ "web": {}, "job": null }), Some("web"));
    check(json!({ "web": {}, "job": {} }), None);
}

pub(super) fn rich_canary() -> Value {
    json!({
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Rollout",
        "metadata": {
            "name": "shop",
            "namespace": "web",
            "uid": "u-1",
            "resourceVersion": "17",
            "generation": 5,
            "creationTimestamp": "2026-02-03T04:05:06Z",
            "labels": { "app": "shop" },
            "annotations": { "rollout.argoproj.io/revision": "2" },
        },
        "spec": {
            "replicas": 0,
            "selector": { "matchLabels": { "app": "shop" } },
            "template": {
                "metadata": { "labels": { "app": "shop" }, "annotations": { "a": "b" } },
                "spec": {
                    "containers": [{ "name": "shop", "image": "shop:2", "fieldOfTomorrow": { "x": [1.5, null] } }],
                },
            },
            "minReadySeconds": 3,
            "rollbackWindow": { "revisions": 2 },
            "strategy": { "canary": {
                "canaryService": "shop-canary",
                "stableService": "shop-stable",
                "steps": [
                    { "setWeight": 0 },
                    { "pause": {} },
                    { "pause": { "duration": 30 } },
                    { "pause": { "duration": "1h30m" } },
                    { "analysis": { "templates": [{ "templateName": "smoke" }], "args": [{ "name": "n", "value": "v" }] } },
                    { "setCanaryScale": { "replicas": 0 } },
                    { "setHeaderRoute": { "name": "h", "match": [{ "headerName": "x", "headerValue": { "exact": "y" } }] } },
                    { "setMirrorRoute": { "name": "m", "percentage": 10, "match": [{ "path": { "prefix": "/" } }] } },
                    { "plugin": { "name": "gate", "config": { "url": "http://x" } } },
                    { "experiment": {
                        "templates": [{ "name": "b", "specRef": "stable", "metadata": {}, "weight": 5 }],
                        "analysisRunMetadata": {},
                    } },
                ],
                "trafficRouting": {
                    "istio": { "virtualServices": [{ "name": "vs", "routes": ["primary"] }] },
                    "plugins": { "example/router": {} },
                    "managedRoutes": [{ "name": "h" }, { "name": "m" }],
                    "maxTrafficWeight": 1000,
                },
                "maxUnavailable": 0,
                "maxSurge": "30%",
                "analysis": { "templates": [{ "templateName": "watch" }], "startingStep": 2 },
                "antiAffinity": { "requiredDuringSchedulingIgnoredDuringExecution": {} },
                "canaryMetadata": { "labels": { "role": "canary" } },
                "stableMetadata": { "labels": { "role": "stable" } },
                "abortScaleDownDelaySeconds": 0,
                "dynamicStableScale": true,
                "pingPong": { "pingService": "a", "pongService": "b" },
                "minPodsPerReplicaSet": 2,
                "replicaProgressThreshold": { "type": "Percent", "value": 80 },
            } },
            "revisionHistoryLimit": 0,
            "paused": true,
            "progressDeadlineSeconds": 60,
            "progressDeadlineAbort": true,
            "restartAt": "2026-02-03T05:00:00Z",
            "analysis": { "successfulRunHistoryLimit": 0, "unsuccessfulRunHistoryLimit": 1 },
        },
        "status": {
            "abort": true,
            "pauseConditions": [{ "reason": "CanaryPauseStep", "startTime": "2026-02-03T04:30:00Z" }],
            "controllerPause": true,
            "abortedAt": "2026-02-03T04:31:00Z",
            "currentPodHash": "77d8cf",
            "currentStepHash": "5f5",
            "replicas": 4,
            "updatedReplicas": 1,
            "readyReplicas": 3,
            "availableReplicas": 2,
            "currentStepIndex": 0,
            "collisionCount": 1,
            "observedGeneration": "5",
            "conditions": [{
                "type": "Progressing", "status": "Unknown", "lastUpdateTime": "2026-02-03T04:30:00Z",
                "lastTransitionTime": "2026-02-03T04:30:00Z", "reason": "RolloutPaused", "message": "Rollout is paused",
            }],
            "canary": {
                "currentStepAnalysisRunStatus": { "name": "r", "status": "Running" },
                "currentBackgroundAnalysisRunStatus": { "name": "b", "status": "Inconclusive", "message": "m" },
                "currentExperiment": "e",
                "weights": {
                    "canary": { "weight": 20, "serviceName": "shop-canary", "podTemplateHash": "77d8cf" },
                    "stable": { "weight": 80, "serviceName": "shop-stable", "podTemplateHash": "6b56c8" },
                    "additional": [{ "weight": 0, "podTemplateHash": "55c" }],
                    "verified": false,
                },
                "stablePingPong": "pong",
                "stepPluginStatuses": [{
                    "index": 8, "name": "gate", "operation": "Run", "phase": "Running", "message": "m",
                    "startedAt": "2026-02-03T04:30:00Z", "updatedAt": "2026-02-03T04:30:01Z", "backoff": "30s",
                    "executions": 2, "status": { "cursor": 1 },
                }],
            },
            "blueGreen": {},
            "HPAReplicas": 4,
            "selector": "app=shop",
            "stableRS": "6b56c8",
            "restartedAt": "2026-02-03T03:00:00Z",
            "promoteFull": true,
            "phase": "Degraded",
            "message": "RolloutAborted: m",
            "workloadObservedGeneration": "2",
            "alb": {
                "loadBalancer": { "name": "n", "arn": "a", "fullName": "f" },
                "canaryTargetGroup": { "name": "", "arn": "", "fullName": "" },
                "stableTargetGroup": { "name": "", "arn": "", "fullName": "" },
            },
            "duration": {
                "rolloutStartedAt": "2026-02-03T04:00:00Z",
                "totalManualPauseDurationSeconds": 0,
                "completionStatus": "FastRolledBack",
            },
        },
    })
}
