//! The grant checks, by table.

use serde_json::{Value, json};
use sluice_engine::object::ObjectKey;
use sluice_engine::plan::Propagation;
use sluice_engine::read::{Read, Select};
use url::Url;

use super::world::subject;
use crate::answer::{Change, ChangeEdit};
use crate::grants::{self, AddressRule, Origin};
use crate::manifest::Grants;

fn granted() -> Grants {
    serde_json::from_value(json!({
        "reads": [
            { "group": "networking.istio.io", "kinds": ["VirtualService"], "namespaces": "any" },
            { "group": "", "kinds": ["Service"], "namespaces": "subject" },
        ],
        "changes": [
            { "group": "networking.istio.io", "kinds": ["VirtualService"], "verbs": ["patch"], "namespaces": "any" },
            { "group": "batch", "kinds": ["Job"], "verbs": ["create", "delete"], "namespaces": "subject" },
        ],
    }))
    .unwrap()
}

fn reading(api_version: &str, kind: &str, namespace: Option<&str>, expected: Result<(), &str>) {
    let read = Read {
        api_version: api_version.to_owned(),
        kind: kind.to_owned(),
        namespace: namespace.map(str::to_owned),
        select: Select::Name("x".to_owned()),
    };
    let outcome = grants::check_read(&granted(), &read, Some("shop"));
    assert_eq!(outcome, expected.map_err(str::to_owned), "{read:?}");
}

#[test]
fn reads_need_their_group_kind_and_namespace_granted() {
    reading(
        "networking.istio.io/v1",
        "VirtualService",
        Some("shop"),
        Ok(()),
    );
    reading(
        "networking.istio.io/v1beta1",
        "VirtualService",
        Some("mesh"),
        Ok(()),
    );
    reading("v1", "Service", Some("shop"), Ok(()));
    let only_here =
        "the plugin's grant allows reading Service in the subject's namespace only, not in bank";
    reading("v1", "Service", Some("bank"), Err(only_here));
    let not_granted = "the plugin's grant does not allow reading Gateway of networking.istio.io";
    reading(
        "networking.istio.io/v1",
        "Gateway",
        Some("shop"),
        Err(not_granted),
    );
    let other_group = "the plugin's grant does not allow reading VirtualService of evil.io";
    reading(
        "evil.io/v1",
        "VirtualService",
        Some("shop"),
        Err(other_group),
    );
    reading(
        "v1",
        "Secret",
        Some("shop"),
        Err("Secrets are never handed to plugins"),
    );
}

const ROUTE: (&str, &str, &str) = ("networking.istio.io/v1", "VirtualService", "web");
const JOB: (&str, &str, &str) = ("batch/v1", "Job", "probe");

fn changing(
    (api_version, kind, name): (&str, &str, &str),
    namespace: &str,
    edit: ChangeEdit,
    expected: Result<(), &str>,
) {
    let change = Change {
        target: ObjectKey::namespaced(api_version, kind, namespace, name),
        edit,
        precondition: None,
        reason: String::new(),
    };
    let outcome = grants::check_change(&granted(), &change, &subject().key);
    match (outcome, expected) {
        (Ok(()), Ok(())) => {}
        (Err(why), Err(expected)) if why.contains(expected) => {}
        (outcome, expected) => panic!("{change:?}: {outcome:?} instead of {expected:?}"),
    }
}

fn merge(patch: Value) -> ChangeEdit {
    ChangeEdit::MergePatch(patch)
}

fn json_patch(patch: Value) -> ChangeEdit {
    ChangeEdit::JsonPatch(patch)
}

fn create(body: Value) -> ChangeEdit {
    ChangeEdit::Create { body, owned: true }
}

#[test]
fn changes_need_their_group_kind_verb_and_namespace_granted() {
    changing(ROUTE, "mesh", merge(json!({ "spec": {} })), Ok(()));
    let delete = || ChangeEdit::Delete(Propagation::Background);
    changing(
        ROUTE,
        "shop",
        delete(),
        Err("does not allow to delete VirtualService of networking.istio.io"),
    );
    changing(JOB, "shop", delete(), Ok(()));
    changing(
        JOB,
        "bank",
        delete(),
        Err("in the subject's namespace only, not in bank"),
    );
    changing(
        JOB,
        "shop",
        merge(json!({})),
        Err("does not allow to patch Job of batch"),
    );
    changing(
        ("v1", "Secret", "x"),
        "shop",
        delete(),
        Err("Secrets are never changed by plugins"),
    );
    changing(
        ("v1", "Pod", "x"),
        "shop",
        delete(),
        Err("does not allow to delete Pod"),
    );
    changing(
        ("batch/v1", "Job", ""),
        "shop",
        delete(),
        Err("without a name"),
    );
}

#[test]
fn an_object_that_was_not_read_is_named_by_the_configuration_or_new() {
    let config = json!({ "routes": [{ "name": "web", "weight": 20 }], "gateway": { "name": "edge", "namespace": "mesh" } });
    let new = || create(json!({}));
    for (name, namespace, edit, allowed) in [
        ("web", "shop", merge(json!({})), true),
        ("web", "shop", json_patch(json!([])), true),
        ("web", "shop", ChangeEdit::Delete(Propagation::Orphan), true),
        ("edge", "mesh", merge(json!({})), true),
        // A name is meant where the Rollout is, unless the configuration says where.
        ("web", "bank", merge(json!({})), false),
        ("we", "shop", merge(json!({})), false),
        ("name", "shop", merge(json!({})), false),
        (
            "other",
            "shop",
            ChangeEdit::Delete(Propagation::Orphan),
            false,
        ),
        ("other", "shop", new(), true),
    ] {
        let change = Change {
            target: ObjectKey::namespaced(ROUTE.0, ROUTE.1, namespace, name),
            edit,
            precondition: None,
            reason: String::new(),
        };
        let outcome = grants::check_name(&config, &change, &subject().key);
        assert_eq!(outcome.is_ok(), allowed, "{change:?}: {outcome:?}");
    }
}

#[test]
fn a_new_object_agrees_with_its_target() {
    let job = |change: fn(&mut Value)| {
        let mut body = json!({ "apiVersion": "batch/v1", "kind": "Job", "metadata": { "name": "probe", "namespace": "shop" } });
        change(&mut body);
        create(body)
    };
    changing(JOB, "shop", job(|_| {}), Ok(()));
    changing(
        JOB,
        "shop",
        job(|body| {
            drop(
                body["metadata"]
                    .as_object_mut()
                    .unwrap()
                    .remove("namespace"),
            )
        }),
        Ok(()),
    );
    type Wrong = (fn(&mut Value), &'static str);
    let wrong: [Wrong; 6] = [
        (
            |body| body["kind"] = json!("Pod"),
            "body.kind: is \"Pod\" but the target says \"Job\"",
        ),
        (|body| body["apiVersion"] = json!("v1"), "body.apiVersion"),
        (
            |body| body["metadata"]["name"] = json!("other"),
            "body.metadata.name",
        ),
        (
            |body| body["metadata"]["namespace"] = json!("bank"),
            "body.metadata.namespace",
        ),
        (
            |body| body["metadata"]["finalizers"] = json!([]),
            "metadata.finalizers: plugins must not edit it",
        ),
        (
            |body| body["metadata"]["ownerReferences"] = json!([]),
            "metadata.ownerReferences",
        ),
    ];
    for (change, expected) in wrong {
        changing(JOB, "shop", job(change), Err(expected));
    }
}

#[test]
fn merge_patches_leave_identity_and_reserved_metadata_alone() {
    for allowed in [
        json!({ "metadata": { "annotations": { "a": "b" }, "labels": null } }),
        json!({ "kind": "VirtualService", "metadata": { "name": "web", "namespace": "shop" } }),
        json!({ "spec": { "finalizers": [] } }),
    ] {
        changing(ROUTE, "shop", merge(allowed), Ok(()));
    }
    for (refused, expected) in [
        (
            json!({ "metadata": { "finalizers": null } }),
            "metadata.finalizers",
        ),
        (
            json!({ "metadata": { "ownerReferences": [] } }),
            "metadata.ownerReferences",
        ),
        (
            json!({ "metadata": { "managedFields": [] } }),
            "metadata.managedFields",
        ),
        (json!({ "metadata": null }), "metadata: must be an object"),
        (
            json!({ "metadata": { "name": "other" } }),
            "patch.metadata.name: must not be changed",
        ),
        (
            json!({ "metadata": { "namespace": null } }),
            "patch.metadata.namespace",
        ),
        (json!({ "metadata": { "uid": "u" } }), "patch.metadata.uid"),
        (json!({ "kind": "Gateway" }), "patch.kind"),
        (json!([]), "must be an object"),
        (
            json!({ "spec": "x".repeat(1 << 20) }),
            "at most 1048576 are allowed",
        ),
    ] {
        changing(ROUTE, "shop", merge(refused), Err(expected));
    }
}

#[test]
fn json_patches_leave_identity_and_reserved_metadata_alone() {
    for allowed in [
        json!([{ "op": "replace", "path": "/spec/http/0/route/0/weight", "value": 20 }]),
        json!([{ "op": "test", "path": "/metadata/ownerReferences/0", "value": {} }]),
        json!([{ "op": "add", "path": "/metadata/annotations/a~1b", "value": "c" }]),
        json!([{ "op": "copy", "from": "/metadata/finalizers", "path": "/spec/x" }]),
        json!([{ "op": "add", "path": "/spec/metadata/ownerReferences", "value": 1 }]),
        json!([]),
    ] {
        changing(ROUTE, "shop", json_patch(allowed), Ok(()));
    }
    for (refused, expected) in [
        (
            json!([{ "op": "add", "path": "/metadata/ownerReferences/-", "value": {} }]),
            "metadata.ownerReferences",
        ),
        (
            json!([{ "op": "remove", "path": "/metadata/finalizers" }]),
            "metadata.finalizers",
        ),
        (
            json!([{ "op": "move", "from": "/metadata/finalizers", "path": "/spec/x" }]),
            "[0].from",
        ),
        (
            json!([{ "op": "replace", "path": "/metadata", "value": {} }]),
            "all of metadata",
        ),
        (
            json!([{ "op": "replace", "path": "", "value": {} }]),
            "the whole object",
        ),
        (
            json!([{ "op": "replace", "path": "/metadata/name", "value": "x" }]),
            "metadata.name",
        ),
        (
            json!([{ "op": "replace", "path": "/kind", "value": "x" }]),
            "kind",
        ),
        (
            json!([{ "op": "rename", "path": "/spec" }]),
            "[0].op: \"rename\" is not an operation",
        ),
        (
            json!([{ "op": "test", "path": "/spec" }, { "op": "remove" }]),
            "[1].path: missing",
        ),
        (json!({}), "must be a list of operations"),
    ] {
        changing(ROUTE, "shop", json_patch(refused), Err(expected));
    }
}

fn rules(texts: &[&str]) -> Result<Vec<AddressRule>, String> {
    texts
        .iter()
        .map(|text| AddressRule::try_from((*text).to_owned()))
        .collect()
}

fn requesting(grants: &[&str], url: &str, configured: &[&str], allowed: bool) {
    let origin = |url: &str| Origin::of(&Url::parse(url).unwrap()).unwrap();
    let configured: Vec<Origin> = configured.iter().map(|url| origin(url)).collect();
    let outcome = grants::check_address(&rules(grants).unwrap(), &origin(url), &configured);
    assert_eq!(
        outcome.is_ok(),
        allowed,
        "{grants:?} {url} {configured:?}: {outcome:?}"
    );
}

#[test]
fn requests_need_their_origin_granted() {
    let prometheus = &["http://prometheus.monitoring:9090/prefix"];
    requesting(
        &["configured-address"],
        "http://prometheus.monitoring:9090/api/v1/query",
        prometheus,
        true,
    );
    requesting(
        &["configured-address"],
        "http://prometheus.monitoring./api",
        &["http://prometheus.monitoring"],
        true,
    );
    requesting(
        &["configured-address"],
        "https://prometheus.monitoring:9090/",
        prometheus,
        false,
    );
    requesting(
        &["configured-address"],
        "http://prometheus.monitoring/",
        prometheus,
        false,
    );
    requesting(
        &["configured-address"],
        "http://prometheus.monitoring.evil.io:9090/",
        prometheus,
        false,
    );
    requesting(
        &["configured-address"],
        "http://prometheus.monitoring:9090/",
        &[],
        false,
    );
    requesting(&[], "http://prometheus.monitoring:9090/", prometheus, false);
    requesting(
        &["https://api.datadoghq.com"],
        "https://API.datadoghq.com/api/v1/query",
        &[],
        true,
    );
    requesting(
        &["https://api.datadoghq.com"],
        "https://api.datadoghq.com:443/",
        &[],
        true,
    );
    requesting(
        &["https://api.datadoghq.com"],
        "https://api.datadoghq.com:8443/",
        &[],
        false,
    );
    requesting(
        &["https://api.datadoghq.com"],
        "http://api.datadoghq.com/",
        &[],
        false,
    );
    requesting(
        &["https://*.newrelic.com"],
        "https://api.eu.newrelic.com/graphql",
        &[],
        true,
    );
    requesting(
        &["https://*.newrelic.com"],
        "https://newrelic.com/",
        &[],
        false,
    );
    requesting(
        &["https://*.newrelic.com"],
        "https://evilnewrelic.com/",
        &[],
        false,
    );
}

#[test]
fn an_address_rule_that_means_nothing_is_refused() {
    for (rule, expected) in [
        ("prometheus:9090", "only http and https have grants"),
        ("https://", "empty host"),
        ("ftp://files.example.com", "only http and https have grants"),
        (
            "https://api.example.com/v1",
            "a grant is for a whole origin",
        ),
        (
            "https://me@api.example.com",
            "a grant is for a whole origin",
        ),
        ("https://*.com", "a suffix of at least two labels"),
        ("https://*.10.0.0.1", "a suffix of at least two labels"),
        (
            "https://api.*.com",
            "a wildcard stands only for the first labels",
        ),
        ("*", "relative URL without a base"),
    ] {
        let outcome = rules(&[rule]).unwrap_err();
        assert!(outcome.contains(expected), "{rule}: {outcome}");
    }
}
