//! Hashes on the wire and in keys.

use serde_json::{Value, json};
use sluice_api as api;

use crate::hash::{digest, fnv32a, go_json, pod_template, safe_encode, steps, template_source};

// HASH-001: known values of FNV-1a with 32 bits.
#[test]
fn fnv_gives_its_published_values() {
    let rows = [
        ("", 0x811c_9dc5),
        ("a", 0xe40c_292c),
        ("b", 0xe70c_2de5),
        ("foobar", 0xbf9c_f968),
    ];
    for (text, expected) in rows {
        assert_eq!(fnv32a(text.as_bytes()), expected, "{text:?}");
    }
}

// HASH-001
#[test]
fn a_hash_is_written_in_the_alphabet_of_kubernetes() {
    // The digits 0 to 9, each taken modulo 27.
    assert_eq!(safe_encode(1_234_567_890), "56789bcdf4");
    assert_eq!(safe_encode(0), "4");
    assert_eq!(safe_encode(u32::MAX), "86f8fbc6f9");
}

// HASH-007, HASH-005
// Recorded from upstream's function, by Go's own JSON.
#[test]
fn the_hash_of_steps_is_the_one_that_go_computes() {
    let rows = [
        ("54649b9f5c", json!([{ "setWeight": 20 }, { "pause": {} }])),
        (
            "76549fb7",
            json!([{ "setWeight": 20 }, { "pause": { "duration": "1h" } }, { "setWeight": 40 }, { "pause": { "duration": 10 } }]),
        ),
        ("86c5dc4fc", json!([{ "setWeight": 0 }])),
        ("7cd66c595f", json!([{ "pause": { "duration": 0 } }])),
        (
            "55cb6f96ff",
            json!([
                { "setCanaryScale": { "replicas": 0 } },
                { "setCanaryScale": { "weight": 25 } },
                { "setCanaryScale": { "matchTrafficWeight": true } },
            ]),
        ),
        (
            "9559b9cbf",
            json!([{ "analysis": {
                "templates": [
                    { "templateName": "success-rate" },
                    { "templateName": "latency", "clusterScope": true },
                ],
                "args": [
                    { "name": "service", "value": "a<b>&c" },
                    { "name": "hash", "valueFrom": { "podTemplateHashValue": "Latest" } },
                    { "name": "region", "valueFrom": { "fieldRef": { "fieldPath": "metadata.labels['region']" } } },
                ],
                "dryRun": [{ "metricName": "latency" }],
                "measurementRetention": [{ "metricName": ".*", "limit": 20 }],
                "analysisRunMetadata": {
                    "labels": { "b": "2", "a": "1" },
                    "annotations": { "x": "\u{e9}\u{2028}\u{2029}" },
                },
            } }]),
        ),
        ("5cc577895f", json!([{ "analysis": {} }])),
        (
            "76468df98c",
            json!([
                { "setHeaderRoute": { "name": "beta", "match": [
                    { "headerName": "X-Beta", "headerValue": { "exact": "true" } },
                    { "headerName": "Agent", "headerValue": { "regex": ".*Firefox.*" } },
                ] } },
                { "setHeaderRoute": { "name": "beta" } },
            ]),
        ),
        (
            "56486d85bf",
            json!([{ "setMirrorRoute": { "name": "mirror", "percentage": 35, "match": [{
                "method": { "exact": "GET" },
                "path": { "prefix": "/" },
                "headers": { "b": { "exact": "1" }, "a": { "prefix": "2" } },
            }] } }]),
        ),
        (
            "78ff5557bc",
            json!([{ "experiment": {
                "duration": "5m",
                "templates": [
                    { "name": "baseline", "specRef": "stable", "replicas": 2, "weight": 10, "service": {} },
                    {
                        "name": "canary", "specRef": "canary",
                        "metadata": { "labels": { "role": "canary" } },
                        "selector": { "matchLabels": { "app": "web" } },
                    },
                ],
                "analyses": [{
                    "name": "compare", "templateName": "compare", "requiredForCompletion": true,
                    "args": [{ "name": "x", "value": "{{templates.canary.podTemplateHash}}" }],
                }],
                "scaleDownDelaySeconds": 5,
            } }]),
        ),
        (
            "66b9c4cdbd",
            json!([{ "plugin": { "name": "acme/gate", "config": { "a": { "b": null, "c": true }, "z": [1, 2.5, "x<y"] } } }]),
        ),
        // A field that upstream does not know is not part of it.
        (
            "766f5bddf7",
            json!([{ "setWeight": 33, "unknownField": { "x": 1 } }]),
        ),
    ];
    for (expected, json) in rows {
        let list: Vec<api::CanaryStep> = serde_json::from_value(json.clone()).unwrap();
        assert_eq!(steps(&list), expected, "{json}");
    }
    assert_eq!(steps(&Value::Null), "5ffbfbbd64");
    assert_eq!(steps(&Vec::<api::CanaryStep>::new()), "5f8cb5778f");
}

/// A line of `recorded.jsonl`: the steps as a user wrote them and the API server serves them, the same after upstream's
/// first write, and the hash in the status that came with it. What upstream refuses has no hash.
#[derive(serde::Deserialize)]
struct Recorded {
    name: String,
    #[serde(default)]
    written: Value,
    #[serde(default)]
    steps: Value,
    step_hash: Option<String>,
}

// HASH-007
// Recorded from upstream's controller by `tests/it/hashes.rs`.
#[test]
fn the_hash_of_steps_is_the_one_in_upstreams_status() {
    let record = include_str!("recorded.jsonl");
    let ours = |list: &Value| match list {
        Value::Null => steps(&Value::Null),
        list => steps(&serde_json::from_value::<Vec<api::CanaryStep>>(list.clone()).unwrap()),
    };
    let mut vectors = 0;
    let mut wrong = Vec::new();
    for line in record.lines() {
        let row: Recorded = serde_json::from_str(line).unwrap();
        let Some(theirs) = &row.step_hash else {
            continue;
        };
        vectors += 1;
        // Upstream's first write takes an empty list out, and the hash is that of what it left.
        let emptied = row.written == json!([]) && row.steps.is_null();
        let written = if emptied { &row.steps } else { &row.written };
        for list in [written, &row.steps] {
            let ours = ours(list);
            if ours != *theirs {
                wrong.push(format!("{}: {ours}, not {theirs}, of {list}", row.name));
            }
        }
    }
    assert!(vectors >= 60, "{vectors} vectors");
    assert_eq!(wrong, Vec::<String>::new());
}

// HASH-007: numbers with a point reach a plugin's configuration, and so the hash.
#[test]
fn numbers_are_written_as_go_writes_them() {
    let rows = [
        (0.0, "0"),
        (-0.0, "-0"),
        (2.5, "2.5"),
        (-3.0, "-3"),
        (0.1, "0.1"),
        (0.000_001, "0.000001"),
        (0.000_000_1, "1e-7"),
        (-0.000_000_123, "-1.23e-7"),
        (1e-10, "1e-10"),
        (1e20, "100000000000000000000"),
        (1e21, "1e+21"),
        (-1.5e300, "-1.5e+300"),
    ];
    for (number, expected) in rows {
        assert_eq!(String::from_utf8(go_json(&number)).unwrap(), expected);
    }
}

// HASH-005
#[test]
fn json_is_escaped_as_go_escapes_it() {
    let json = go_json(&json!({ "b": "<&>", "a": "\u{2028}\u{2029}\u{e9}\"\n" }));
    let expected = r#"{"a":"\u2028\u2029é\"\n","b":"\u003c\u0026\u003e"}"#;
    assert_eq!(String::from_utf8(json).unwrap(), expected);
}

// HASH-001, HASH-009
#[test]
fn a_template_is_named_by_what_it_says() {
    let template = json!({ "metadata": { "labels": { "app": "web" } }, "spec": { "containers": [{ "name": "main" }] } });
    let name = pod_template(&template, None);
    assert!(
        name.bytes()
            .all(|byte| b"bcdfghjklmnpqrstvwxz2456789".contains(&byte)),
        "{name}"
    );
    let mut noisy = template.clone();
    noisy["metadata"]["creationTimestamp"] = Value::Null;
    noisy["spec"]["nodeName"] = Value::Null;
    assert_eq!(pod_template(&noisy, None), name);
    assert_eq!(template_source(&noisy), template_source(&template));
    let mut other = template.clone();
    other["spec"]["containers"][0]["image"] = json!("web:2");
    assert_ne!(pod_template(&other, None), name);
    // Every collision leads to another name.
    let names = [None, Some(0), Some(1), Some(2)].map(|count| pod_template(&template, count));
    for (index, name) in names.iter().enumerate() {
        assert!(!names[..index].contains(name), "{names:?}");
    }
}

#[test]
fn a_digest_does_not_depend_on_the_order_of_fields() {
    let one: Value = serde_json::from_str(r#"{"a":1,"b":[true,null]}"#).unwrap();
    let two: Value = serde_json::from_str(r#"{"b":[true,null],"a":1}"#).unwrap();
    assert_eq!(digest(&one), digest(&two));
    // SHA-256 of `{}`.
    assert_eq!(
        digest(&json!({})),
        "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
    );
}
