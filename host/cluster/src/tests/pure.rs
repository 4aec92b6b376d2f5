//! Rules that need no API server.

use std::collections::BTreeMap;

use http::Method;
use sluice_api::{LabelSelector, LabelSelectorRequirement, ObjectMeta};

use super::*;
use crate::kinds::{known, segment};
use crate::requests::labels;
use crate::store::{Origin, Store, View, is_newer};
use crate::{lease, selector};

struct Thing(ObjectMeta);

impl View for Thing {
    fn metadata(&self) -> &ObjectMeta {
        &self.0
    }

    fn owner(&self) -> Option<&str> {
        Some(crate::store::controller_uid(&self.0))
    }
}

fn thing(name: &str, uid: &str, version: &str) -> Thing {
    Thing(ObjectMeta {
        name: name.to_owned(),
        namespace: "shop".to_owned(),
        uid: uid.to_owned(),
        resource_version: version.to_owned(),
        ..ObjectMeta::default()
    })
}

fn version_of(store: &Store<Thing>, name: &str) -> Option<String> {
    store
        .get(&key(name))
        .map(|thing| thing.0.resource_version.clone())
}

#[test]
fn versions_are_ordered_as_numbers() {
    for (new, old, expected) in [
        ("10", "9", true),
        ("9", "10", false),
        ("9", "9", false),
        ("x", "9", true),
        ("x", "x", false),
    ] {
        assert_eq!(is_newer(new, old), expected, "{new} after {old}");
    }
}

#[test]
fn an_older_version_never_replaces_a_newer_one() {
    let store = Store::default();
    assert!(store.put(thing("a", "u1", "9"), Origin::Watch).is_some());
    assert!(store.put(thing("a", "u1", "12"), Origin::Own).is_some());
    for origin in [Origin::Watch, Origin::List, Origin::Own] {
        assert!(store.put(thing("a", "u1", "11"), origin).is_none());
        assert!(store.put(thing("a", "u1", "12"), origin).is_none());
    }
    assert_eq!(version_of(&store, "a").as_deref(), Some("12"));
}

#[test]
fn what_would_not_be_kept_is_known_before_it_is_decoded() {
    let store = Store::default();
    store.put(thing("web", "1", "7"), Origin::Own);
    let key = Key::new("shop", "web");
    for (uid, version, expected) in [
        ("1", "6", true),
        ("1", "7", true),
        ("1", "8", false),
        ("2", "7", false),
    ] {
        assert_eq!(
            store.is_superseded(&key, uid, version, Origin::Watch),
            expected,
            "{uid} in version {version}"
        );
    }
    store.remove(&key, "1", Some("9"));
    assert!(store.is_superseded(&key, "1", "9", Origin::Watch));
    assert!(!store.is_superseded(&key, "1", "10", Origin::Watch));
}

#[test]
fn what_is_listed_in_a_known_version_counts_as_listed() {
    let store = Store::default();
    store.put(thing("web", "1", "7"), Origin::Watch);
    store.begin_list();
    assert!(store.is_superseded(&Key::new("shop", "web"), "1", "7", Origin::List));
    assert_eq!(store.finish_list(), []);
}

#[test]
fn what_was_deleted_comes_back_only_in_a_newer_version() {
    let store = Store::default();
    store.put(thing("a", "u1", "5"), Origin::Watch);
    // The watch says DELETED at 8 before the answer to an own write of version 7 is read.
    assert!(store.remove(&key("a"), "u1", Some("8")).is_some());
    assert!(store.put(thing("a", "u1", "7"), Origin::Own).is_none());
    assert_eq!(version_of(&store, "a"), None);
    // It had only left the selection of the watch.
    assert!(store.put(thing("a", "u1", "9"), Origin::Watch).is_some());
    // An own delete is final for this UID, and for this UID only.
    assert!(store.remove(&key("a"), "u1", None).is_some());
    assert!(store.put(thing("a", "u1", "11"), Origin::Watch).is_none());
    assert!(store.put(thing("a", "u2", "12"), Origin::Watch).is_some());
    assert!(store.remove(&key("a"), "u1", Some("13")).is_none());
    assert_eq!(version_of(&store, "a").as_deref(), Some("12"));
}

#[test]
fn what_a_list_does_not_show_is_questioned_and_not_dropped() {
    let store = Store::default();
    store.put(thing("a", "u1", "5"), Origin::Watch);
    store.put(thing("b", "u2", "6"), Origin::Watch);
    store.begin_list();
    store.put(thing("a", "u1", "5"), Origin::List);
    store.put(thing("c", "u3", "9"), Origin::Own);
    assert_eq!(store.finish_list(), [key("b"), key("c")]);
    assert_eq!(store.all().len(), 3);
    // What is known to be gone stays so, and of what no list shows somebody may know better.
    assert!(store.missing(&key("b"), true).is_some());
    assert!(store.put(thing("b", "u2", "7"), Origin::Watch).is_none());
    assert!(store.missing(&key("c"), false).is_some());
    assert!(store.put(thing("c", "u3", "9"), Origin::Watch).is_some());
}

#[test]
fn the_index_of_owners_follows_adoption() {
    let store = Store::default();
    store.put(thing("a", "u1", "5"), Origin::Watch);
    assert_eq!(store.owned_by("").len(), 1);
    let mut adopted = thing("a", "u1", "6");
    adopted.0.owner_references.push(sluice_api::OwnerReference {
        uid: "owner".to_owned(),
        controller: Some(true),
        ..Default::default()
    });
    store.put(adopted, Origin::Watch);
    assert_eq!(store.owned_by("").len(), 0);
    assert_eq!(store.owned_by("owner").len(), 1);
    store.remove(&key("a"), "u1", None);
    assert_eq!(store.owned_by("owner").len(), 0);
}

#[test]
fn selectors_match_as_in_kubernetes() {
    let labels: BTreeMap<String, String> = [("app", "web"), ("track", "canary")]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
    let check = |key: &str, operator: &str, values: &[&str], expected: bool| {
        let selector = LabelSelector {
            match_expressions: vec![LabelSelectorRequirement {
                key: key.to_owned(),
                operator: operator.to_owned(),
                values: values.iter().map(|value| (*value).to_owned()).collect(),
            }],
            ..LabelSelector::default()
        };
        assert_eq!(
            selector::matches(&selector, &labels),
            expected,
            "{key} {operator} {values:?}"
        );
    };
    check("track", "In", &["stable", "canary"], true);
    check("track", "In", &["stable"], false);
    check("track", "NotIn", &["canary"], false);
    check("zone", "NotIn", &["west"], true);
    check("app", "Exists", &[], true);
    check("zone", "Exists", &[], false);
    check("zone", "DoesNotExist", &[], true);
    check("app", "Near", &[], false);
}

#[test]
fn a_name_cannot_leave_its_place_in_a_path() {
    let pods = known("v1", "Pod").expect("a known kind");
    let path = |namespace, name| pods.path(Some(namespace), Some(name));
    assert_eq!(
        path("shop", "web-1").as_deref(),
        Ok("/api/v1/namespaces/shop/pods/web-1")
    );
    assert_eq!(
        path("shop", "../secrets/x?y").as_deref(),
        Ok("/api/v1/namespaces/shop/pods/..%2Fsecrets%2Fx%3Fy")
    );
    for name in ["", ".", ".."] {
        assert!(segment(name).is_err(), "{name:?}");
    }
}

// MET-012
#[test]
fn requests_are_labelled_by_what_they_ask_for() {
    let check = |method: Method, uri: &str, expected: (&str, &str, &str, &str)| {
        let request = http::Request::builder()
            .method(method)
            .uri(uri)
            .body(())
            .expect("a request");
        let found = labels(&request);
        let found = (
            found.kind.as_str(),
            found.namespace.as_str(),
            found.name.as_str(),
            found.verb,
        );
        assert_eq!(found, expected, "{uri}");
    };
    let rollouts = "/apis/argoproj.io/v1alpha1/namespaces/shop/rollouts";
    check(Method::GET, rollouts, ("rollouts", "shop", "N/A", "List"));
    check(
        Method::GET,
        &format!("{rollouts}?watch=true&x=1"),
        ("rollouts", "shop", "N/A", "Watch"),
    );
    check(
        Method::PATCH,
        &format!("{rollouts}/web/status?x=1"),
        ("rollouts", "shop", "web", "Patch"),
    );
    check(
        Method::GET,
        "/api/v1/services?limit=100",
        ("services", "", "N/A", "List"),
    );
    check(
        Method::POST,
        "/api/v1/namespaces/shop/events",
        ("events", "shop", "N/A", "Create"),
    );
    check(
        Method::PATCH,
        "/apis/apps/v1/namespaces/shop/replicasets/web-7",
        ("replicasets", "shop", "N/A", "Patch"),
    );
    check(
        Method::POST,
        "/api/v1/namespaces/shop/pods/web-7-x/eviction",
        ("pods", "shop", "N/A", "Create"),
    );
    check(
        Method::GET,
        "/api/v1/namespaces/shop",
        ("namespaces", "", "shop", "Get"),
    );
    check(
        Method::GET,
        "/version",
        ("Unknown", "Unknown", "Unknown", "Unknown"),
    );
}

// CTL-008
#[test]
fn the_lease_has_upstreams_name() {
    assert_eq!(lease::lease_name(None), "argo-rollouts-controller-lock");
    assert_eq!(lease::lease_name(Some("")), "argo-rollouts-controller-lock");
    assert_eq!(
        lease::lease_name(Some("blue")),
        "argo-rollouts-controller-lock-blue"
    );
    assert_eq!(lease::identity("node-3", "4f"), "node-3_4f");
}

// CTL-010, KEY-004
#[test]
fn an_instance_takes_its_own_objects_only() {
    let labelled = |value: &str| BTreeMap::from([(keys::INSTANCE_ID.to_owned(), value.to_owned())]);
    let instance = |id: Option<&str>| Settings {
        instance_id: id.map(str::to_owned),
        ..Settings::default()
    };
    for (id, selector, own, foreign) in [
        (
            None,
            "!argo-rollouts.argoproj.io/controller-instance-id",
            BTreeMap::new(),
            labelled("blue"),
        ),
        (
            Some("blue"),
            "argo-rollouts.argoproj.io/controller-instance-id=blue",
            labelled("blue"),
            BTreeMap::new(),
        ),
    ] {
        let settings = instance(id);
        assert_eq!(settings.instance_selector(), selector);
        assert!(settings.selects(&own));
        assert!(!settings.selects(&foreign));
    }
}
