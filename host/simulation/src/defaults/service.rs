//! Services: types, ports, addresses.

use serde_json::{Value, json};

use crate::json;
use crate::server::Server;

/// Fills in a Service; addresses that it had are kept.
pub(super) fn apply(service: &mut Value, old: Option<&Value>, server: &mut Server) {
    let spec = json::child(service, "spec");
    json::default(spec, "type", "ClusterIP");
    json::default(spec, "sessionAffinity", "None");
    if json::text(spec, "/sessionAffinity") == "ClientIP" {
        let client = json::child(json::child(spec, "sessionAffinityConfig"), "clientIP");
        json::default(client, "timeoutSeconds", 10800);
    }
    let kind = json::text(spec, "/type").to_owned();
    let has_node_ports = kind == "NodePort" || kind == "LoadBalancer";
    if let Some(Value::Array(ports)) = spec.get_mut("ports") {
        for port in ports {
            json::default(port, "protocol", "TCP");
            if let Some(number) = port.get("port").cloned() {
                let target = port.get("targetPort");
                // The Go type's zero value means "not given".
                if target.is_none_or(|target| *target == json!(0) || *target == json!("")) {
                    json::set(port, "targetPort", number);
                }
            }
            if has_node_ports && port.get("nodePort").is_none() {
                let kept = old.and_then(|old| node_port_before(old, port));
                let number = kept.unwrap_or_else(|| json!(server.next_node_port()));
                json::set(port, "nodePort", number);
            }
        }
    }
    if kind == "ExternalName" {
        return;
    }
    json::default(spec, "internalTrafficPolicy", "Cluster");
    if has_node_ports {
        json::default(spec, "externalTrafficPolicy", "Cluster");
    }
    if kind == "LoadBalancer" {
        json::default(spec, "allocateLoadBalancerNodePorts", true);
    }
    let selects = spec.get("selector").is_some();
    if json::text(spec, "/clusterIP") == "None" && !selects {
        // Whoever writes its endpoints may use either family.
        json::default(spec, "ipFamilyPolicy", "RequireDualStack");
        json::default(spec, "ipFamilies", json!(["IPv4", "IPv6"]));
    }
    json::default(spec, "ipFamilyPolicy", "SingleStack");
    json::default(spec, "ipFamilies", json!(["IPv4"]));
    if json::text(spec, "/clusterIP").is_empty() {
        let kept = old
            .map(|old| json::text(old, "/spec/clusterIP"))
            .unwrap_or_default();
        let address = if kept.is_empty() {
            server.next_address()
        } else {
            kept.to_owned()
        };
        json::set(spec, "clusterIP", address);
    }
    let address = json::text(spec, "/clusterIP").to_owned();
    json::default(spec, "clusterIPs", json!([address]));
}

fn node_port_before(old: &Value, port: &Value) -> Option<Value> {
    json::entries(old, "/spec/ports")
        .iter()
        .find(|before| {
            before.get("port") == port.get("port") && before.get("name") == port.get("name")
        })
        .and_then(|before| before.get("nodePort").cloned())
}
