use std::time::Duration;

use super::*;
use tokio::time::sleep;

use crate::Workloads;

/// Header and rows of what `kubectl get` would be sent.
async fn table(simulation: &Simulation, path: &str) -> (Vec<String>, Vec<Vec<Value>>) {
    let request = http::Request::get(path)
        .header(
            "accept",
            "application/json;as=Table;v=v1;g=meta.k8s.io,application/json",
        )
        .body(Vec::new())
        .unwrap();
    let table: Value = simulation.client().request(request).await.unwrap();
    assert_eq!(table["kind"], "Table");
    let shown: Vec<bool> = table["columnDefinitions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|column| column["priority"] == 0)
        .collect();
    let keep = |values: &Value, field: Option<&str>| -> Vec<Value> {
        values
            .as_array()
            .unwrap()
            .iter()
            .zip(&shown)
            .filter(|(_, shown)| **shown)
            .map(|(value, _)| field.map_or(value.clone(), |field| value[field].clone()))
            .collect()
    };
    let header = keep(&table["columnDefinitions"], Some("name"));
    let rows = table["rows"].as_array().unwrap();
    (
        header
            .iter()
            .map(|name| name.as_str().unwrap().to_owned())
            .collect(),
        rows.iter().map(|row| keep(&row["cells"], None)).collect(),
    )
}

#[tokio::test(start_paused = true, flavor = "current_thread")]
async fn built_in_kinds_show_their_usual_columns() {
    let simulation = Simulation::new(1);
    simulation.start_workloads(Workloads::default());
    simulation.create(replica_set("shop", 1)).unwrap();
    sleep(Duration::from_secs(125)).await;
    let (header, rows) = table(&simulation, "/apis/apps/v1/namespaces/default/replicasets").await;
    assert_eq!(header, ["Name", "Desired", "Current", "Ready", "Age"]);
    assert_eq!(
        rows,
        [[json!("shop"), json!(1), json!(1), json!(1), json!("2m5s")]]
    );
    let (header, rows) = table(&simulation, "/api/v1/namespaces/default/pods").await;
    assert_eq!(header, ["Name", "Ready", "Status", "Restarts", "Age"]);
    assert_eq!(rows[0][1..4], [json!("1/1"), json!("Running"), json!(0)]);
}

#[tokio::test(start_paused = true, flavor = "current_thread")]
async fn custom_kinds_show_the_columns_of_their_definition() {
    let simulation = Simulation::new(1);
    let mut definition = custom::definition();
    definition["spec"]["versions"][0]["additionalPrinterColumns"] = json!([
        {"name": "Colour", "type": "string", "jsonPath": ".spec.colour"},
        {"name": "Second", "type": "integer", "jsonPath": ".spec.steps[1].weight"},
        {"name": "Healthy", "type": "string", "jsonPath": ".status.conditions[?(@.type==\"Healthy\")].status"},
        {"name": "Noted", "type": "string", "jsonPath": ".metadata.annotations.example\\.com/note"},
        {"name": "Wide", "type": "string", "jsonPath": ".spec.id", "priority": 1},
        {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
    ]);
    simulation.register(definition).unwrap();
    simulation
        .create(json!({
            "apiVersion": "example.com/v1",
            "kind": "Widget",
            "metadata": {"name": "one", "annotations": {"example.com/note": "seen"}},
            "spec": {"colour": "teal", "steps": [{"weight": 5}, {"weight": 50}]},
        }))
        .unwrap();
    let widget = gvk("example.com", "v1", "Widget");
    let conditions =
        json!([{"type": "Other", "status": "False"}, {"type": "Healthy", "status": "True"}]);
    simulation
        .patch_status(
            &widget,
            "default",
            "one",
            json!({"status": {"conditions": conditions}}),
        )
        .unwrap();
    sleep(Duration::from_secs(3 * 3600 + 60)).await;
    let (header, rows) = table(&simulation, "/apis/example.com/v1/widgets").await;
    assert_eq!(
        header,
        ["Name", "Colour", "Second", "Healthy", "Noted", "Age"]
    );
    assert_eq!(
        rows,
        [[
            json!("one"),
            json!("teal"),
            json!(50),
            json!("True"),
            json!("seen"),
            json!("3h1m")
        ]]
    );
}
