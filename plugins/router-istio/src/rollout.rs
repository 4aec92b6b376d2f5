//! What the Rollout itself says about its canary strategy, for the calls that come without traffic.

use serde_json::Value;

use crate::config::DestinationRule;
use crate::routes::Names;

/// What the Rollout itself says about its canary strategy, where no desired traffic says it.
#[derive(Default)]
pub struct Canary {
    stable_service: Option<String>,
    canary_service: Option<String>,
    ping_pong: bool,
    managed_routes: Vec<String>,
}

impl Canary {
    /// Of this Rollout, which may be no more than its metadata.
    pub fn of(rollout: &Value) -> Self {
        let text = |value: &Value, pointer: &str| {
            value
                .pointer(pointer)
                .and_then(Value::as_str)
                .filter(|text| !text.is_empty())
                .map(str::to_owned)
        };
        let Some(canary) = rollout.pointer("/spec/strategy/canary") else {
            return Self::default();
        };
        let routes = canary
            .pointer("/trafficRouting/managedRoutes")
            .and_then(Value::as_array);
        let managed_routes = routes
            .into_iter()
            .flatten()
            .filter_map(|route| text(route, "/name"))
            .collect();
        let (stable, other) = (
            text(canary, "/stableService"),
            text(canary, "/canaryService"),
        );
        let ping_pong = canary.get("pingPong").is_some_and(|block| !block.is_null());
        let (stable_service, canary_service) = if ping_pong && stable.is_none() && other.is_none() {
            // Only one of the two is the stable one, and which is in the status.
            let (ping, pong) = (
                text(canary, "/pingPong/pingService"),
                text(canary, "/pingPong/pongService"),
            );
            let stable_is_ping = rollout
                .pointer("/status/canary/stablePingPong")
                .and_then(Value::as_str)
                == Some("ping");
            if stable_is_ping {
                (ping, pong)
            } else {
                (pong, ping)
            }
        } else {
            (stable, other)
        };
        Self {
            stable_service,
            canary_service,
            ping_pong,
            managed_routes,
        }
    }

    /// The first field that traffic split by Service cannot do without, and that is not set.
    pub fn missing_service(&self) -> Option<&'static str> {
        match (&self.stable_service, &self.canary_service) {
            _ if self.ping_pong => None,
            (None, _) => Some("stableService"),
            (Some(_), None) => Some("canaryService"),
            (Some(_), Some(_)) => None,
        }
    }

    /// How its shares are recognised in a route.
    pub fn names<'a>(&'a self, rule: Option<&'a DestinationRule>) -> Names<'a> {
        Names {
            stable_service: self.stable_service.as_deref(),
            canary_service: self.canary_service.as_deref(),
            rule,
            managed_routes: &self.managed_routes,
        }
    }
}
