//! What each call answers: which objects are needed, which changes are made to them and in which order, what is an error.

use std::collections::BTreeMap;

use serde_json::Value;
use sluice_plugin_sdk::router::{Checked, Plan, Reply, Traffic, Usable};
use sluice_plugin_sdk::{
    Change, Context, Effects, Notice, Object, PluginError, Verification, VerificationState,
};

use crate::config::{Istio, VirtualService};
use crate::destination_rule::{self, Hashes};
use crate::objects::{Found, Objects};
use crate::rollout::Canary;
use crate::routes::{self, Names, Protocol};
use crate::switch::{Around, Switch};
use crate::virtual_service::{self, Edited, Managed, Shares, Weights};

/// The event of a DestinationRule that waits for pods.
const DELAYED: &str = "DestinationRuleDelayed";
const SERVICES_NEEDED: &str =
    "Canary service and Stable service must to be set to use Traffic Routing";
const NO_ROUTES: &str =
    "Unable to get any of the HTTP, TCP or TLS routes for the Istio VirtualService";

/// Answers `check`.
pub fn check(context: &Context, config: &Istio) -> Result<Checked, PluginError> {
    let references = virtual_services(config)?;
    let canary = Canary::of(&context.subject_value()?);
    if let Some(field) = canary
        .missing_service()
        .filter(|_| config.destination_rule.is_none())
    {
        return Err(PluginError::invalid_value(
            &format!("spec.strategy.canary.{field}"),
            "",
            SERVICES_NEEDED,
        ));
    }

    let mut objects = Objects::new(context)?;
    let found: Vec<_> = references
        .iter()
        .map(|reference| (reference, objects.virtual_service(reference)))
        .collect();
    if let Some(needs) = objects.needs() {
        return Ok(Checked::More(needs));
    }
    let names = canary.names(config.destination_rule.as_ref());
    for (reference, found) in found {
        let name = reference.location().1;
        // A missing object is the user's to create, and is watched meanwhile.
        let invalid = |why: &str| {
            PluginError::invalid_value(config.name_field(), name, why).watching(objects.watch())
        };
        match found {
            Found::Pending => {}
            Found::Some(object) => {
                check_object(&object.value()?, reference, names).map_err(|why| invalid(&why))?
            }
            Found::None | Found::NotServed(_) => {
                return Err(invalid(&objects.not_found("virtualservices", name, &found)));
            }
            Found::Forbidden(why) => {
                return Err(PluginError::retry("Forbidden", why).watching(objects.watch()));
            }
        }
    }
    Ok(Checked::Usable(Usable {
        watch: objects.into_watch(),
    }))
}

/// Answers `reconcile` with traffic.
pub fn reconcile(
    context: &Context,
    config: &Istio,
    desired: &Traffic,
) -> Result<Reply, PluginError> {
    let references = virtual_services(config)?;
    let rule = config.destination_rule.as_ref();
    let mut objects = Objects::new(context)?;
    let found: Vec<_> = references
        .iter()
        .map(|reference| (reference, objects.virtual_service(reference)))
        .collect();
    let found_rule = rule.map(|rule| (rule, objects.destination_rule(&rule.name)));
    let marked = objects.marked();
    if let Some(needs) = objects.needs() {
        return Ok(Reply::More(needs));
    }

    let rule_object = match found_rule {
        Some((rule, found)) => Some((
            rule,
            objects.existing("DestinationRule", "destinationrules", &rule.name, found)?,
        )),
        None => None,
    };
    let rule_value = rule_object.map(|(_, object)| object.value()).transpose()?;
    let names = Names {
        stable_service: desired.stable.service.as_deref(),
        canary_service: desired.canary.service.as_deref(),
        rule,
        managed_routes: &desired.managed_routes,
    };
    let additional = || {
        desired
            .additional
            .iter()
            .filter_map(|share| Some((share.service.as_deref()?, share)))
    };
    let weights = Weights {
        canary: desired.canary.weight,
        stable: desired.stable.weight,
        additional: additional()
            .map(|(service, share)| (service, share.weight))
            .collect(),
    };
    let managed = Managed {
        header_routes: &desired.header_routes,
        mirror_routes: &desired.mirror_routes,
        rule_host: rule_value
            .as_ref()
            .and_then(|rule| rule.pointer("/spec/host"))
            .and_then(Value::as_str),
    };

    let mut services = Edits::default();
    for (reference, found) in found {
        let name = reference.location().1;
        let object = objects.existing("VirtualService", "virtualservices", name, found)?;
        services
            .edit(object, |value| {
                virtual_service::edit(value, name, reference, names, &weights, managed)
            })?
            .map_err(|why| {
                PluginError::retry("InvalidVirtualService", why).watching(objects.watch())
            })?;
    }
    let reason = format!(
        "send {} of {} to the canary",
        desired.canary.weight, desired.total_weight
    );
    let shifts = services.changes(&reason)?;

    let mut effects = Effects::none();
    let mut verification = Verification {
        state: VerificationState::NotSupported,
        why: String::new(),
    };
    if let (Some((rule, object)), Some(before)) = (rule_object, &rule_value) {
        let hashes = Hashes {
            canary: desired.canary.pod_hash.as_deref(),
            stable: desired.stable.pod_hash.as_deref(),
            additional: additional()
                .map(|(service, share)| (service, share.pod_hash.as_deref()))
                .collect(),
        };
        let switch = Switch {
            object,
            before,
            rule,
            hashes,
            rollout: &context.subject.name,
        };
        let shares = services.shares;
        let around = match switch.waits(desired, shares) {
            None => switch.around(shares)?,
            // The canary's subset waits for its pods. Its share may leave it meanwhile, for a stable subset that selects what
            // it is to select: after a promotion that was the set before, and one that was made anew selects everything.
            // No label comes without the weights that are wanted: whoever asked would take them for applied.
            Some(waits) => {
                let leaves = shares.canary_shrinks && !shares.stable_shrinks;
                let ready = !waits.stable && (leaves || shifts.is_empty());
                let around = if ready {
                    switch.stable_alone()?
                } else {
                    Around::default()
                };
                if !ready || (around.first.is_none() && shifts.is_empty()) {
                    // Nothing is wrong, so it is no warning.
                    let told = Notice::normal(DELAYED, waits.why.clone());
                    return Err(PluginError::retry("ReplicaSetNotAvailable", waits.why)
                        .watching(objects.watch())
                        .noticing(told));
                }
                verification = Verification {
                    state: VerificationState::Pending,
                    why: waits.why,
                };
                around
            }
        };
        effects.changes = around
            .first
            .into_iter()
            .chain(shifts)
            .chain(around.last)
            .collect();
        effects.notices = around.notice.into_iter().chain(services.notices).collect();
    } else {
        effects.changes = shifts;
        effects.notices = services.notices;
    }
    let kept = rule.map(|rule| rule.name.as_str());
    let orphans = marked
        .into_iter()
        .filter(|object| Some(object.key.name.as_str()) != kept);
    effects.changes.extend(released_rules(context, orphans)?);
    effects.watch = objects.into_watch();
    Ok(Reply::Done(Plan {
        verification,
        ..Plan::unverified(effects)
    }))
}

/// Answers `reconcile` without traffic.
pub fn release(context: &Context, config: Option<&Istio>) -> Result<Reply, PluginError> {
    let references = config.and_then(Istio::virtual_services).unwrap_or_default();
    let rule = config.and_then(|config| config.destination_rule.as_ref());
    let mut objects = Objects::new(context)?;
    let found: Vec<_> = references
        .iter()
        .map(|reference| (reference, objects.virtual_service(reference)))
        .collect();
    let found_rule = rule.map(|rule| objects.destination_rule(&rule.name));
    let mut rules: BTreeMap<&str, &Object> = objects
        .marked()
        .into_iter()
        .map(|rule| (rule.key.name.as_str(), rule))
        .collect();
    if let Some(needs) = objects.needs() {
        return Ok(Reply::More(needs));
    }

    let canary = Canary::of(&context.subject_value()?);
    let names = canary.names(rule);
    let weights = Weights {
        canary: 0,
        stable: 100,
        additional: Vec::new(),
    };
    let managed = Managed {
        header_routes: &[],
        mirror_routes: &[],
        rule_host: None,
    };
    let mut services = Edits::default();
    for (reference, found) in found {
        // What is gone or cannot be understood holds nothing that could be released.
        if let Found::Some(object) = found {
            let name = reference.location().1;
            let edited = services.edit(object, |value| {
                virtual_service::edit(value, name, reference, names, &weights, managed)
            })?;
            if let Err(why) = edited {
                sluice_plugin_sdk::log(
                    sluice_plugin_sdk::Level::Warn,
                    &why,
                    &[("virtualService", name)],
                );
            }
        }
    }
    if let Some(Found::Some(object)) = found_rule {
        rules.insert(object.key.name.as_str(), object);
    }
    let mut changes = services.changes("release the VirtualService")?;
    changes.extend(released_rules(context, rules.into_values())?);
    let effects = Effects {
        changes,
        notices: services.notices,
        watch: objects.into_watch(),
        again_after: None,
    };
    Ok(Reply::Done(Plan::unverified(effects)))
}

/// Exactly one of the two fields names them.
fn virtual_services(config: &Istio) -> Result<&[VirtualService], PluginError> {
    config.virtual_services().ok_or_else(|| {
        PluginError::internal(
            "",
            "either VirtualService or VirtualServices must be configured",
        )
    })
}

fn check_object(
    object: &Value,
    reference: &VirtualService,
    names: Names<'_>,
) -> Result<(), String> {
    let mut any = false;
    for protocol in Protocol::ALL {
        let Some(routes) = routes::read(object, protocol) else {
            continue;
        };
        any = true;
        let shown = protocol.shown();
        let routes =
            routes.map_err(|_| format!("Unable to get {shown} routes for Istio VirtualService"))?;
        routes::selected(protocol, &routes, reference, names).map_err(|why| {
            format!("Istio VirtualService has invalid {shown} routes. Error: {why}")
        })?;
    }
    if any {
        Ok(())
    } else {
        Err(NO_ROUTES.to_owned())
    }
}

/// Marks of ours are taken off these rules.
fn released_rules<'a>(
    context: &Context,
    rules: impl Iterator<Item = &'a Object>,
) -> Result<Vec<Change>, PluginError> {
    let mut changes = Vec::new();
    for object in rules {
        let mut value = object.value()?;
        destination_rule::release(&mut value, &context.subject.name);
        changes.extend(Change::patching(
            object,
            &value,
            "release the DestinationRule",
        )?);
    }
    Ok(changes)
}

/// Copies of VirtualServices as they should be. Two references may mean the same object.
#[derive(Default)]
struct Edits<'a> {
    objects: BTreeMap<(Option<&'a str>, &'a str), (&'a Object, Value)>,
    notices: Vec<Notice>,
    shares: Shares,
}

impl<'a> Edits<'a> {
    /// Edits the copy of this object; an error of the edit leaves it as it was.
    fn edit(
        &mut self,
        object: &'a Object,
        edit: impl FnOnce(&mut Value) -> Result<Edited, String>,
    ) -> Result<Result<(), String>, PluginError> {
        let key = (object.key.namespace.as_deref(), object.key.name.as_str());
        let mut value = match self.objects.get(&key) {
            Some((_, value)) => value.clone(),
            None => object.value()?,
        };
        Ok(edit(&mut value).map(|edited| {
            self.notices.extend(edited.notices);
            self.shares.and(edited.shares);
            self.objects.insert(key, (object, value));
        }))
    }

    fn changes(&self, reason: &str) -> Result<Vec<Change>, PluginError> {
        let mut changes = Vec::new();
        for (object, value) in self.objects.values() {
            changes.extend(Change::patching(object, value, reason)?);
        }
        Ok(changes)
    }
}
