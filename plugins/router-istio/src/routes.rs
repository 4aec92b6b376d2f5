//! Which routes of a VirtualService are meant, and whether they have what the Rollout needs.
//!
//! Reads only. Texts of errors are those of Argo Rollouts, which users and their tools know.

use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::Value;

use crate::config::{DestinationRule, TcpRoute, TlsRoute, VirtualService};

/// A list of routes in `spec` of a VirtualService.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    Http,
    Tls,
    Tcp,
}

impl Protocol {
    /// In the order in which they are looked at.
    pub const ALL: [Self; 3] = [Self::Http, Self::Tls, Self::Tcp];

    /// The name of the list.
    pub fn key(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Tls => "tls",
            Self::Tcp => "tcp",
        }
    }

    /// The protocol in messages.
    pub fn shown(self) -> &'static str {
        match self {
            Self::Http => "HTTP",
            Self::Tls => "TLS",
            Self::Tcp => "TCP",
        }
    }
}

/// What of a route matters here. Other fields are not looked at, and never touched.
#[derive(Debug, Default, Deserialize)]
pub struct Route {
    name: Option<String>,
    #[serde(rename = "match")]
    matches: Option<Vec<Match>>,
    route: Option<Vec<Destination>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Match {
    port: Option<i64>,
    sni_hosts: Option<Vec<String>>,
}

/// A share of a route.
#[derive(Debug, Default, Deserialize)]
pub struct Destination {
    #[serde(default)]
    destination: Target,
    weight: Option<f64>,
}

#[derive(Debug, Default, Deserialize)]
struct Target {
    host: Option<String>,
    subset: Option<String>,
    port: Option<Port>,
}

#[derive(Debug, Deserialize)]
struct Port {
    number: Option<u32>,
}

impl Route {
    /// Its name; empty if it has none.
    pub fn name(&self) -> &str {
        self.name.as_deref().unwrap_or_default()
    }

    /// Its shares.
    pub fn destinations(&self) -> &[Destination] {
        self.route.as_deref().unwrap_or_default()
    }

    /// The port that all its matches agree on, 0 if they name none; none if they differ.
    fn port(&self) -> Option<i64> {
        let ports: BTreeSet<i64> = self
            .matches
            .iter()
            .flatten()
            .map(|found| found.port.unwrap_or(0))
            .collect();
        (ports.len() <= 1).then(|| ports.first().copied().unwrap_or(0))
    }

    fn sni_hosts(&self) -> BTreeSet<&str> {
        self.matches
            .iter()
            .flatten()
            .flat_map(|found| found.sni_hosts.iter().flatten())
            .map(String::as_str)
            .collect()
    }
}

impl Destination {
    /// The first label of the host's name: the name of a Service. Empty when there is none.
    pub fn service(&self) -> &str {
        let host = self.destination.host.as_deref().unwrap_or_default();
        host.split_once('.').map_or(host, |(service, _)| service)
    }

    /// The subset; empty when there is none.
    pub fn subset(&self) -> &str {
        self.destination.subset.as_deref().unwrap_or_default()
    }

    /// The port; none when it is left to Istio.
    pub fn port(&self) -> Option<u32> {
        self.destination
            .port
            .as_ref()
            .and_then(|port| port.number)
            .filter(|number| *number > 0)
    }

    /// Its weight; 0 when there is none.
    pub fn weight(&self) -> f64 {
        self.weight.unwrap_or(0.0)
    }
}

/// The names by which the Rollout's shares are recognised in a route.
#[derive(Clone, Copy, Debug)]
pub struct Names<'a> {
    pub stable_service: Option<&'a str>,
    pub canary_service: Option<&'a str>,
    pub rule: Option<&'a DestinationRule>,
    /// Names of routes that are the Rollout's.
    pub managed_routes: &'a [String],
}

impl Names<'_> {
    /// Is this the canary's share?
    pub fn is_canary(&self, share: &Destination) -> bool {
        self.canary_service == Some(share.service())
            || self.rule.is_some_and(|rule| {
                !share.subset().is_empty() && share.subset() == rule.canary_subset_name
            })
    }

    /// Is this the stable set's share?
    pub fn is_stable(&self, share: &Destination) -> bool {
        self.stable_service == Some(share.service())
            || self.rule.is_some_and(|rule| {
                !share.subset().is_empty() && share.subset() == rule.stable_subset_name
            })
    }

    /// Is this a share with which the Rollout has nothing to do?
    pub fn is_left_alone(&self, share: &Destination) -> bool {
        self.rule
            .is_some_and(|rule| !share.subset().is_empty() && rule.leaves_alone(share.subset()))
    }

    fn is_managed(&self, route: &Route) -> bool {
        self.managed_routes.iter().any(|name| name == route.name())
    }
}

/// The routes of a protocol; none if the VirtualService has no such list.
///
/// # Errors
/// When they are not what Istio calls routes; says what is wrong.
pub fn read(object: &Value, protocol: Protocol) -> Option<Result<Vec<Route>, String>> {
    let list = object.get("spec")?.get(protocol.key())?.as_array()?;
    Some(
        list.iter()
            .map(|route| Route::deserialize(route).map_err(|error| error.to_string()))
            .collect(),
    )
}

/// The indices of the routes whose weights are the Rollout's, in order.
///
/// # Errors
/// Why there are none, or why they cannot be used.
pub fn selected(
    protocol: Protocol,
    routes: &[Route],
    reference: &VirtualService,
    names: Names<'_>,
) -> Result<BTreeSet<usize>, String> {
    match protocol {
        Protocol::Http => selected_http(
            routes,
            reference.routes.as_deref().unwrap_or_default(),
            names,
        ),
        Protocol::Tls => {
            let listed = reference.tls_routes.as_deref().unwrap_or_default();
            selected_by_port(
                protocol,
                "tlsRoutes",
                routes,
                listed,
                names,
                TlsRoute::matches,
            )
        }
        Protocol::Tcp => {
            let listed = reference.tcp_routes.as_deref().unwrap_or_default();
            selected_by_port(
                protocol,
                "tcpRoutes",
                routes,
                listed,
                names,
                TcpRoute::matches,
            )
        }
    }
}

fn selected_http(
    routes: &[Route],
    listed: &[String],
    names: Names<'_>,
) -> Result<BTreeSet<usize>, String> {
    let mut selected = BTreeSet::new();
    for name in listed {
        let index = routes
            .iter()
            .position(|route| route.name() == name)
            .ok_or_else(|| {
                format!("HTTP Route '{name}' is not found in the defined Virtual Service.")
            })?;
        selected.insert(index);
    }
    if listed.is_empty() {
        let unnamed = || routes.iter().position(|route| route.name().is_empty());
        selected.extend(if routes.len() == 1 {
            Some(0)
        } else {
            unnamed()
        });
    }
    check_shares(routes, &selected, names)?;

    let users: Vec<usize> = (0..)
        .zip(routes)
        .filter(|(_, route)| !names.is_managed(route))
        .map(|(i, _)| i)
        .collect();
    if listed.is_empty() && users.len() > 1 {
        return Err(one_route_only(Protocol::Http, "routes"));
    }
    if selected.is_empty() {
        // Its only route has a name that nobody listed. Argo Rollouts sets no weight then, and says nothing.
        selected.extend(users);
        check_shares(routes, &selected, names)?;
    }
    Ok(selected)
}

fn selected_by_port<L>(
    protocol: Protocol,
    field: &str,
    routes: &[Route],
    listed: &[L],
    names: Names<'_>,
    matches: impl Fn(&L, &Route) -> bool,
) -> Result<BTreeSet<usize>, String> {
    let mut selected = BTreeSet::new();
    for wanted in listed {
        let found = (0..)
            .zip(routes)
            .filter(|(_, route)| matches(wanted, route))
            .map(|(index, _)| index);
        let found: Vec<usize> = found.collect();
        if found.is_empty() {
            let protocol = protocol.shown();
            return Err(format!(
                "No matching {protocol} routes found in the defined Virtual Service."
            ));
        }
        selected.extend(found);
    }
    if listed.is_empty() && !routes.is_empty() {
        selected.insert(0);
    }
    check_shares(routes, &selected, names)?;
    if listed.is_empty() && routes.len() > 1 {
        return Err(one_route_only(protocol, field));
    }
    Ok(selected)
}

impl TlsRoute {
    fn matches(&self, route: &Route) -> bool {
        let (wanted, hosts) = (
            self.sni_hosts.as_deref().unwrap_or_default(),
            route.sni_hosts(),
        );
        route.port() == Some(self.port.unwrap_or(0))
            && wanted.len() == hosts.len()
            && hosts
                .iter()
                .all(|host| wanted.iter().any(|wanted| wanted == host))
    }
}

impl TcpRoute {
    fn matches(&self, route: &Route) -> bool {
        route.port() == Some(self.port.unwrap_or(0))
    }
}

fn one_route_only(protocol: Protocol, field: &str) -> String {
    let list = protocol.key();
    format!(
        "spec.{list}[] should be set in VirtualService and it must have exactly one route when omitting \
         spec.strategy.canary.trafficRouting.istio.virtualService.{field}"
    )
}

/// Every selected route must have a share for both sets.
fn check_shares(
    routes: &[Route],
    selected: &BTreeSet<usize>,
    names: Names<'_>,
) -> Result<(), String> {
    for route in selected.iter().filter_map(|index| routes.get(*index)) {
        let has = |wanted: &dyn Fn(&Destination) -> bool| route.destinations().iter().any(wanted);
        let missing = |what: String| Err(format!("{what} not found in route"));
        if let Some(rule) = names.rule {
            let (canary, stable) = (&rule.canary_subset_name, &rule.stable_subset_name);
            if !has(&|share| !canary.is_empty() && share.subset() == canary) {
                return missing(format!("Canary DestinationRule subset '{canary}'"));
            }
            if !has(&|share| !stable.is_empty() && share.subset() == stable) {
                return missing(format!("Stable DestinationRule subset '{stable}'"));
            }
        } else {
            let of = |service: Option<&str>| {
                has(&|share: &Destination| service == Some(share.service()))
            };
            if !of(names.canary_service) {
                return missing(format!(
                    "Canary Service '{}'",
                    names.canary_service.unwrap_or_default()
                ));
            }
            if !of(names.stable_service) {
                return missing(format!(
                    "Stable Service '{}'",
                    names.stable_service.unwrap_or_default()
                ));
            }
        }
    }
    Ok(())
}
