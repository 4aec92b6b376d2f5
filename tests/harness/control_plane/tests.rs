//! The parts that need no process.

use std::collections::BTreeMap;

use super::{apply, binaries, go_module, requests, stages};

#[test]
fn a_version_is_found_in_either_form_of_require() {
    let check = |go_mod: &str, expected: Option<&str>| {
        assert_eq!(
            go_module::required_version(go_mod, "k8s.io/kubernetes"),
            expected,
            "{go_mod}"
        );
    };
    check("require k8s.io/kubernetes v1.35.4", Some("v1.35.4"));
    check(
        "require (\n\tk8s.io/api v0.1.0\n\tk8s.io/kubernetes v1.35.4 // indirect\n)",
        Some("v1.35.4"),
    );
    check("tool k8s.io/kubernetes/cmd/kube-apiserver", None);
    check("\tk8s.io/kubernetes => ../kubernetes", None);
    check("", None);
}

#[test]
fn the_version_of_go_is_compared_as_numbers() {
    let check = |found: &str, wanted: &str, expected: bool| {
        assert_eq!(
            go_module::newer_or_same(found, wanted),
            expected,
            "{found} for {wanted}"
        );
    };
    check("1.26.0", "1.26.0", true);
    check("1.26.8", "1.26.0", true);
    check("1.26", "1.26.0", true);
    check("1.9.1", "1.26.0", false);
    check("1.27rc1", "1.26.0", true);
    check("1.25.9", "1.26.0", false);
    check("", "1.26.0", false);
}

#[test]
fn programs_report_the_version_that_they_were_built_from() {
    let variables = binaries::kubernetes_version("v1.35.4");
    let expected = ["gitMajor=1", "gitMinor=35", "gitVersion=v1.35.4"]
        .map(|variable| format!("k8s.io/component-base/version.{variable}"));
    assert_eq!(variables, expected);
}

#[test]
fn the_program_stands_on_one_line_in_every_place_of_the_stages() {
    let inserted = stages::insert(
        "a: '$(NEXT_EVENT) | .event'\nb: '$(NEXT_EVENT)'\n",
        "# why\ndef a: 1;\n  a\n",
    )
    .unwrap();
    assert_eq!(inserted, "a: 'def a: 1; a | .event'\nb: 'def a: 1; a'\n");
    assert!(stages::insert("$(NEXT_EVENT)", "'").is_err());
    assert!(stages::insert("no place", "a").is_err());
}

#[test]
fn the_stages_in_the_repository_are_yaml_once_the_program_is_in_place() {
    let stages = apply::documents(&stages::configuration().unwrap()).unwrap();
    let names: Vec<_> = stages
        .iter()
        .filter_map(|stage| stage.metadata.name.as_deref())
        .collect();
    assert_eq!(
        names,
        [
            "node-ready",
            "start",
            "image-error",
            "ready",
            "unready",
            "terminate",
            "restart",
            "delete"
        ]
    );
}

#[test]
fn requests_are_counted_by_user_namespace_verb_and_subresource() {
    let line = |user: &str, verb: &str, object: &str| {
        format!(r#"{{"verb":"{verb}","user":{{"username":"{user}"}}{object}}}"#)
    };
    let rollout = r#","objectRef":{"resource":"rollouts","namespace":"shop","subresource":"status","name":"a"}"#;
    let node = r#","objectRef":{"resource":"nodes","name":"n"}"#;
    let log = [
        line("peer", "patch", rollout),
        line("peer", "patch", rollout),
        line("peer", "get", node),
        line("admin", "patch", rollout),
        // No resource: discovery.
        line("peer", "get", ""),
        // The API server writes it at this moment.
        r#"{"verb":"patch","user":{"usern"#.to_owned(),
    ]
    .join("\n");
    let check = |namespace, expected: &[(&str, &str, &str, u64)]| {
        let key = |verb: &str, resource: &str, subresource: &str| {
            (verb.to_owned(), resource.to_owned(), subresource.to_owned())
        };
        let expected: BTreeMap<_, _> = expected
            .iter()
            .map(|(verb, resource, sub, count)| (key(verb, resource, sub), *count))
            .collect();
        assert_eq!(requests::count(&log, "peer", namespace), expected);
    };
    check(
        None,
        &[("patch", "rollouts", "status", 2), ("get", "nodes", "", 1)],
    );
    check(Some("shop"), &[("patch", "rollouts", "status", 2)]);
    check(Some("other"), &[]);
}

#[test]
fn documents_with_nothing_but_comments_are_left_out() {
    let text = "# head\n---\napiVersion: v1\nkind: Namespace\nmetadata: {name: a}\n---\n# tail\n";
    let objects = apply::documents(text).unwrap();
    assert_eq!(objects.len(), 1);
    assert!(apply::documents("a: [").is_err());
    assert!(apply::documents("- 1").is_err());
}
