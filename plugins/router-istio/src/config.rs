//! `trafficRouting.istio` of a Rollout, as the user writes it.

use schemars::JsonSchema;
use serde::Deserialize;

/// Istio objects that shape the traffic.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Istio {
    /// The VirtualService whose routes split the traffic. Either this or virtualServices.
    pub virtual_service: Option<VirtualService>,
    /// The VirtualServices whose routes split the traffic. Either this or virtualService.
    pub virtual_services: Option<Vec<VirtualService>>,
    /// The DestinationRule whose subsets select the pods, when traffic is split by subset.
    pub destination_rule: Option<DestinationRule>,
}

/// A VirtualService, and which of its routes are meant.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct VirtualService {
    /// The name of the VirtualService; `name.namespace` if it is in another namespace than the Rollout.
    pub name: String,
    /// Names of HTTP routes. If omitted, the VirtualService must have a single route of this type.
    pub routes: Option<Vec<String>>,
    /// TLS routes. If omitted, the VirtualService must have a single route of this type.
    pub tls_routes: Option<Vec<TlsRoute>>,
    /// TCP routes. If omitted, the VirtualService must have a single route of this type.
    pub tcp_routes: Option<Vec<TcpRoute>>,
}

/// Which TLS routes of a VirtualService are meant: those for this port and these hosts.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TlsRoute {
    /// The port that the route matches.
    pub port: Option<i64>,
    /// All the SNI hosts that the route matches.
    pub sni_hosts: Option<Vec<String>>,
}

/// Which TCP routes of a VirtualService are meant: those for this port.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TcpRoute {
    /// The port that the route matches.
    pub port: Option<i64>,
}

/// A DestinationRule, and the subsets that are the Rollout's.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DestinationRule {
    /// The name of the DestinationRule, in the Rollout's namespace.
    pub name: String,
    /// The subset that gets the canary's pod template hash as a label.
    pub canary_subset_name: String,
    /// The subset that gets the stable set's pod template hash as a label.
    pub stable_subset_name: String,
    /// Subsets that the Rollout leaves alone, with the weight that they have.
    pub additional_subset_names: Option<Vec<String>>,
}

impl Istio {
    /// The VirtualServices; none when both or neither of the fields is set.
    pub fn virtual_services(&self) -> Option<&[VirtualService]> {
        match (&self.virtual_service, &self.virtual_services) {
            (Some(one), None) => Some(std::slice::from_ref(one)),
            (None, Some(several)) => Some(several),
            (Some(_), Some(_)) | (None, None) => None,
        }
    }

    /// Where the user wrote the names of the VirtualServices.
    pub fn name_field(&self) -> &'static str {
        if self.virtual_services.is_some() {
            "virtualServices.name"
        } else {
            "virtualService.name"
        }
    }
}

impl VirtualService {
    /// Namespace, if it is given, and name. A namespace has no dot, so it is what follows the last one.
    pub fn location(&self) -> (Option<&str>, &str) {
        let short = self
            .name
            .strip_suffix(".cluster.local")
            .unwrap_or(&self.name);
        match short.rsplit_once('.') {
            Some((name, namespace)) => (Some(namespace), name),
            None => (None, short),
        }
    }
}

impl DestinationRule {
    /// Is this one of the subsets that the Rollout leaves alone?
    pub fn leaves_alone(&self, subset: &str) -> bool {
        self.additional_subset_names
            .iter()
            .flatten()
            .any(|name| name == subset)
    }
}
