//! Creating, reading and replacing objects: what the server gives them, what it refuses, what it counts.

use anyhow::Result;
use http::Method;
use serde_json::{Value, json};

use super::ground::{Ground, JSON, MERGE, entries, text};

pub fn map(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"colour": "teal"}})
}

pub fn set(name: &str, replicas: i64) -> Value {
    json!({
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {"name": name, "labels": {"app": name}},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}},
                "spec": {"containers": [{"name": "main", "image": "shop:7"}]},
            },
        },
    })
}

const MAPS: &str = "v1/configmaps";
const SETS: &str = "apps/v1/replicasets";

pub async fn a_created_object_gets_what_only_the_server_gives(on: &Ground) -> Result<()> {
    let mut wanted = map("a");
    wanted["metadata"]["uid"] = json!("mine");
    wanted["metadata"]["generation"] = json!(7);
    wanted["metadata"]["creationTimestamp"] = json!("2001-01-01T00:00:00Z");
    wanted["metadata"]["deletionTimestamp"] = json!("2001-01-01T00:00:00Z");
    wanted["metadata"]["deletionGracePeriodSeconds"] = json!(7);
    wanted["metadata"]["selfLink"] = json!("/x");
    let made = on.post(&on.path(MAPS), &wanted).await?;
    on.eq("created", made.code, 201);
    on.eq(
        "its namespace",
        made.text("/metadata/namespace"),
        on.namespace.as_str(),
    );
    on.eq(
        "a uid of 36 characters",
        made.text("/metadata/uid").len(),
        36,
    );
    let version: u64 = made.version().parse().unwrap_or_default();
    on.holds("a version", version > 0, made.version());
    on.holds(
        "a time of creation in whole seconds",
        made.text("/metadata/creationTimestamp").len() == 20
            && !made.text("/metadata/creationTimestamp").starts_with("2001"),
        made.text("/metadata/creationTimestamp"),
    );
    on.eq(
        "a generation that nobody counts is what the client says",
        made.at("/metadata/generation"),
        json!(7),
    );
    on.eq(
        "no deletion",
        made.at("/metadata/deletionTimestamp"),
        Value::Null,
    );
    on.eq(
        "no grace",
        made.at("/metadata/deletionGracePeriodSeconds"),
        Value::Null,
    );
    on.holds(
        "who manages which fields",
        made.at("/metadata/managedFields").is_array(),
        "",
    );
    let read = on.object(MAPS, "a").await?;
    on.eq("what is read is what was answered", read, made.body);
    Ok(())
}

pub async fn a_generated_name_is_the_prefix_and_five_characters(on: &Ground) -> Result<()> {
    let wanted = json!({"metadata": {"generateName": "shop-"}});
    let one = on.create(MAPS, &wanted).await?;
    let other = on.create(MAPS, &wanted).await?;
    let name = text(&one, "/metadata/name");
    on.holds("the prefix", name.starts_with("shop-"), name);
    on.eq("five more characters", name.len(), "shop-".len() + 5);
    on.holds(
        "none that could make a word",
        name.trim_start_matches("shop-")
            .chars()
            .all(|c| "bcdfghjklmnpqrstvwxz2456789".contains(c)),
        name,
    );
    on.eq(
        "the prefix stays",
        text(&one, "/metadata/generateName"),
        "shop-",
    );
    on.holds(
        "another each time",
        name != text(&other, "/metadata/name"),
        name,
    );
    Ok(())
}

pub async fn what_cannot_be_created_is_refused_with_its_reason(on: &Ground) -> Result<()> {
    on.create(MAPS, &map("a")).await?;
    let again = on.post(&on.path(MAPS), &map("a")).await?;
    on.eq("twice", again.outcome(), "409 AlreadyExists");
    on.eq(
        "twice: the words",
        again.message(),
        "configmaps \"a\" already exists",
    );
    on.eq(
        "twice: the details",
        again.at("/details"),
        json!({"name": "a", "kind": "configmaps"}),
    );
    on.eq(
        "a Status",
        (again.text("/kind"), again.text("/status")),
        ("Status", "Failure"),
    );

    let nowhere = "/api/v1/namespaces/nowhere/configmaps";
    let refused = on.post(nowhere, &map("a")).await?;
    on.eq("without a namespace", refused.outcome(), "404 NotFound");
    on.eq(
        "without a namespace: the words",
        refused.message(),
        "namespaces \"nowhere\" not found",
    );

    let refused = on.post(&on.path(MAPS), &json!({"metadata": {}})).await?;
    on.eq("without a name", refused.outcome(), "422 Invalid");
    on.says(
        "without a name: the words",
        refused.message(),
        "metadata.name: Required value: name or generateName is required",
    );

    let refused = on.post(&on.path(MAPS), &map("A_b")).await?;
    on.eq("a wrong name", refused.outcome(), "422 Invalid");
    on.says("a wrong name: the words", refused.message(), "ConfigMap \"A_b\" is invalid: metadata.name: Invalid value: \"A_b\": a lowercase RFC 1123 subdomain must consist of");
    on.eq(
        "a wrong name: the cause",
        refused.at("/details/causes/0/field"),
        json!("metadata.name"),
    );

    let mut versioned = map("b");
    versioned["metadata"]["resourceVersion"] = json!("1");
    let refused = on.post(&on.path(MAPS), &versioned).await?;
    on.eq("with a version", refused.outcome(), "500");
    on.eq(
        "with a version: the words",
        refused.message(),
        "resourceVersion should not be set on objects to be created",
    );

    let mut elsewhere = map("b");
    elsewhere["metadata"]["namespace"] = json!("elsewhere");
    let refused = on.post(&on.path(MAPS), &elsewhere).await?;
    on.eq("for another namespace", refused.outcome(), "400 BadRequest");
    on.eq(
        "for another namespace: the words",
        refused.message(),
        "the namespace of the provided object does not match the namespace sent on the request",
    );

    let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "b"}});
    let refused = on.post(&on.path(MAPS), &secret).await?;
    on.eq("of another kind", refused.outcome(), "400 BadRequest");

    let refused = on
        .send_text(
            Method::POST,
            &on.path(MAPS),
            &[("content-type", JSON)],
            "{".to_owned(),
        )
        .await?;
    on.eq("no JSON", refused.outcome(), "400 BadRequest");
    let refused = on
        .send_text(
            Method::POST,
            &on.path(MAPS),
            &[("content-type", "text/csv")],
            "a".to_owned(),
        )
        .await?;
    on.eq(
        "no form that is known",
        refused.outcome(),
        "415 UnsupportedMediaType",
    );

    let mut wrong = map("b");
    wrong["data"] = json!({"count": 7});
    let refused = on.post(&on.path(MAPS), &wrong).await?;
    on.eq("a wrong type", refused.outcome(), "400 BadRequest");
    Ok(())
}

pub async fn labels_and_annotations_have_rules(on: &Ground) -> Result<()> {
    for (what, key, value) in [
        ("a label's value with a space", "app", "a b"),
        ("a label's key with a space", "a b", "c"),
        ("a long label", "app", &"x".repeat(64)),
        ("an empty label's name", "example.com/", "c"),
    ] {
        let mut labelled = map("a");
        labelled["metadata"]["labels"] = json!({key: value});
        let refused = on.post(&on.path(MAPS), &labelled).await?;
        on.eq(what, refused.outcome(), "422 Invalid");
        on.eq(
            &format!("{what}: the field"),
            refused.at("/details/causes/0/field"),
            json!("metadata.labels"),
        );
    }
    let mut annotated = map("a");
    annotated["metadata"]["annotations"] = json!({"large": "x".repeat(256 * 1024 + 1)});
    let refused = on.post(&on.path(MAPS), &annotated).await?;
    on.eq(
        "annotations that are too large",
        refused.outcome(),
        "422 Invalid",
    );
    on.says(
        "annotations that are too large: the words",
        refused.message(),
        "metadata.annotations: Too long: may not be more than 262144 bytes",
    );
    let mut owned = map("a");
    owned["metadata"]["ownerReferences"] =
        json!([{"apiVersion": "v1", "kind": "ConfigMap", "name": "b"}]);
    let refused = on.post(&on.path(MAPS), &owned).await?;
    on.eq("an owner without a uid", refused.outcome(), "422 Invalid");
    let mut unfinished = map("a");
    unfinished["metadata"]["finalizers"] = json!(["mine"]);
    let refused = on.post(&on.path(MAPS), &unfinished).await?;
    on.eq(
        "a finalizer without a domain",
        refused.outcome(),
        "422 Invalid",
    );
    Ok(())
}

pub async fn what_is_not_there_is_not_found(on: &Ground) -> Result<()> {
    let missing = on.get(&on.at(MAPS, "a")).await?;
    on.eq("an object", missing.outcome(), "404 NotFound");
    on.eq(
        "an object: the words",
        missing.message(),
        "configmaps \"a\" not found",
    );
    on.eq(
        "an object: the details",
        missing.at("/details"),
        json!({"name": "a", "kind": "configmaps"}),
    );
    let missing = on.get(&on.at(SETS, "a")).await?;
    on.eq(
        "an object of a group: the words",
        missing.message(),
        "replicasets.apps \"a\" not found",
    );
    on.eq(
        "an object of a group: the details",
        missing.at("/details"),
        json!({"name": "a", "group": "apps", "kind": "replicasets"}),
    );
    for (what, answer) in [
        (
            "to be patched",
            on.patch(&on.at(MAPS, "a"), MERGE, &json!({})).await?,
        ),
        (
            "to be replaced",
            on.put(&on.at(MAPS, "a"), &map("a")).await?,
        ),
        ("to be deleted", on.delete(&on.at(MAPS, "a"), None).await?),
    ] {
        on.eq(what, answer.outcome(), "404 NotFound");
    }
    let missing = on
        .get("/apis/nobody.example.com/v1/namespaces/default/things")
        .await?;
    on.eq("a kind", missing.code, 404);
    let missing = on.get(&format!("{}/nosuch", on.at(MAPS, "a"))).await?;
    on.eq("a subresource", missing.code, 404);
    let list = on.get("/api/v1/namespaces/nowhere/configmaps").await?;
    on.eq(
        "a namespace has an empty list",
        (list.code, list.names()),
        (200, Vec::<String>::new()),
    );
    Ok(())
}

pub async fn an_update_needs_the_version_that_it_was_made_from(on: &Ground) -> Result<()> {
    let first = on.create(MAPS, &map("a")).await?;
    let mut second = first.clone();
    second["data"]["colour"] = json!("ochre");
    let written = on.put(&on.at(MAPS, "a"), &second).await?;
    on.eq("on the newest", written.code, 200);
    on.holds(
        "another version",
        written.version() != text(&first, "/metadata/resourceVersion"),
        written.version(),
    );
    let late = on.put(&on.at(MAPS, "a"), &second).await?;
    on.eq("on an old one", late.outcome(), "409 Conflict");
    on.eq(
        "on an old one: the words",
        late.message(),
        "Operation cannot be fulfilled on configmaps \"a\": the object has been modified; please apply your changes to the latest version and try again",
    );
    on.eq(
        "on an old one: the details",
        late.at("/details"),
        json!({"name": "a", "kind": "configmaps"}),
    );
    let unconditional = on.put(&on.at(MAPS, "a"), &map("a")).await?;
    on.eq(
        "on none",
        (unconditional.code, unconditional.text("/data/colour")),
        (200, "teal"),
    );
    let mut other = unconditional.body.clone();
    other["metadata"]["uid"] = json!("01234567-0123-0123-0123-0123456789ab");
    let refused = on.put(&on.at(MAPS, "a"), &other).await?;
    on.eq(
        "on another object of that name",
        refused.outcome(),
        "409 Conflict",
    );
    on.says("on another object of that name: the words", refused.message(), "Precondition failed: UID in precondition: 01234567-0123-0123-0123-0123456789ab, UID in object meta: ");
    let mut renamed = unconditional.body.clone();
    renamed["metadata"]["name"] = json!("b");
    let refused = on.put(&on.at(MAPS, "a"), &renamed).await?;
    on.eq("by another name", refused.outcome(), "400 BadRequest");
    on.eq(
        "by another name: the words",
        refused.message(),
        "the name of the object (b) does not match the name on the URL (a)",
    );
    Ok(())
}

pub async fn what_changes_nothing_is_not_written(on: &Ground) -> Result<()> {
    let first = on.create(MAPS, &map("a")).await?;
    let again = on.put(&on.at(MAPS, "a"), &first).await?;
    on.eq(
        "an update",
        again.body["metadata"]["resourceVersion"].clone(),
        first["metadata"]["resourceVersion"].clone(),
    );
    let again = on
        .merge(MAPS, "a", &json!({"data": {"colour": "teal"}}))
        .await?;
    on.eq(
        "a patch",
        again["metadata"]["resourceVersion"].clone(),
        first["metadata"]["resourceVersion"].clone(),
    );
    let again = on
        .merge(
            MAPS,
            "a",
            &json!({"metadata": {"labels": {"nothing": null}}}),
        )
        .await?;
    on.eq(
        "a removal of nothing",
        again["metadata"]["resourceVersion"].clone(),
        first["metadata"]["resourceVersion"].clone(),
    );
    let again = on
        .merge(
            MAPS,
            "a",
            &json!({"metadata": {"creationTimestamp": "2001-01-01T00:00:00Z"}}),
        )
        .await?;
    on.eq(
        "what the server keeps",
        again["metadata"]["creationTimestamp"].clone(),
        first["metadata"]["creationTimestamp"].clone(),
    );
    Ok(())
}

pub async fn generation_counts_changes_of_the_spec(on: &Ground) -> Result<()> {
    // No pods: nothing else shall write.
    let made = on.create(SETS, &set("a", 0)).await?;
    let generation = |object: &Value| {
        object
            .pointer("/metadata/generation")
            .cloned()
            .unwrap_or_default()
    };
    on.eq("at first", generation(&made), json!(1));
    let patched = on
        .merge(SETS, "a", &json!({"spec": {"minReadySeconds": 3}}))
        .await?;
    on.eq("the spec changed", generation(&patched), json!(2));
    let patched = on
        .merge(SETS, "a", &json!({"metadata": {"labels": {"x": "y"}}}))
        .await?;
    on.eq("a label changed", generation(&patched), json!(2));
    let patched = on
        .merge(SETS, "a", &json!({"metadata": {"generation": 77}}))
        .await?;
    on.eq("nobody sets it", generation(&patched), json!(2));
    let dry = on
        .patch(
            &format!("{}?dryRun=All", on.at(SETS, "a")),
            MERGE,
            &json!({"spec": {"minReadySeconds": 4}}),
        )
        .await?;
    on.eq("in a dry run", generation(&dry.body), json!(3));
    let read = on.object(SETS, "a").await?;
    on.eq("after a dry run", generation(&read), json!(2));
    let config = on.create(MAPS, &map("a")).await?;
    on.eq("of a kind without a spec", generation(&config), Value::Null);
    let services = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "a"}, "spec": {"ports": [{"port": 80}]}});
    let service = on.create("v1/services", &services).await?;
    on.eq("of a Service", generation(&service), Value::Null);
    Ok(())
}

pub async fn a_dry_run_answers_and_writes_nothing(on: &Ground) -> Result<()> {
    let before = on.now(MAPS).await?;
    let dry = on
        .post(&format!("{}?dryRun=All", on.path(SETS)), &set("a", 3))
        .await?;
    on.eq("a creation", dry.code, 201);
    on.holds(
        "with a uid",
        dry.text("/metadata/uid").len() == 36,
        dry.text("/metadata/uid"),
    );
    on.eq(
        "without a version",
        dry.at("/metadata/resourceVersion"),
        Value::Null,
    );
    on.eq(
        "with its defaults",
        dry.at("/spec/template/spec/restartPolicy"),
        json!("Always"),
    );
    let missing = on.get(&on.at(SETS, "a")).await?;
    on.eq("is not there", missing.code, 404);

    let made = on.create(MAPS, &map("b")).await?;
    let dry = on
        .post(&format!("{}?dryRun=All", on.path(MAPS)), &map("b"))
        .await?;
    on.eq("what exists", dry.outcome(), "409 AlreadyExists");
    let dry = on
        .patch(
            &format!("{}?dryRun=All", on.at(MAPS, "b")),
            MERGE,
            &json!({"data": {"colour": "ochre"}}),
        )
        .await?;
    on.eq(
        "a patch",
        (dry.code, dry.text("/data/colour")),
        (200, "ochre"),
    );
    on.eq(
        "a patch leaves the version",
        dry.version(),
        text(&made, "/metadata/resourceVersion"),
    );
    let dry = on
        .delete(&format!("{}?dryRun=All", on.at(MAPS, "b")), None)
        .await?;
    on.eq("a deletion", dry.code, 200);
    on.eq("nothing happened", on.object(MAPS, "b").await?, made);
    let wrong = on
        .post(&format!("{}?dryRun=Some", on.path(MAPS)), &map("c"))
        .await?;
    on.eq("no such dry run", wrong.outcome(), "422 Invalid");
    let generated = json!({"metadata": {"generateName": "shop-"}});
    let dry = on
        .post(&format!("{}?dryRun=All", on.path(MAPS)), &generated)
        .await?;
    on.eq(
        "a generated name",
        dry.text("/metadata/name").len(),
        "shop-".len() + 5,
    );
    on.holds("time went on", on.now(MAPS).await? != before, before);
    Ok(())
}

pub async fn unknown_fields_are_refused_only_if_asked(on: &Ground) -> Result<()> {
    let mut odd = set("a", 0);
    odd["spec"]["colour"] = json!("teal");
    odd["spec"]["template"]["spec"]["containers"][0]["size"] = json!(7);
    let path = on.path(SETS);
    let strict = on
        .post(&format!("{path}?fieldValidation=Strict"), &odd)
        .await?;
    on.eq("strictly", strict.outcome(), "400 BadRequest");
    on.eq(
        "strictly: the words",
        strict.message(),
        "ReplicaSet in version \"v1\" cannot be handled as a ReplicaSet: strict decoding error: \
         unknown field \"spec.colour\", unknown field \"spec.template.spec.containers[0].size\"",
    );
    let warned = on
        .post(&format!("{path}?fieldValidation=Warn"), &odd)
        .await?;
    on.eq("with a warning", warned.code, 201);
    let warnings = warned.headers.get_all("warning").iter().count();
    on.eq("with two warnings", warnings, 2);
    on.eq("dropped", warned.at("/spec/colour"), Value::Null);
    odd["metadata"]["name"] = json!("b");
    let silent = on
        .post(&format!("{path}?fieldValidation=Ignore"), &odd)
        .await?;
    on.eq(
        "in silence",
        (silent.code, silent.headers.get("warning")),
        (201, None),
    );
    let patch = json!({"spec": {"colour": "teal"}});
    let strict = on
        .patch(
            &format!("{}?fieldValidation=Strict", on.at(SETS, "a")),
            MERGE,
            &patch,
        )
        .await?;
    on.eq("in a patch", strict.outcome(), "422 Invalid");
    Ok(())
}

pub async fn a_service_keeps_what_it_was_given(on: &Ground) -> Result<()> {
    let wanted = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "shop"}, "spec": {"selector": {"app": "shop"}, "ports": [{"port": 80}]}});
    let made = on.create("v1/services", &wanted).await?;
    let address = text(&made, "/spec/clusterIP").to_owned();
    on.holds("an address", address.starts_with("10."), &address);
    let mut spec = made["spec"].clone();
    spec["clusterIP"] = json!("A");
    spec["clusterIPs"] = json!(["A"]);
    on.eq(
        "its defaults",
        spec,
        json!({
            "clusterIP": "A",
            "clusterIPs": ["A"],
            "internalTrafficPolicy": "Cluster",
            "ipFamilies": ["IPv4"],
            "ipFamilyPolicy": "SingleStack",
            "ports": [{"port": 80, "protocol": "TCP", "targetPort": 80}],
            "selector": {"app": "shop"},
            "sessionAffinity": "None",
            "type": "ClusterIP",
        }),
    );
    on.eq(
        "its status",
        made["status"].clone(),
        json!({"loadBalancer": {}}),
    );
    let replaced = on.put(&on.at("v1/services", "shop"), &wanted).await?;
    on.eq(
        "it keeps its address when replaced",
        (replaced.code, replaced.text("/spec/clusterIP")),
        (200, address.as_str()),
    );
    let patched = on
        .merge(
            "v1/services",
            "shop",
            &json!({"spec": {"selector": {"hash": "x"}}}),
        )
        .await?;
    on.eq(
        "a selector is merged",
        patched["spec"]["selector"].clone(),
        json!({"app": "shop", "hash": "x"}),
    );
    let patch = json!({"spec": {"clusterIP": "10.96.77.77"}});
    let refused = on
        .patch(&on.at("v1/services", "shop"), MERGE, &patch)
        .await?;
    on.eq("another address", refused.outcome(), "422 Invalid");
    let mut two = wanted.clone();
    two["metadata"]["name"] = json!("two");
    two["spec"]["ports"] = json!([{"port": 80}, {"port": 81}]);
    let refused = on.post(&on.path("v1/services"), &two).await?;
    on.eq("two ports without names", refused.outcome(), "422 Invalid");
    let fields: Vec<_> = entries(&refused.body, "/details/causes")
        .iter()
        .map(|cause| text(cause, "/field"))
        .collect();
    on.eq(
        "two ports without names: the fields",
        fields,
        ["spec.ports[0].name", "spec.ports[1].name"],
    );
    two["metadata"]["name"] = json!("2");
    let refused = on.post(&on.path("v1/services"), &two).await?;
    on.eq(
        "a wrong name",
        refused.at("/details/causes/0/field"),
        json!("metadata.name"),
    );
    Ok(())
}

pub async fn a_lease_is_created_by_replacing_it(on: &Ground) -> Result<()> {
    let lease = json!({
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "lock"},
        "spec": {"holderIdentity": "me", "leaseDurationSeconds": 15, "renewTime": "2026-01-02T03:04:05.678901Z"},
    });
    let path = on.at("coordination.k8s.io/v1/leases", "lock");
    let made = on.put(&path, &lease).await?;
    on.eq("created", made.code, 201);
    on.eq(
        "times in microseconds",
        made.text("/spec/renewTime"),
        "2026-01-02T03:04:05.678901Z",
    );
    let mut renewed = made.body.clone();
    renewed["spec"]["holderIdentity"] = json!("you");
    let written = on.put(&path, &renewed).await?;
    on.eq("renewed", written.code, 200);
    let late = on.put(&path, &renewed).await?;
    on.eq("somebody else was faster", late.outcome(), "409 Conflict");
    let mut wrong = written.body;
    wrong["spec"]["leaseDurationSeconds"] = json!(0);
    let refused = on.put(&path, &wrong).await?;
    on.eq("a lease of no time", refused.outcome(), "422 Invalid");
    Ok(())
}

pub async fn an_event_belongs_where_its_object_is(on: &Ground) -> Result<()> {
    let event = |namespace: &str| {
        json!({
            "apiVersion": "v1", "kind": "Event", "metadata": {"generateName": "shop."},
            "involvedObject": {"kind": "ConfigMap", "name": "shop", "namespace": namespace},
            "reason": "Tested", "message": "all is well", "type": "Normal",
        })
    };
    let made = on
        .post(&on.path("v1/events"), &event(&on.namespace))
        .await?;
    on.eq("beside it", made.code, 201);
    let refused = on.post(&on.path("v1/events"), &event("elsewhere")).await?;
    on.eq("elsewhere", refused.outcome(), "422 Invalid");
    let found = on
        .get(&format!(
            "{}?fieldSelector=involvedObject.name=shop,reason=Tested",
            on.path("v1/events")
        ))
        .await?;
    on.eq("found by what it is about", found.names().len(), 1);
    let found = on
        .get(&format!(
            "{}?fieldSelector=involvedObject.name=other",
            on.path("v1/events")
        ))
        .await?;
    on.eq("and by nothing else", found.names().len(), 0);
    Ok(())
}
