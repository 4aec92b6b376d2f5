use super::*;
use kube::api::{ListParams, Patch, PatchParams, PostParams};

/// A definition with most of what a schema can say.
pub(super) fn definition() -> Value {
    let properties = json!({
        "spec": {
            "type": "object",
            "required": ["colour"],
            "properties": {
                "colour": {"type": "string", "enum": ["teal", "ochre"]},
                "replicas": {"type": "integer", "format": "int32", "default": 1, "minimum": 0},
                "surge": {"x-kubernetes-int-or-string": true},
                "id": {"type": "string", "pattern": "^w-[0-9]+$", "maxLength": 5},
                "labels": {"type": "object", "additionalProperties": {"type": "string"}},
                "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
                "steps": {
                    "type": "array",
                    "maxItems": 2,
                    "items": {
                        "type": "object",
                        "properties": {
                            "weight": {"type": "integer", "maximum": 100},
                            "pause": {"type": "object", "properties": {"for": {"type": "string", "default": "10s"}}},
                        },
                    },
                },
                "note": {"type": "string", "nullable": true, "default": "none"},
            },
        },
        "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
    });
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "widgets.example.com"},
        "spec": {
            "group": "example.com",
            "scope": "Namespaced",
            "names": {"plural": "widgets", "singular": "widget", "kind": "Widget", "shortNames": ["wi"]},
            "versions": [{
                "name": "v1",
                "served": true,
                "storage": true,
                "subresources": {
                    "status": {},
                    "scale": {
                        "specReplicasPath": ".spec.replicas",
                        "statusReplicasPath": ".status.replicas",
                        "labelSelectorPath": ".status.selector",
                    },
                },
                "schema": {"openAPIV3Schema": {
                    "type": "object",
                    "required": ["spec"],
                    "properties": properties,
                }},
            }],
        },
    })
}

fn widget(name: &str, spec: Value) -> Value {
    json!({
        "apiVersion": "example.com/v1",
        "kind": "Widget",
        "metadata": {"name": name, "namespace": "default"},
        "spec": spec,
    })
}

fn with_definition() -> Simulation {
    let simulation = Simulation::new(1);
    simulation.register(definition()).unwrap();
    simulation
}

#[tokio::test(start_paused = true, flavor = "current_thread")]
async fn a_definition_is_served_as_soon_as_it_is_created() {
    use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
    let simulation = Simulation::new(1);
    let definitions: Api<CustomResourceDefinition> = Api::all(simulation.client());
    let created = definitions
        .create(&PostParams::default(), &typed(definition()))
        .await
        .unwrap();
    let conditions = created.status.unwrap().conditions.unwrap();
    assert!(
        conditions
            .iter()
            .any(|one| one.type_ == "Established" && one.status == "True")
    );

    let widgets = widgets(&simulation.client());
    widgets
        .create(
            &PostParams::default(),
            &typed(widget("one", json!({"colour": "teal"}))),
        )
        .await
        .unwrap();
    definitions
        .delete("widgets.example.com", &Default::default())
        .await
        .unwrap();
    assert!(widgets.list(&ListParams::default()).await.is_err());
    // A definition that returns does not bring its objects back.
    simulation.register(definition()).unwrap();
    assert!(
        widgets
            .list(&ListParams::default())
            .await
            .unwrap()
            .items
            .is_empty()
    );
}

#[tokio::test(start_paused = true, flavor = "current_thread")]
async fn unknown_fields_are_pruned_and_defaults_filled_in() {
    let simulation = with_definition();
    let spec = json!({
        "colour": "teal",
        "unknown": 1,
        "labels": {"a": "b"},
        "free": {"anything": [1, {"goes": true}]},
        "steps": [{"weight": 5, "extra": "x"}, {"pause": {}}],
        "surge": "25%",
        "note": null,
        "id": null,
    });
    let created = widgets(&simulation.client())
        .create(&PostParams::default(), &typed(widget("one", spec)))
        .await
        .unwrap();
    assert_eq!(
        created.data["spec"],
        json!({
            "colour": "teal",
            "replicas": 1,
            "labels": {"a": "b"},
            "free": {"anything": [1, {"goes": true}]},
            "steps": [{"weight": 5}, {"pause": {"for": "10s"}}],
            "surge": "25%",
            "note": null,
        })
    );
}

#[tokio::test(start_paused = true, flavor = "current_thread")]
async fn wrong_values_are_refused_by_field() {
    let cases = [
        (json!({}), "spec.colour: Required value"),
        (
            json!({"colour": "pink"}),
            "spec.colour: Unsupported value: \"pink\": supported values: \"teal\", \"ochre\"",
        ),
        (
            json!({"colour": "teal", "replicas": "two"}),
            "[spec.replicas: Invalid value: \"string\": spec.replicas in body must be of type integer: \"string\", \
             .spec.replicas: Invalid value: 0: .spec.replicas accessor error: two is of the type string, expected int64]",
        ),
        (
            json!({"colour": "teal", "replicas": -1}),
            "[spec.replicas: Invalid value: -1: spec.replicas in body should be greater than or equal to 0, \
             .spec.replicas: Invalid value: -1: should be a non-negative integer]",
        ),
        (
            json!({"colour": "teal", "steps": [{"weight": 101}]}),
            "spec.steps[0].weight: Invalid value: 101: spec.steps[0].weight in body should be less than or equal to 100",
        ),
        (
            json!({"colour": "teal", "steps": [{}, {}, {}]}),
            "spec.steps: Too many: 3: must have at most 2 items",
        ),
        (
            json!({"colour": "teal", "id": "x-1"}),
            "spec.id: Invalid value: \"x-1\": spec.id in body should match '^w-[0-9]+$'",
        ),
        (
            json!({"colour": "teal", "id": "w-1234"}),
            "spec.id: Too long: may not be more than 5 bytes",
        ),
        (
            json!({"colour": "teal", "labels": {"a": 1}}),
            "spec.labels.a: Invalid value: \"integer\": spec.labels.a in body must be of type string: \"integer\"",
        ),
        (
            json!({"colour": "teal", "surge": true}),
            "spec.surge: Invalid value: \"boolean\": spec.surge in body must be of type integer,string: \"boolean\"",
        ),
    ];
    let simulation = with_definition();
    for (spec, expected) in cases {
        let status = simulation.create(widget("one", spec.clone())).unwrap_err();
        assert_eq!(
            status.message,
            format!("Widget.example.com \"one\" is invalid: {expected}"),
            "{spec}"
        );
    }
}

#[tokio::test(start_paused = true, flavor = "current_thread")]
async fn status_is_written_through_its_subresource_alone_and_generation_ignores_it() {
    let simulation = with_definition();
    let mut wanted = widget("one", json!({"colour": "teal"}));
    wanted["status"] = json!({"phase": "made up"});
    simulation.create(wanted).unwrap();
    let widgets = widgets(&simulation.client());
    let params = PatchParams::default();

    let patch = Patch::Merge(json!({"status": {"phase": "Healthy"}, "spec": {"colour": "ochre"}}));
    let by_status = widgets.patch_status("one", &params, &patch).await.unwrap();
    assert_eq!(by_status.data["status"], json!({"phase": "Healthy"}));
    assert_eq!(by_status.data["spec"]["colour"], "teal");
    assert_eq!(by_status.metadata.generation, Some(1));

    let patch = Patch::Merge(json!({"status": {"phase": "Broken"}, "spec": {"colour": "ochre"}}));
    let by_main = widgets.patch("one", &params, &patch).await.unwrap();
    assert_eq!(by_main.data["status"], json!({"phase": "Healthy"}));
    assert_eq!(
        (
            by_main.data["spec"]["colour"].as_str(),
            by_main.metadata.generation
        ),
        (Some("ochre"), Some(2))
    );
}

#[tokio::test(start_paused = true, flavor = "current_thread")]
async fn an_update_without_a_version_is_refused() {
    let simulation = with_definition();
    simulation
        .create(widget("one", json!({"colour": "teal"})))
        .unwrap();
    let status = refused(
        widgets(&simulation.client())
            .replace(
                "one",
                &PostParams::default(),
                &typed(widget("one", json!({"colour": "ochre"}))),
            )
            .await,
    );
    assert!(
        status.message.contains("metadata.resourceVersion"),
        "{}",
        status.message
    );
}

#[tokio::test(start_paused = true, flavor = "current_thread")]
async fn strict_field_validation_names_unknown_fields() {
    let simulation = with_definition();
    let strict = PostParams {
        field_manager: None,
        dry_run: false,
    };
    let mut request = kube::core::Request::new("/apis/example.com/v1/namespaces/default/widgets")
        .create(
            &strict,
            widget("one", json!({"colour": "teal", "colour2": 1}))
                .to_string()
                .into_bytes(),
        )
        .unwrap();
    *request.uri_mut() = format!("{}&fieldValidation=Strict", request.uri())
        .parse()
        .unwrap();
    let status = refused(simulation.client().request::<Value>(request).await);
    assert_eq!(
        status.message,
        "Widget in version \"v1\" cannot be handled as a Widget: strict decoding error: unknown field \"spec.colour2\""
    );
}

#[tokio::test(start_paused = true, flavor = "current_thread")]
async fn strategic_patches_and_unknown_subresources_are_refused() {
    let simulation = with_definition();
    simulation
        .create(widget("one", json!({"colour": "teal"})))
        .unwrap();
    let widgets = widgets(&simulation.client());
    let patch = Patch::Strategic(json!({"spec": {"colour": "ochre"}}));
    let status = refused(widgets.patch("one", &PatchParams::default(), &patch).await);
    assert_eq!(status.code, 415);
    let status = refused(widgets.get_subresource("log", "one").await);
    assert_eq!(status.code, 404);
}

#[tokio::test(start_paused = true, flavor = "current_thread")]
async fn scale_reads_a_selector_from_status_text() {
    let simulation = with_definition();
    simulation
        .create(widget("one", json!({"colour": "teal", "replicas": 4})))
        .unwrap();
    let status = json!({"status": {"replicas": 3, "selector": "app=one"}});
    simulation
        .patch_status(
            &gvk("example.com", "v1", "Widget"),
            "default",
            "one",
            status,
        )
        .unwrap();
    let scale = widgets(&simulation.client())
        .get_scale("one")
        .await
        .unwrap();
    assert_eq!(scale.spec.unwrap().replicas, Some(4));
    let status = scale.status.unwrap();
    assert_eq!(
        (status.replicas, status.selector.as_deref()),
        (3, Some("app=one"))
    );
}

#[tokio::test(start_paused = true, flavor = "current_thread")]
async fn a_definition_that_makes_no_sense_is_refused_by_field() {
    let simulation = Simulation::new(1);
    let mut wrong = definition();
    wrong["metadata"]["name"] = json!("widgets.other.com");
    let status = simulation.create(wrong).unwrap_err();
    assert!(
        status.message.contains("metadata.name"),
        "{}",
        status.message
    );
    let mut wrong = definition();
    wrong["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]
        ["id"]["pattern"] = json!("(");
    let status = simulation.create(wrong).unwrap_err();
    assert!(
        status.message.contains("properties[id].pattern"),
        "{}",
        status.message
    );
}

#[tokio::test(start_paused = true, flavor = "current_thread")]
async fn a_simulation_begins_with_what_another_one_held() {
    let first = Simulation::new(1);
    first.register(definition()).unwrap();
    first
        .create(widget("blue", json!({"colour": "teal"})))
        .unwrap();
    let snapshot = first.snapshot();
    // What comes later is not in it.
    first
        .create(widget("late", json!({"colour": "ochre"})))
        .unwrap();

    let kind = GroupVersionKind::gvk("example.com", "v1", "Widget");
    let second = Simulation::builder().seed(2).snapshot(snapshot).build();
    let names = |simulation: &Simulation| -> Vec<Value> {
        let widgets = simulation.list(&kind, None);
        widgets
            .iter()
            .map(|widget| widget["metadata"]["name"].clone())
            .collect()
    };
    assert_eq!(names(&second), ["blue"]);
    let refusal = second
        .create(widget("red", json!({"colour": "red"})))
        .unwrap_err();
    assert!(refusal.to_string().contains("spec.colour"), "{refusal}");
    second.delete(&kind, "default", "blue").unwrap();
    assert_eq!(names(&first), ["blue", "late"]);

    // Nobody knows the past of such a cluster: who wants to go on from before has to list.
    let widgets: Api<DynamicObject> = Api::all_with(second.client(), &ApiResource::from_gvk(&kind));
    let watched = widgets.watch(&kube::api::WatchParams::default(), "1").await;
    let first_event = futures::StreamExt::next(&mut Box::pin(watched.unwrap())).await;
    assert!(
        matches!(&first_event, Some(Ok(kube::core::WatchEvent::Error(status))) if status.code == 410),
        "{first_event:?}"
    );
}
