//! Plugins that were not written with care, for stories: components that are built here and now.

use anyhow::{Result, bail};
use serde_json::{Value, json};
use sluice_tests::story::Component;

use crate::guest::{Does, Guest, get, more, no_effects, plan};

/// Under this name a specification asks for a router of these.
const ROUTER: &str = "acme/router";
/// And under this one for a metric provider.
const PROVIDER: &str = "acme/metrics";
/// The address of which a router of these may ask, and which answers as the metrics do.
const ADDRESS: &str = "http://router.example";

/// The plugin that stories call by this name.
pub fn plugin(name: &str) -> Result<Component> {
    let computes = "(loop $for_ever (br $for_ever)) unreachable";
    Ok(match name {
        // It agrees with every weight and changes nothing.
        "working-router" => router(Guest::router(Does::Answers(vec![plan(no_effects())]))),
        "trapping-router" => router(Guest::router(traps())),
        "computing-router" => Component {
            computes: true,
            ..router(Guest::router(Does::Runs(computes.to_owned())))
        },
        "asking-router" => router(Guest::router(Does::Answers(vec![
            more(json!([]), json!([get("weights", ADDRESS)])),
            plan(no_effects()),
        ]))),
        "router-with-trapping-check" => {
            router(Guest::router(Does::Answers(vec![plan(no_effects())])).checking(traps()))
        }
        "working-provider" => provider(Guest::provider(Does::Answers(vec![measured()]))),
        "trapping-provider" => provider(Guest::provider(traps())),
        "broken-file" => Component {
            file: "broken",
            bytes: b"this is no component".to_vec(),
            computes: false,
        },
        other => bail!("no plugin `{other}` in stories"),
    })
}

fn traps() -> Does {
    Does::Runs("(call $log_error) unreachable".to_owned())
}

fn router(guest: Guest) -> Component {
    let guest = guest
        .with("name", json!(ROUTER))
        .with("displayName", json!("Acme"))
        .with("grants", json!({ "http": [ADDRESS] }));
    Component {
        file: "router",
        bytes: guest.build(),
        computes: false,
    }
}

fn provider(guest: Guest) -> Component {
    let guest = guest
        .with("name", json!(PROVIDER))
        .with("displayName", json!("Acme"));
    Component {
        file: "provider",
        bytes: guest.build(),
        computes: false,
    }
}

/// A good measurement.
fn measured() -> Value {
    json!({ "ok": { "measured": {
        "measurement": {
            "value": { "number": 1.0 }, "shown": "1", "phase": null, "message": null, "metadata": [],
            "metric-metadata": [],
        },
        "effects": no_effects(),
    } } })
}
