//! Given objects and desired traffic, the objects that become of them.

mod check;
mod destination_rules;
mod managed_routes;
mod release;
mod weights;

use serde_json::{Value, json};
use sluice_plugin_sdk::router::{Destination, Traffic};
use sluice_plugin_sdk::testing::{Given, Pass, check_manifest, traffic, yaml};
use sluice_plugin_sdk::{Notice, PluginError, Severity};

use crate::Istio;

#[test]
fn the_manifest_is_what_the_code_says() {
    check_manifest(&crate::manifest(), env!("CARGO_MANIFEST_DIR"));
}

/// A Rollout that splits by Service.
fn rollout() -> Value {
    yaml(
        "
apiVersion: argoproj.io/v1alpha1
kind: Rollout
metadata: {name: guestbook, namespace: shop}
spec:
  strategy:
    canary:
      stableService: stable-svc
      canaryService: canary-svc
      trafficRouting:
        managedRoutes: [{name: second}, {name: first}]
",
    )
}

/// A Rollout without Services.
fn rollout_by_subset() -> Value {
    let mut rollout = rollout();
    let canary = rollout["spec"]["strategy"]["canary"]
        .as_object_mut()
        .unwrap();
    canary.remove("stableService");
    canary.remove("canaryService");
    rollout
}

/// One VirtualService, all of whose routes are meant.
fn one_service() -> Value {
    json!({"virtualService": {"name": "web"}})
}

/// One VirtualService and one DestinationRule.
fn with_rule() -> Value {
    json!({
        "virtualService": {"name": "web"},
        "destinationRule": {"name": "web", "canarySubsetName": "canary", "stableSubsetName": "stable"},
    })
}

/// As `traffic`, split by subset: without Services.
fn by_subset(canary_weight: u32) -> Traffic {
    let start = traffic(canary_weight);
    let without = |share: Destination| Destination {
        service: None,
        ..share
    };
    Traffic {
        stable: without(start.stable),
        canary: without(start.canary),
        ..start
    }
}

/// A VirtualService in the Rollout's namespace with this `spec`.
fn service(spec: &str) -> String {
    let indented: String = spec
        .trim_matches('\n')
        .lines()
        .map(|line| format!("  {line}\n"))
        .collect();
    format!(
        "apiVersion: networking.istio.io/v1alpha3\nkind: VirtualService\n\
         metadata: {{name: web, namespace: shop, labels: {{kept: 'yes'}}}}\nspec:\n{indented}"
    )
}

/// A DestinationRule in the Rollout's namespace with these annotations and subsets.
fn rule(annotations: &str, subsets: &str) -> String {
    let indented: String = subsets
        .trim_matches('\n')
        .lines()
        .map(|line| format!("  {line}\n"))
        .collect();
    format!(
        "apiVersion: networking.istio.io/v1alpha3\nkind: DestinationRule\n\
         metadata: {{name: web, namespace: shop, annotations: {annotations}}}\n\
         spec:\n  host: web.shop.svc\n  trafficPolicy: {{tls: {{mode: ISTIO_MUTUAL}}}}\n  subsets:\n{indented}"
    )
}

fn messages(notices: &[Notice]) -> Vec<String> {
    let shown = |notice: &Notice| {
        let severity = if notice.severity == Severity::Warning {
            "Warning "
        } else {
            ""
        };
        format!("{severity}{}: {}", notice.reason, notice.message)
    };
    notices.iter().map(shown).collect()
}

/// These objects become those, with these events; a second pass changes nothing.
fn check_in(
    mut given: Given,
    before: &[String],
    desired: Option<&Traffic>,
    after: &[String],
    events: &[&str],
) {
    for object in before {
        given.cluster.put(yaml(object));
    }
    let pass = given.settle::<Istio>(desired).unwrap();
    for object in after {
        let wanted = yaml(object);
        let text = |pointer: &str| wanted.pointer(pointer).and_then(Value::as_str).unwrap();
        let found = given.cluster.get(
            text("/kind"),
            text("/metadata/namespace"),
            text("/metadata/name"),
        );
        assert_eq!(found, wanted, "\n{found:#}\n{wanted:#}");
    }
    assert_eq!(messages(&pass.answer.effects.notices), events);
}

fn check(config: Value, before: &str, desired: &Traffic, after: &str, events: &[&str]) {
    let given = Given::subject(rollout()).config(config);
    check_in(
        given,
        &[service(before)],
        Some(desired),
        &[service(after)],
        events,
    );
}

fn fails(given: &mut Given, desired: &Traffic) -> PluginError {
    given
        .reconcile::<Istio>(Some(desired))
        .map(|pass: Pass<_>| panic!("{pass:?}"))
        .unwrap_err()
}
