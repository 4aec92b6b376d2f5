//! The columns of each kind, as the API server's printers have them.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{age, human, path};
use crate::clock;
use crate::json;
use crate::kinds::Kind;
use crate::selectors::LabelSelector;

/// A column of a table.
pub(super) struct Column {
    name: String,
    kind: &'static str,
    format: &'static str,
    description: String,
    /// Shown only with `-o wide`, if above zero.
    priority: i64,
    cell: Cell,
}

/// Where a cell's value comes from.
enum Cell {
    Of(fn(&Value, Timestamp) -> Value),
    /// A path of a definition's printer column, and whether it is a time to be shown as an age.
    At(String, bool),
}

impl Column {
    fn new(name: &str, kind: &'static str, cell: fn(&Value, Timestamp) -> Value) -> Self {
        Self {
            name: name.to_owned(),
            kind,
            format: if name == "Name" { "name" } else { "" },
            description: String::new(),
            priority: 0,
            cell: Cell::Of(cell),
        }
    }

    fn wide(mut self) -> Self {
        self.priority = 1;
        self
    }

    /// What the table says of the column.
    pub(super) fn definition(&self) -> Value {
        json!({
            "name": self.name,
            "type": self.kind,
            "format": self.format,
            "description": self.description,
            "priority": self.priority,
        })
    }

    /// The column's value for an object.
    pub(super) fn cell(&self, object: &Value, now: Timestamp) -> Value {
        match &self.cell {
            Cell::Of(cell) => cell(object, now),
            Cell::At(path, is_time) => match path::first(object, path) {
                None | Some(Value::Null) => Value::Null,
                Some(found) if *is_time => json!(age(found.as_str().unwrap_or_default(), now)),
                Some(found @ (Value::Object(_) | Value::Array(_))) => json!(found.to_string()),
                Some(found) => found.clone(),
            },
        }
    }
}

/// The columns of a kind.
pub(super) fn of(kind: &Kind, version: &str) -> Vec<Column> {
    let name = Column::new("Name", "string", |object, _| {
        json!(json::text(object, "/metadata/name"))
    });
    let mut columns = vec![name];
    if kind.is_custom() {
        columns.extend(custom(kind, version));
        return columns;
    }
    let text = |name: &str, cell| Column::new(name, "string", cell);
    let count = |name: &str, cell| Column::new(name, "integer", cell);
    match (kind.group.as_str(), kind.kind.as_str()) {
        ("", "Pod") => columns.extend([
            text("Ready", |pod, _| json!(pod_ready(pod))),
            text("Status", |pod, _| json!(pod_status(pod))),
            count("Restarts", |pod, _| json!(pod_restarts(pod))),
            age_column(),
            text("IP", |pod, _| or_none(json::text(pod, "/status/podIP"))).wide(),
            text("Node", |pod, _| or_none(json::text(pod, "/spec/nodeName"))).wide(),
            text("Nominated Node", |pod, _| {
                or_none(json::text(pod, "/status/nominatedNodeName"))
            })
            .wide(),
            text("Readiness Gates", |pod, _| or_none(&readiness_gates(pod))).wide(),
        ]),
        ("apps", "ReplicaSet") => columns.extend([
            count("Desired", |set, _| number(set, "/spec/replicas")),
            count("Current", |set, _| number(set, "/status/replicas")),
            count("Ready", |set, _| number(set, "/status/readyReplicas")),
            age_column(),
            text("Containers", |set, _| json!(containers(set, "/name"))).wide(),
            text("Images", |set, _| json!(containers(set, "/image"))).wide(),
            text("Selector", |set, _| json!(selector(set))).wide(),
        ]),
        ("apps", "Deployment" | "StatefulSet") => columns.extend([
            text("Ready", |object, _| {
                json!(format!(
                    "{}/{}",
                    number(object, "/status/readyReplicas"),
                    number(object, "/spec/replicas")
                ))
            }),
            count("Up-to-date", |object, _| {
                number(object, "/status/updatedReplicas")
            }),
            count("Available", |object, _| {
                number(object, "/status/availableReplicas")
            }),
            age_column(),
            text("Containers", |object, _| json!(containers(object, "/name"))).wide(),
            text("Images", |object, _| json!(containers(object, "/image"))).wide(),
            text("Selector", |object, _| json!(selector(object))).wide(),
        ]),
        ("", "Service") => columns.extend([
            text("Type", |service, _| {
                json!(json::text(service, "/spec/type"))
            }),
            text("Cluster-IP", |service, _| {
                or_none(json::text(service, "/spec/clusterIP"))
            }),
            text("External-IP", |service, _| json!(external_address(service))),
            text("Port(s)", |service, _| json!(ports(service))),
            age_column(),
            text("Selector", |service, _| {
                let labels = service.pointer("/spec/selector").unwrap_or(&Value::Null);
                or_none(&LabelSelector::from_map(labels).to_string())
            })
            .wide(),
        ]),
        ("batch", "Job") => columns.extend([
            text("Status", |job, _| json!(job_status(job))),
            text("Completions", |job, _| {
                let wanted = json::number(job, "/spec/completions").unwrap_or(1);
                json!(format!("{}/{wanted}", number(job, "/status/succeeded")))
            }),
            text("Duration", |job, now| json!(job_duration(job, now))),
            age_column(),
        ]),
        ("", "Namespace") => columns.extend([
            text("Status", |namespace, _| {
                json!(json::text(namespace, "/status/phase"))
            }),
            age_column(),
        ]),
        ("", "ConfigMap") => columns.extend([
            count("Data", |map, _| {
                json!(size(map, "/data") + size(map, "/binaryData"))
            }),
            age_column(),
        ]),
        ("", "Secret") => columns.extend([
            text("Type", |secret, _| json!(json::text(secret, "/type"))),
            count("Data", |secret, _| json!(size(secret, "/data"))),
            age_column(),
        ]),
        ("", "Event") => {
            columns.clear();
            columns.extend([
                text("Last Seen", |event, now| json!(last_seen(event, now))),
                text("Type", |event, _| json!(json::text(event, "/type"))),
                text("Reason", |event, _| json!(json::text(event, "/reason"))),
                text("Object", |event, _| {
                    json!(format!(
                        "{}/{}",
                        json::text(event, "/involvedObject/kind").to_lowercase(),
                        json::text(event, "/involvedObject/name")
                    ))
                }),
                text("Message", |event, _| {
                    json!(json::text(event, "/message").trim())
                }),
                text("Name", |event, _| {
                    json!(json::text(event, "/metadata/name"))
                })
                .wide(),
            ]);
        }
        ("policy", "PodDisruptionBudget") => columns.extend([
            text("Min Available", |budget, _| {
                limit(budget, "/spec/minAvailable")
            }),
            text("Max Unavailable", |budget, _| {
                limit(budget, "/spec/maxUnavailable")
            }),
            count("Allowed Disruptions", |budget, _| {
                number(budget, "/status/disruptionsAllowed")
            }),
            age_column(),
        ]),
        ("coordination.k8s.io", "Lease") => columns.extend([
            text("Holder", |lease, _| {
                json!(json::text(lease, "/spec/holderIdentity"))
            }),
            age_column(),
        ]),
        ("discovery.k8s.io", "EndpointSlice") => columns.extend([
            text("AddressType", |slice, _| {
                json!(json::text(slice, "/addressType"))
            }),
            text("Ports", |slice, _| json!(slice_ports(slice))),
            text("Endpoints", |slice, _| json!(slice_addresses(slice))),
            age_column(),
        ]),
        ("apiextensions.k8s.io", "CustomResourceDefinition") => {
            columns.push(text("Created At", |object, _| {
                json!(json::text(object, "/metadata/creationTimestamp"))
            }));
        }
        _ => columns.push(age_column()),
    }
    columns
}

fn custom(kind: &Kind, version: &str) -> Vec<Column> {
    let columns = kind
        .version(version)
        .map(|version| version.columns.as_slice())
        .unwrap_or_default();
    if columns.is_empty() {
        return vec![age_column()];
    }
    columns
        .iter()
        .map(|column| Column {
            name: json::text(column, "/name").to_owned(),
            kind: match json::text(column, "/type") {
                "integer" => "integer",
                "number" => "number",
                "boolean" => "boolean",
                "date" => "date",
                _ => "string",
            },
            format: "",
            description: json::text(column, "/description").to_owned(),
            priority: json::number(column, "/priority").unwrap_or_default(),
            cell: Cell::At(
                json::text(column, "/jsonPath").to_owned(),
                json::text(column, "/type") == "date",
            ),
        })
        .collect()
}

fn age_column() -> Column {
    Column::new("Age", "string", |object, now| {
        json!(age(json::text(object, "/metadata/creationTimestamp"), now))
    })
}

fn number(object: &Value, pointer: &str) -> Value {
    json!(json::number(object, pointer).unwrap_or_default())
}

fn or_none(text: &str) -> Value {
    json!(if text.is_empty() { "<none>" } else { text })
}

fn size(object: &Value, pointer: &str) -> usize {
    object
        .pointer(pointer)
        .and_then(Value::as_object)
        .map_or(0, |map| map.len())
}

fn containers(object: &Value, field: &str) -> String {
    let texts: Vec<&str> = json::entries(object, "/spec/template/spec/containers")
        .iter()
        .map(|container| json::text(container, field))
        .collect();
    texts.join(",")
}

fn selector(object: &Value) -> String {
    object
        .pointer("/spec/selector")
        .and_then(LabelSelector::from_object)
        .unwrap_or_default()
        .to_string()
}

fn pod_ready(pod: &Value) -> String {
    let ready = json::entries(pod, "/status/containerStatuses")
        .iter()
        .filter(|status| json::flag(status, "/ready"))
        .count();
    format!("{ready}/{}", json::entries(pod, "/spec/containers").len())
}

fn pod_status(pod: &Value) -> String {
    if !json::text(pod, "/metadata/deletionTimestamp").is_empty() {
        return "Terminating".to_owned();
    }
    let reason = json::entries(pod, "/status/containerStatuses")
        .iter()
        .find_map(|status| {
            ["/state/waiting/reason", "/state/terminated/reason"]
                .into_iter()
                .map(|pointer| json::text(status, pointer))
                .find(|reason| !reason.is_empty())
        });
    reason
        .unwrap_or_else(|| json::text(pod, "/status/phase"))
        .to_owned()
}

fn pod_restarts(pod: &Value) -> i64 {
    json::entries(pod, "/status/containerStatuses")
        .iter()
        .filter_map(|status| json::number(status, "/restartCount"))
        .sum()
}

fn external_address(service: &Value) -> String {
    match json::text(service, "/spec/type") {
        "ExternalName" => json::text(service, "/spec/externalName").to_owned(),
        "LoadBalancer" => "<pending>".to_owned(),
        _ => "<none>".to_owned(),
    }
}

fn ports(service: &Value) -> String {
    let texts: Vec<String> = json::entries(service, "/spec/ports")
        .iter()
        .map(|port| {
            let node = json::number(port, "/nodePort")
                .map(|node| format!(":{node}"))
                .unwrap_or_default();
            format!(
                "{}{node}/{}",
                number(port, "/port"),
                json::text(port, "/protocol")
            )
        })
        .collect();
    if texts.is_empty() {
        "<none>".to_owned()
    } else {
        texts.join(",")
    }
}

fn job_status(job: &Value) -> &'static str {
    let holds = |wanted: &str| {
        json::entries(job, "/status/conditions")
            .iter()
            .any(|condition| {
                json::text(condition, "/type") == wanted
                    && json::text(condition, "/status") == "True"
            })
    };
    if holds("Complete") {
        "Complete"
    } else if holds("Failed") {
        "Failed"
    } else if json::flag(job, "/spec/suspend") {
        "Suspended"
    } else {
        "Running"
    }
}

fn job_duration(job: &Value, now: Timestamp) -> String {
    let Some(started) = clock::parse(json::text(job, "/status/startTime")) else {
        return String::new();
    };
    let ended = clock::parse(json::text(job, "/status/completionTime")).unwrap_or(now);
    human(ended.duration_since(started).as_secs().max(0))
}

fn last_seen(event: &Value, now: Timestamp) -> String {
    let at = [
        "/series/lastObservedTime",
        "/lastTimestamp",
        "/eventTime",
        "/metadata/creationTimestamp",
    ]
    .into_iter()
    .map(|pointer| json::text(event, pointer))
    .find(|text| !text.is_empty())
    .unwrap_or_default();
    age(at, now)
}

fn slice_ports(slice: &Value) -> String {
    let texts: Vec<String> = json::entries(slice, "/ports")
        .iter()
        .map(|port| number(port, "/port").to_string())
        .collect();
    if texts.is_empty() {
        "<unset>".to_owned()
    } else {
        texts.join(",")
    }
}

fn slice_addresses(slice: &Value) -> String {
    let addresses: Vec<&str> = json::entries(slice, "/endpoints")
        .iter()
        .flat_map(|endpoint| json::entries(endpoint, "/addresses"))
        .filter_map(Value::as_str)
        .collect();
    match addresses.as_slice() {
        [] => "<unset>".to_owned(),
        few if few.len() <= 3 => few.join(","),
        many => {
            let shown: Vec<&str> = many.iter().take(3).copied().collect();
            format!("{} + {} more...", shown.join(","), many.len() - 3)
        }
    }
}

/// How many of a pod's gates are open.
fn readiness_gates(pod: &Value) -> String {
    let gates = json::entries(pod, "/spec/readinessGates");
    if gates.is_empty() {
        return String::new();
    }
    let open = gates.iter().filter(|gate| {
        json::entries(pod, "/status/conditions")
            .iter()
            .any(|condition| {
                json::text(condition, "/type") == json::text(gate, "/conditionType")
                    && json::text(condition, "/status") == "True"
            })
    });
    format!("{}/{}", open.count(), gates.len())
}

/// A limit of a budget: a number or a percentage.
fn limit(budget: &Value, pointer: &str) -> Value {
    match budget.pointer(pointer) {
        Some(Value::Number(number)) => json!(number.to_string()),
        Some(Value::String(text)) => json!(text),
        _ => json!("N/A"),
    }
}
