//! Kinds that a definition brings: pruning, defaults, validation, and the life of the definition itself.

use anyhow::Result;
use serde_json::{Value, json};

use super::ground::{Ground, MERGE, STRATEGIC, entries, text};

pub const WIDGETS: &str = "contract.example.com/v1/widgets";
const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";

/// A definition with most of what a schema can say.
fn definition(plural: &str, kind: &str) -> Value {
    let spec = json!({
        "type": "object",
        "required": ["colour"],
        "properties": {
            "colour": {"type": "string", "enum": ["teal", "ochre"]},
            "replicas": {"type": "integer", "format": "int32", "default": 1, "minimum": 0, "maximum": 100},
            "surge": {"x-kubernetes-int-or-string": true},
            "id": {"type": "string", "pattern": "^w-[0-9]+$", "maxLength": 5},
            "labels": {"type": "object", "additionalProperties": {"type": "string"}},
            "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
            "note": {"type": "string", "nullable": true, "default": "none"},
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
            "ports": {
                "type": "array",
                "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": ["name"],
                "items": {"type": "object", "required": ["name"], "properties": {"name": {"type": "string"}, "number": {"type": "integer"}}},
            },
            "since": {"type": "string", "format": "date-time"},
            "fixed": {"type": "string", "maxLength": 10, "x-kubernetes-validations": [{"rule": "self == oldSelf", "message": "fixed is immutable"}]},
        },
    });
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("{plural}.contract.example.com")},
        "spec": {
            "group": "contract.example.com",
            "scope": "Namespaced",
            "names": {"plural": plural, "kind": kind},
            "versions": [{
                "name": "v1",
                "served": true,
                "storage": true,
                "additionalPrinterColumns": [
                    {"name": "Colour", "type": "string", "jsonPath": ".spec.colour"},
                    {"name": "Wanted", "type": "integer", "jsonPath": ".spec.replicas"},
                    {"name": "Notes", "type": "string", "jsonPath": ".spec.note", "priority": 1},
                    {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
                ],
                "subresources": {
                    "status": {},
                    "scale": {"specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas", "labelSelectorPath": ".status.selector"},
                },
                "schema": {"openAPIV3Schema": {
                    "type": "object",
                    "required": ["spec"],
                    "properties": {"spec": spec, "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}},
                }},
            }],
        },
    })
}

pub fn widget(name: &str, spec: Value) -> Value {
    json!({"apiVersion": "contract.example.com/v1", "kind": "Widget", "metadata": {"name": name}, "spec": spec})
}

/// Has the kind served that contracts share.
pub async fn serve(on: &Ground) -> Result<()> {
    let made = on
        .post(DEFINITIONS, &definition("widgets", "Widget"))
        .await?;
    if made.code != 409 {
        made.success()?;
    }
    established(on, "widgets").await
}

async fn established(on: &Ground, plural: &str) -> Result<()> {
    on.until("a kind that is served", async || {
        let read = on
            .get(&format!("{DEFINITIONS}/{plural}.contract.example.com"))
            .await?;
        let served = entries(&read.body, "/status/conditions")
            .iter()
            .any(|one| text(one, "/type") == "Established" && text(one, "/status") == "True");
        let listed = on
            .get(&format!("/apis/contract.example.com/v1/{plural}"))
            .await?;
        Ok((served && listed.code == 200).then_some(()))
    })
    .await
}

pub async fn unknown_fields_are_pruned_and_defaults_set(on: &Ground) -> Result<()> {
    let made = on
        .create(
            WIDGETS,
            &widget(
                "a",
                json!({
                    "colour": "teal", "size": 7, "note": null, "surge": "25%",
                    "free": {"anything": {"goes": true}},
                    "labels": {"x": "y"},
                    "steps": [{"weight": 5, "odd": 1}, {"pause": {}}],
                }),
            ),
        )
        .await?;
    on.eq(
        "the spec",
        made["spec"].clone(),
        json!({
            "colour": "teal", "replicas": 1, "note": null, "surge": "25%",
            "free": {"anything": {"goes": true}},
            "labels": {"x": "y"},
            "steps": [{"weight": 5}, {"pause": {"for": "10s"}}],
        }),
    );
    on.eq(
        "a generation",
        made["metadata"]["generation"].clone(),
        json!(1),
    );
    let mut odd = widget("b", json!({"colour": "teal"}));
    odd["extra"] = json!(1);
    odd["metadata"]["odd"] = json!(1);
    let made = on.create(WIDGETS, &odd).await?;
    on.eq("at the root", made.get("extra"), None);
    on.eq("in metadata", made["metadata"].get("odd"), None);
    on.eq(
        "a missing note has its default",
        made["spec"]["note"].clone(),
        json!("none"),
    );
    let patched = on
        .merge(WIDGETS, "b", &json!({"spec": {"replicas": null}}))
        .await?;
    on.eq(
        "a default returns",
        patched["spec"]["replicas"].clone(),
        json!(1),
    );
    let patched = on
        .merge(WIDGETS, "b", &json!({"spec": {"nothing": 1}}))
        .await?;
    on.eq(
        "what is pruned writes nothing",
        patched["metadata"]["resourceVersion"].clone(),
        made["metadata"]["resourceVersion"].clone(),
    );
    Ok(())
}

pub async fn wrong_values_are_refused_by_field(on: &Ground) -> Result<()> {
    for (what, spec, words) in [
        ("a missing field", json!({}), "spec.colour: Required value"),
        (
            "a wrong type",
            json!({"colour": 7}),
            "spec.colour: Invalid value: \"integer\": spec.colour in body must be of type string: \"integer\"",
        ),
        (
            "none of the values",
            json!({"colour": "red"}),
            "spec.colour: Unsupported value: \"red\": supported values: \"teal\", \"ochre\"",
        ),
        (
            "too small",
            json!({"colour": "teal", "replicas": -1}),
            "spec.replicas: Invalid value: -1: spec.replicas in body should be greater than or equal to 0",
        ),
        (
            "too large",
            json!({"colour": "teal", "replicas": 101}),
            "spec.replicas: Invalid value: 101: spec.replicas in body should be less than or equal to 100",
        ),
        (
            "not the pattern",
            json!({"colour": "teal", "id": "x"}),
            "spec.id: Invalid value: \"x\": spec.id in body should match '^w-[0-9]+$'",
        ),
        (
            "too long",
            json!({"colour": "teal", "id": "w-12345"}),
            "spec.id: Too long: may not be more than 5 bytes",
        ),
        (
            "too many",
            json!({"colour": "teal", "steps": [{}, {}, {}]}),
            "spec.steps: Too many: 3: must have at most 2 items",
        ),
        (
            "in a list",
            json!({"colour": "teal", "steps": [{"weight": 101}]}),
            "spec.steps[0].weight: Invalid value: 101: spec.steps[0].weight in body should be less than or equal to 100",
        ),
        (
            "in a map",
            json!({"colour": "teal", "labels": {"a": 1}}),
            "spec.labels.a: Invalid value: \"integer\": spec.labels.a in body must be of type string: \"integer\"",
        ),
        (
            "a key twice",
            json!({"colour": "teal", "ports": [{"name": "a"}, {"name": "a"}]}),
            "spec.ports[1]: Duplicate value: {\"name\":\"a\"}",
        ),
        (
            "neither number nor text",
            json!({"colour": "teal", "surge": true}),
            "spec.surge: Invalid value: \"boolean\": spec.surge in body must be of type integer,string: \"boolean\"",
        ),
        (
            "a fraction",
            json!({"colour": "teal", "replicas": 1.5}),
            "spec.replicas: Invalid value: \"number\": spec.replicas in body must be of type integer: \"number\"",
        ),
        (
            "null",
            json!({"colour": null}),
            "spec.colour: Required value",
        ),
    ] {
        let refused = on.post(&on.path(WIDGETS), &widget("a", spec)).await?;
        on.eq(what, refused.outcome(), "422 Invalid");
        on.says(&format!("{what}: the words"), refused.message(), words);
    }
    let both = on
        .post(&on.path(WIDGETS), &widget("a", json!({"replicas": -1})))
        .await?;
    let mut fields: Vec<_> = entries(&both.body, "/details/causes")
        .iter()
        .map(|cause| text(cause, "/field"))
        .collect();
    // In no order that could be relied on.
    fields.sort_unstable();
    // The scale subresource counts replicas again, and rules wait until the rest is right.
    on.eq(
        "every mistake is a cause",
        fields,
        [".spec.replicas", "<nil>", "spec.colour", "spec.replicas"],
    );
    on.says(
        "what was not looked at is said",
        both.message(),
        "Widget.contract.example.com \"a\" is invalid: [spec.",
    );
    on.says(
        "what was not looked at is said in the end",
        both.message(),
        ", <nil>: Invalid value: null: some validation rules were not checked because the object was invalid; \
         correct the existing errors to complete validation]",
    );
    Ok(())
}

pub async fn a_time_has_the_form_of_one(on: &Ground) -> Result<()> {
    let since = |time: &str| widget("a", json!({"colour": "teal", "since": time}));
    for time in [
        "yesterday",
        "2026-01-02",
        "2026-01-02 03:04:05Z",
        "2026-02-30T03:04:05Z",
        "2026-01-02T23:59:60Z",
        "2026-01-02T24:00:00Z",
        "2026-01-02T03:04:05",
    ] {
        let refused = on.post(&on.path(WIDGETS), &since(time)).await?;
        on.eq(time, refused.outcome(), "422 Invalid");
        on.says(
            &format!("{time}: the words"),
            refused.message(),
            &format!("spec.since: Invalid value: {time:?}: spec.since in body must be of type date-time: {time:?}"),
        );
    }
    for time in [
        "2026-01-02T03:04:05Z",
        "2026-01-02t03:04:05z",
        "2026-01-02T03:04:05.678+02:00",
    ] {
        let path = format!("{}?dryRun=All", on.path(WIDGETS));
        let taken = on.post(&path, &since(time)).await?;
        on.eq(time, taken.code, 201);
    }
    Ok(())
}

pub async fn custom_objects_have_their_own_rules(on: &Ground) -> Result<()> {
    let made = on
        .create(WIDGETS, &widget("a", json!({"colour": "teal"})))
        .await?;
    let path = on.at(WIDGETS, "a");
    let mut versionless = made.clone();
    if let Some(metadata) = versionless["metadata"].as_object_mut() {
        metadata.remove("resourceVersion");
    }
    let refused = on.put(&path, &versionless).await?;
    on.eq(
        "an update without a version",
        refused.outcome(),
        "422 Invalid",
    );
    on.says(
        "an update without a version: the words",
        refused.message(),
        "metadata.resourceVersion: Invalid value: 0: must be specified for an update",
    );
    let refused = on
        .patch(&path, STRATEGIC, &json!({"spec": {"colour": "ochre"}}))
        .await?;
    on.eq(
        "a strategic patch",
        refused.outcome(),
        "415 UnsupportedMediaType",
    );
    let kindless = json!({"metadata": {"name": "b"}, "spec": {"colour": "teal"}});
    let refused = on.post(&on.path(WIDGETS), &kindless).await?;
    on.eq("a body without a kind", refused.outcome(), "400 BadRequest");
    let strict = on
        .post(
            &format!("{}?fieldValidation=Strict", on.path(WIDGETS)),
            &widget("b", json!({"colour": "teal", "size": 7})),
        )
        .await?;
    on.eq("strictly", strict.outcome(), "400 BadRequest");
    on.says(
        "strictly: the words",
        strict.message(),
        "strict decoding error: unknown field \"spec.size\"",
    );
    let mut held = widget("b", json!({"colour": "teal"}));
    held["metadata"]["finalizers"] = json!(["plain"]);
    let made = on.post(&on.path(WIDGETS), &held).await?;
    on.eq("finalizers without a domain", made.code, 201);
    on.merge(WIDGETS, "b", &json!({"metadata": {"finalizers": null}}))
        .await?;
    let list = on.get(&on.path(WIDGETS)).await?;
    on.eq(
        "a list of them",
        (list.text("/kind"), list.names()),
        ("WidgetList", vec!["a".to_owned(), "b".to_owned()]),
    );
    on.eq(
        "its items say what they are",
        list.at("/items/0/kind"),
        json!("Widget"),
    );
    let gone = on.delete(&on.at(WIDGETS, "b"), None).await?;
    on.eq(
        "a deletion is answered with a Status",
        (gone.text("/status"), gone.at("/details/group")),
        ("Success", json!("contract.example.com")),
    );
    Ok(())
}

pub async fn a_rule_can_compare_with_what_was_before(on: &Ground) -> Result<()> {
    on.create(
        WIDGETS,
        &widget("a", json!({"colour": "teal", "fixed": "x"})),
    )
    .await?;
    let path = on.at(WIDGETS, "a");
    let refused = on
        .patch(&path, MERGE, &json!({"spec": {"fixed": "y"}}))
        .await?;
    on.eq("what is immutable", refused.outcome(), "422 Invalid");
    on.says(
        "what is immutable: the words",
        refused.message(),
        "spec.fixed: Invalid value: \"y\": fixed is immutable",
    );
    let removed = on
        .patch(&path, MERGE, &json!({"spec": {"fixed": null}}))
        .await?;
    on.eq("it may go", removed.code, 200);
    let set = on
        .patch(&path, MERGE, &json!({"spec": {"fixed": "z"}}))
        .await?;
    on.eq("and come", set.code, 200);
    Ok(())
}

pub async fn a_table_of_custom_objects_has_the_columns_of_its_definition(
    on: &Ground,
) -> Result<()> {
    on.create(WIDGETS, &widget("a", json!({"colour": "teal"})))
        .await?;
    let accept = "application/json;as=Table;v=v1;g=meta.k8s.io";
    let table = on
        .send(
            http::Method::GET,
            &on.path(WIDGETS),
            &[("accept", accept)],
            None,
        )
        .await?;
    let columns: Vec<_> = entries(&table.body, "/columnDefinitions")
        .iter()
        .map(|column| text(column, "/name"))
        .collect();
    on.eq(
        "its columns",
        columns,
        ["Name", "Colour", "Wanted", "Notes", "Age"],
    );
    let cells: Vec<_> = entries(&table.body, "/rows/0/cells")
        .iter()
        .take(4)
        .cloned()
        .collect();
    on.eq(
        "its cells",
        cells,
        [json!("a"), json!("teal"), json!(1), json!("none")],
    );
    Ok(())
}

pub async fn a_definition_takes_its_objects_along(on: &Ground) -> Result<()> {
    // Definitions belong to no namespace, so the name must not meet another run's.
    let plural = format!("{}s", on.namespace.replace('-', ""));
    let name = format!("{plural}.contract.example.com");
    let made = on
        .post(DEFINITIONS, &definition(&plural, &format!("K{plural}")))
        .await?
        .success()?;
    on.eq(
        "names that follow from its kind",
        (
            made.text("/spec/names/listKind"),
            made.text("/spec/names/singular"),
        ),
        (
            format!("K{plural}List").as_str(),
            format!("k{plural}").as_str(),
        ),
    );
    on.eq(
        "no conversion",
        made.at("/spec/conversion"),
        json!({"strategy": "None"}),
    );
    established(on, &plural).await?;
    let resource = format!("contract.example.com/v1/{plural}");
    let one = json!({"apiVersion": "contract.example.com/v1", "kind": format!("K{plural}"), "metadata": {"name": "a"}, "spec": {"colour": "teal"}});
    on.create(&resource, &one).await?;
    on.delete(&format!("{DEFINITIONS}/{name}"), None)
        .await?
        .success()?;
    on.until("the end of the kind", async || {
        Ok((on.get(&on.path(&resource)).await?.code == 404).then_some(()))
    })
    .await?;
    on.until("the end of the definition", async || {
        Ok((on.get(&format!("{DEFINITIONS}/{name}")).await?.code == 404).then_some(()))
    })
    .await?;
    on.eq(
        "so are its objects",
        on.get(&on.at(&resource, "a")).await?.code,
        404,
    );
    on.post(DEFINITIONS, &definition(&plural, &format!("K{plural}")))
        .await?
        .success()?;
    established(on, &plural).await?;
    on.eq(
        "a new definition begins empty",
        on.get(&on.path(&resource)).await?.names(),
        Vec::<String>::new(),
    );
    on.delete(&format!("{DEFINITIONS}/{name}"), None)
        .await?
        .success()?;
    let mut wrong = definition("things", "Thing");
    wrong["metadata"]["name"] = json!("other.contract.example.com");
    let refused = on.post(DEFINITIONS, &wrong).await?;
    on.eq(
        "a name that does not follow from its group",
        refused.outcome(),
        "422 Invalid",
    );
    Ok(())
}
