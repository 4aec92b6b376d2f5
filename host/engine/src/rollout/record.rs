//! Which routers split the traffic of a Rollout, kept on the Rollout itself.
//!
//! Once a specification names a router no more, its block is gone, and with it the way to what that router has changed. So
//! the block is kept in an annotation for as long as the router may have something of the Rollout. It is written along with
//! the revision, and is no fact for anything else.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use sluice_api as api;

use super::valid;
use crate::keys;

/// The routers of a Rollout by the name under which the specification had them.
pub type Record = BTreeMap<String, Recorded>;

/// What is known of one router.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Recorded {
    /// Its block, as it was in force last; null where nobody knows.
    #[serde(skip_serializing_if = "Value::is_null")]
    pub config: Value,
    /// What else of `strategy.canary` a router reads: Services and managed routes. Null where nobody knows.
    #[serde(skip_serializing_if = "Value::is_null")]
    pub canary: Value,
    /// The specification names it no more: how long pods wait until it has let go.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// That it has not let go in this time has been told.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub late: bool,
}

/// A record that is longer than this is kept without the blocks: all annotations of an object share 256 KiB.
const LONGEST: usize = 16 * 1024;

/// Every router that may have something of this Rollout: those that its specification names, and those that it named.
pub fn record(rollout: &api::Rollout) -> Record {
    let mut record = kept(rollout);
    record.extend(named(rollout));
    record
}

/// The names of the routers that the specification names.
pub fn named_routers(rollout: &api::Rollout) -> Vec<String> {
    named(rollout).into_keys().collect()
}

/// What the annotation says. One that cannot be read says nothing, and is written anew.
pub(super) fn kept(rollout: &api::Rollout) -> Record {
    let Some(text) = rollout.metadata.annotations.get(keys::ROUTERS) else {
        return Record::new();
    };
    serde_json::from_str(text).unwrap_or_default()
}

/// The routers that the specification names.
pub(super) fn named(rollout: &api::Rollout) -> Record {
    let canary = surroundings(rollout);
    let routers = valid::routers(rollout).into_iter();
    routers
        .map(|router| {
            let recorded = Recorded {
                config: router.config,
                canary: canary.clone(),
                ..Recorded::default()
            };
            (router.name.name, recorded)
        })
        .collect()
}

/// The record as it is kept.
pub(super) fn fitting(record: Record) -> Record {
    let is_long = text(&record).is_some_and(|text| text.len() > LONGEST);
    if !is_long {
        return record;
    }
    let short = record.into_iter().map(|(name, recorded)| {
        let short = Recorded {
            config: Value::Null,
            canary: Value::Null,
            ..recorded
        };
        (name, short)
    });
    short.collect()
}

/// The value of the annotation; None where there is nothing to keep.
pub(super) fn text(record: &Record) -> Option<String> {
    if record.is_empty() {
        return None;
    }
    serde_json::to_string(record).ok()
}

/// What of the strategy a router reads besides its own block.
fn surroundings(rollout: &api::Rollout) -> Value {
    let Some(canary) = &rollout.spec.strategy.canary else {
        return Value::Null;
    };
    let mut fields = Map::new();
    for (name, service) in [
        ("canaryService", &canary.canary_service),
        ("stableService", &canary.stable_service),
    ] {
        if !service.is_empty() {
            fields.insert(name.to_owned(), json!(service));
        }
    }
    if let Some(pair) = &canary.ping_pong {
        fields.insert("pingPong".to_owned(), json!(pair));
    }
    let routes = canary
        .traffic_routing
        .as_ref()
        .map(|routing| &routing.managed_routes);
    if let Some(routes) = routes.filter(|routes| !routes.is_empty()) {
        fields.insert(
            "trafficRouting".to_owned(),
            json!({ "managedRoutes": routes }),
        );
    }
    Value::Object(fields)
}
