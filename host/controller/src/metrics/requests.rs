//! Requests to the API server, and what it answered that could not be read (MET-012).

use std::fmt::Write as _;

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;
use sluice_cluster::Cluster;

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct RequestInfo {
    kind: String,
    namespace: String,
    name: String,
    verb: &'static str,
    status_code: Code,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct KindInfo {
    kind: String,
}

/// An HTTP status code as a label.
#[derive(Clone, Debug, Hash, PartialEq, Eq)]
struct Code(u16);

impl EncodeLabelValue for Code {
    fn encode(&self, encoder: &mut LabelValueEncoder) -> Result<(), std::fmt::Error> {
        write!(encoder, "{}", self.0)
    }
}

pub(super) fn register(cluster: &Cluster, registry: &mut Registry) {
    let requests = Family::<RequestInfo, Counter>::default();
    for (labels, count) in cluster.requests() {
        let labels = RequestInfo {
            kind: labels.kind,
            namespace: labels.namespace,
            name: labels.name,
            verb: labels.verb,
            status_code: Code(labels.status_code),
        };
        requests.get_or_create(&labels).inc_by(count);
    }
    registry.register(
        "controller_clientset_k8s_request",
        "Requests to the API server",
        requests,
    );
    let undecodable = Family::<KindInfo, Counter>::default();
    for (kind, count) in cluster.undecodable() {
        undecodable.get_or_create(&KindInfo { kind }).inc_by(count);
    }
    registry.register(
        "sluice_undecodable_objects",
        "Objects or fields that could not be read",
        undecodable,
    );
}
