use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::router::{Checked, Reply, Traffic, TrafficRouter, Usable};
use crate::testing::{Given, traffic};
use crate::{Context, Disposition, PluginError};

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Config {
    #[expect(dead_code, reason = "only decoded")]
    virtual_services: Vec<Named>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Named {
    #[expect(dead_code, reason = "only decoded")]
    name: String,
}

struct Router;

impl TrafficRouter for Router {
    type Config = Config;

    fn check(context: &Context, _: &Config) -> Result<Checked, PluginError> {
        context.setting("address")?;
        Ok(Checked::Usable(Usable { watch: Vec::new() }))
    }

    fn reconcile(_: &Context, _: &Config, _: &Traffic) -> Result<Reply, PluginError> {
        Err(PluginError::fail("Reconciled", ""))
    }

    fn release(_: &Context, config: Option<&Config>) -> Result<Reply, PluginError> {
        Err(PluginError::fail(
            if config.is_some() { "Known" } else { "Unknown" },
            "",
        ))
    }
}

fn rollout() -> Given {
    Given::subject(json!({"apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout"}))
}

fn check(config: Value, field: Option<&str>, message: &str) {
    let error = rollout().config(config).check::<Router>().unwrap_err();
    assert_eq!(error.disposition, Disposition::InvalidConfig);
    assert_eq!(
        (error.field.as_deref(), error.message.as_str()),
        (field, message)
    );
}

#[test]
fn a_wrong_type_is_invalid_config_and_names_the_field() {
    check(
        json!({"virtualServices": [{"name": "a"}, {"name": 5}]}),
        Some("virtualServices[1].name"),
        "invalid type: integer `5`, expected a string",
    );
}

#[test]
fn an_unknown_field_is_invalid_config_and_names_the_field() {
    check(
        json!({"virtualServices": [{"name": "a", "rotues": []}]}),
        Some("virtualServices[0].rotues"),
        "unknown field `rotues`, expected `name`",
    );
    check(
        json!({"virtualService": {}}),
        Some("virtualService"),
        "unknown field `virtualService`, expected `virtualServices`",
    );
}

#[test]
fn a_missing_field_is_invalid_config_and_names_where() {
    check(
        json!({"virtualServices": [{}]}),
        Some("virtualServices[0]"),
        "missing field `name`",
    );
    check(json!({}), None, "missing field `virtualServices`");
    check(
        json!([1]),
        Some("[0]"),
        "invalid type: integer `1`, expected a sequence",
    );
    check(
        json!("text"),
        None,
        "invalid type: string \"text\", expected struct Config",
    );
}

#[test]
fn release_knows_the_configuration_or_knows_that_it_does_not() {
    let release = |config| {
        rollout()
            .config(config)
            .reconcile::<Router>(None)
            .unwrap_err()
            .into_record()
            .reason
    };
    assert_eq!(release(json!({"virtualServices": []})), "Known");
    assert_eq!(release(json!(null)), "Unknown");
    let reconcile = rollout()
        .config(json!(null))
        .reconcile::<Router>(Some(&traffic(5)))
        .unwrap_err();
    assert_eq!(reconcile.disposition, Disposition::InvalidConfig);
}
