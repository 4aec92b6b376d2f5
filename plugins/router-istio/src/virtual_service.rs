//! What becomes of a VirtualService: weights of the Rollout's shares, and the routes that the Rollout manages.
//!
//! Works on a copy of the object as JSON and touches nothing that it does not mean. Which routes are meant is decided in
//! `routes`; the patch is made by the SDK from what differs.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};
use sluice_plugin_sdk::Notice;
use sluice_plugin_sdk::router::{HeaderRoute, MirrorRoute, RequestMatch, TextMatch};

use crate::config::VirtualService;
use crate::routes::{self, Destination, Names, Protocol, Route};

/// The reason of events about a VirtualService; the space is Argo Rollouts'.
const UPDATED: &str = "Updated VirtualService";

/// The weights to write down.
#[derive(Clone, Debug)]
pub struct Weights<'a> {
    pub canary: u32,
    /// Before what shares that are left alone take.
    pub stable: u32,
    /// Services of experiments, with their weights.
    pub additional: Vec<(&'a str, u32)>,
}

/// The routes that the Rollout manages.
#[derive(Clone, Copy, Debug)]
pub struct Managed<'a> {
    /// In force now.
    pub header_routes: &'a [HeaderRoute],
    /// In force now.
    pub mirror_routes: &'a [MirrorRoute],
    /// `spec.host` of the DestinationRule, which is then the host of the canary.
    pub rule_host: Option<&'a str>,
}

/// A VirtualService as it should be.
#[derive(Debug, Default)]
pub struct Edited {
    pub notices: Vec<Notice>,
    pub shares: Shares,
}

/// What the routes send where, before they are changed.
#[derive(Clone, Copy, Debug, Default)]
pub struct Shares {
    /// The canary carries more than it should.
    pub canary_shrinks: bool,
    /// The stable set carries more than it should.
    pub stable_shrinks: bool,
    /// The stable set carries something.
    pub stable_serves: bool,
}

impl Shares {
    /// Those of further routes.
    pub fn and(&mut self, other: Self) {
        self.canary_shrinks |= other.canary_shrinks;
        self.stable_shrinks |= other.stable_shrinks;
        self.stable_serves |= other.stable_serves;
    }
}

/// Changes `object` (named `name` in events) to what is desired.
///
/// # Errors
/// When the object cannot be used; says what is wrong with it.
pub fn edit(
    object: &mut Value,
    name: &str,
    reference: &VirtualService,
    names: Names<'_>,
    weights: &Weights<'_>,
    managed: Managed<'_>,
) -> Result<Edited, String> {
    let mut edited = Edited::default();
    let mut reweighted = false;
    // The first route with our weights is what managed routes are modelled on.
    let mut model = None;
    for protocol in Protocol::ALL {
        let Some(routes) = routes::read(object, protocol) else {
            continue;
        };
        let routes = routes?;
        let selected = routes::selected(protocol, &routes, reference, names)?;
        for index in selected {
            let (Some(route), Some(shares)) =
                (routes.get(index), shares_mut(object, protocol, index))
            else {
                continue;
            };
            reweighted |= reweigh(shares, route, names, weights, &mut edited);
            if protocol == Protocol::Http && model.is_none() {
                model = Some(Value::Array(shares.clone()));
            }
        }
    }
    let routes_changed = manage(object, name, names, managed, model)?;
    edited.notices.extend(routes_changed);
    if reweighted {
        let message = format!(
            "VirtualService `{name}` set to desiredWeight '{}'",
            weights.canary
        );
        edited.notices.push(Notice::normal(UPDATED, message));
    }
    Ok(edited)
}

fn shares_mut(object: &mut Value, protocol: Protocol, index: usize) -> Option<&mut Vec<Value>> {
    object
        .get_mut("spec")?
        .get_mut(protocol.key())?
        .get_mut(index)?
        .get_mut("route")?
        .as_array_mut()
}

/// What becomes of one share of a route.
enum Fate {
    Weigh(u32),
    Keep,
    Drop,
}

/// Writes the weights into the shares of one route; says whether anything changed.
fn reweigh(
    shares: &mut Vec<Value>,
    route: &Route,
    names: Names<'_>,
    weights: &Weights<'_>,
    edited: &mut Edited,
) -> bool {
    let left_alone = |share: &&Destination| {
        names.is_left_alone(share) && !names.is_canary(share) && !names.is_stable(share)
    };
    let taken: f64 = route
        .destinations()
        .iter()
        .filter(left_alone)
        .map(Destination::weight)
        .sum();
    let stable = weights.stable.saturating_sub(whole(taken));
    let mut missing: BTreeSet<(&str, u32)> = weights.additional.iter().copied().collect();

    let mut fates = Vec::with_capacity(shares.len());
    for share in route.destinations() {
        fates.push(if share.service().is_empty() {
            Fate::Keep
        } else if names.is_canary(share) {
            edited.shares.canary_shrinks |= share.weight() > f64::from(weights.canary);
            Fate::Weigh(weights.canary)
        } else if names.is_stable(share) {
            edited.shares.stable_shrinks |= share.weight() > f64::from(stable);
            edited.shares.stable_serves |= share.weight() > 0.0;
            Fate::Weigh(stable)
        } else if let Some(found) = missing
            .iter()
            .find(|(service, _)| *service == share.service())
            .copied()
        {
            missing.remove(&found);
            Fate::Weigh(found.1)
        } else if names.is_left_alone(share) || share.weight() == 0.0 {
            Fate::Keep
        } else {
            Fate::Drop
        });
    }

    let mut changed = !missing.is_empty();
    let mut fates = fates.into_iter();
    shares.retain_mut(|share| match fates.next() {
        Some(Fate::Weigh(weight)) => {
            changed |= set_weight(share, weight);
            true
        }
        Some(Fate::Drop) => {
            changed = true;
            false
        }
        Some(Fate::Keep) | None => true,
    });
    // In order of their names, so that every route and every pass has the same.
    shares.extend(
        missing
            .into_iter()
            .map(|(host, weight)| json!({"destination": {"host": host}, "weight": weight})),
    );
    changed
}

/// A weight as a whole number; Istio has no others, and what is not one is cut off.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "clamped to the range first"
)]
fn whole(weight: f64) -> u32 {
    weight.clamp(0.0, f64::from(u32::MAX)) as u32
}

fn set_weight(share: &mut Value, weight: u32) -> bool {
    let now = share.get("weight").and_then(Value::as_f64).unwrap_or(0.0);
    if now == f64::from(weight) {
        return false;
    }
    if let Some(fields) = share.as_object_mut() {
        fields.insert("weight".to_owned(), weight.into());
    }
    true
}

/// Puts the managed routes that are in force on top, in order of precedence, and takes out those that are not.
fn manage(
    object: &mut Value,
    name: &str,
    names: Names<'_>,
    managed: Managed<'_>,
    model: Option<Value>,
) -> Result<Vec<Notice>, String> {
    let in_force = managed.header_routes.len() + managed.mirror_routes.len();
    let Some(list) = object
        .get_mut("spec")
        .and_then(|spec| spec.get_mut("http"))
        .and_then(Value::as_array_mut)
    else {
        return if in_force == 0 {
            Ok(Vec::new())
        } else {
            Err("spec.http not found".to_owned())
        };
    };
    let ours = |route: &Value| {
        let name = route
            .get("name")
            .and_then(Value::as_str)
            .unwrap_or_default();
        names.managed_routes.iter().any(|managed| managed == name)
            || managed.header_routes.iter().any(|route| route.name == name)
            || managed.mirror_routes.iter().any(|route| route.name == name)
    };
    let (mut old, users): (Vec<Value>, Vec<Value>) =
        std::mem::take(list).into_iter().partition(ours);

    let mut notices = Vec::new();
    let mut current = Vec::new();
    let event =
        |message: String| Notice::normal(UPDATED, format!("VirtualService `{name}` {message}"));
    for wanted in managed.header_routes {
        let before = take_named(&mut old, &wanted.name);
        let route = header_route(before.as_ref(), wanted, names, managed, model.as_ref());
        if before.as_ref() != Some(&route) {
            notices.push(event(format!("set headerRoute '{}'", wanted.name)));
        }
        current.push(route);
    }
    for wanted in managed.mirror_routes {
        let before = take_named(&mut old, &wanted.name);
        let route = mirror_route(before.as_ref(), wanted, names, managed, model.as_ref());
        // Weights follow those of the modelled route, which has its own event.
        if before.as_ref().map(without_shares) != Some(without_shares(&route)) {
            notices.push(event(format!("set mirrorRoute '{}'", wanted.name)));
        }
        current.push(route);
    }
    // Named in the order in which Argo Rollouts would have removed them, one by one or all.
    if !old.is_empty() && current.is_empty() {
        notices.push(event("removed all managed routes.".to_owned()));
    } else {
        notices.extend(old.iter().map(|route| {
            let kind = if route.get("mirror").is_some() {
                "mirrorRoute"
            } else {
                "headerRoute"
            };
            event(format!(
                "set {kind} '{}'",
                route
                    .get("name")
                    .and_then(Value::as_str)
                    .unwrap_or_default()
            ))
        }));
    }
    current.sort_by_key(|route| {
        let name = route
            .get("name")
            .and_then(Value::as_str)
            .unwrap_or_default();
        names
            .managed_routes
            .iter()
            .position(|managed| managed == name)
            .unwrap_or(usize::MAX)
    });
    *list = current.into_iter().chain(users).collect();
    Ok(notices)
}

fn take_named(routes: &mut Vec<Value>, name: &str) -> Option<Value> {
    let index = routes
        .iter()
        .position(|route| route.get("name").and_then(Value::as_str) == Some(name))?;
    Some(routes.remove(index))
}

fn without_shares(route: &Value) -> Value {
    let mut route = route.clone();
    if let Some(fields) = route.as_object_mut() {
        fields.remove("route");
    }
    route
}

/// All requests that match go to the canary.
fn header_route(
    before: Option<&Value>,
    wanted: &HeaderRoute,
    names: Names<'_>,
    managed: Managed<'_>,
    model: Option<&Value>,
) -> Value {
    let matches: Vec<Value> = wanted
        .matches
        .iter()
        .map(|header| json!({"headers": {header.name.as_str(): text_match(&header.value)}}))
        .collect();
    let canary = json!({"destination": canary_target(names, managed, model), "weight": 100});
    let mut route = kept_fields(before);
    route.insert("name".to_owned(), wanted.name.as_str().into());
    route.insert("match".to_owned(), matches.into());
    route.insert("route".to_owned(), json!([canary]));
    Value::Object(route)
}

/// Requests that match go where all go, and a copy of them to the canary.
fn mirror_route(
    before: Option<&Value>,
    wanted: &MirrorRoute,
    names: Names<'_>,
    managed: Managed<'_>,
    model: Option<&Value>,
) -> Value {
    let matches: Vec<Value> = wanted.matches.iter().map(request_match).collect();
    let mut route = kept_fields(before);
    route.insert("name".to_owned(), wanted.name.as_str().into());
    route.insert("match".to_owned(), matches.into());
    route.insert(
        "route".to_owned(),
        model.cloned().unwrap_or_else(|| json!([])),
    );
    route.insert("mirror".to_owned(), canary_target(names, managed, model));
    let percentage = wanted.percentage.unwrap_or(100);
    // What another client wrote as 50.0 is as good.
    let as_it_is = route
        .get("mirrorPercentage")
        .filter(|kept| kept.get("value").and_then(Value::as_f64) == Some(f64::from(percentage)));
    if as_it_is.is_none() {
        route.insert("mirrorPercentage".to_owned(), json!({"value": percentage}));
    }
    Value::Object(route)
}

fn kept_fields(before: Option<&Value>) -> Map<String, Value> {
    before
        .and_then(Value::as_object)
        .cloned()
        .unwrap_or_default()
}

/// The canary's pods: by subset of the rule's host, or by Service; at the port of the modelled route's first share.
fn canary_target(names: Names<'_>, managed: Managed<'_>, model: Option<&Value>) -> Value {
    let host = managed
        .rule_host
        .or(names.canary_service)
        .unwrap_or_default();
    let mut target = Map::new();
    target.insert("host".to_owned(), host.into());
    let first = model
        .and_then(|shares| shares.get(0))
        .map(<Destination as serde::Deserialize>::deserialize);
    if let Some(Ok(Some(port))) = first.map(|share| share.map(|share| share.port())) {
        target.insert("port".to_owned(), json!({"number": port}));
    }
    if let Some(rule) = names.rule {
        target.insert("subset".to_owned(), rule.canary_subset_name.as_str().into());
    }
    Value::Object(target)
}

fn request_match(wanted: &RequestMatch) -> Value {
    let mut found = Map::new();
    if let Some(method) = &wanted.method {
        found.insert("method".to_owned(), text_match(method));
    }
    if let Some(path) = &wanted.path {
        found.insert("uri".to_owned(), text_match(path));
    }
    if !wanted.headers.is_empty() {
        let headers = wanted
            .headers
            .iter()
            .map(|header| (header.name.clone(), text_match(&header.value)));
        found.insert("headers".to_owned(), Value::Object(headers.collect()));
    }
    Value::Object(found)
}

fn text_match(wanted: &TextMatch) -> Value {
    match wanted {
        TextMatch::Exact(text) => json!({"exact": text}),
        TextMatch::Prefix(text) => json!({"prefix": text}),
        TextMatch::Regex(text) => json!({"regex": text}),
    }
}
