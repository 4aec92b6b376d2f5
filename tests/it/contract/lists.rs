//! Lists: selectors, pages, versions, and the forms in which they are written.

use anyhow::Result;
use http::Method;
use serde_json::{Value, json};

use super::ground::{Answer, Ground, JSON, entries, text};
use super::objects::{map, set};

const MAPS: &str = "v1/configmaps";

async fn five(on: &Ground) -> Result<()> {
    for (name, track) in [
        ("a", "stable"),
        ("b", "canary"),
        ("c", "stable"),
        ("d", "preview"),
        ("e", ""),
    ] {
        let mut one = map(name);
        if !track.is_empty() {
            one["metadata"]["labels"] = json!({"track": track, "app": "shop"});
        }
        on.create(MAPS, &one).await?;
    }
    Ok(())
}

pub async fn a_list_is_ordered_and_tells_its_version(on: &Ground) -> Result<()> {
    for name in ["b", "a-b", "a", "a.b", "a0"] {
        on.create(MAPS, &map(name)).await?;
    }
    let list = on.get(&on.path(MAPS)).await?;
    on.eq("by name", list.names(), ["a", "a-b", "a.b", "a0", "b"]);
    on.eq(
        "its kind",
        (list.text("/apiVersion"), list.text("/kind")),
        ("v1", "ConfigMapList"),
    );
    on.eq(
        "items do not repeat it",
        list.at("/items/0/kind"),
        Value::Null,
    );
    let newest = entries(&list.body, "/items")
        .iter()
        .map(super::ground::version_of)
        .max()
        .unwrap_or_default();
    on.holds(
        "as new as its newest object",
        list.version().parse::<u64>().unwrap_or_default() >= newest,
        list.version(),
    );
    on.eq(
        "nothing follows",
        (
            list.at("/metadata/continue"),
            list.at("/metadata/remainingItemCount"),
        ),
        (Value::Null, Value::Null),
    );
    Ok(())
}

pub async fn label_selectors_pick(on: &Ground) -> Result<()> {
    five(on).await?;
    for (selector, names) in [
        ("track=canary", &["b"] as &[&str]),
        ("track==canary", &["b"]),
        ("track!=canary", &["a", "c", "d", "e"]),
        ("track in (canary,preview)", &["b", "d"]),
        ("track notin (canary,preview)", &["a", "c", "e"]),
        ("track", &["a", "b", "c", "d"]),
        ("!track", &["e"]),
        ("track=stable,app=shop", &["a", "c"]),
        ("track=stable,app!=shop", &[]),
        ("track=", &[]),
    ] {
        let list = pick(on, "labelSelector", selector).await?;
        on.eq(selector, list.names(), names);
    }
    for selector in ["track=a b", "in (x", "track in x", "a b=c", "=x"] {
        let list = pick(on, "labelSelector", selector).await?;
        on.eq(selector, list.outcome(), "400 BadRequest");
    }
    Ok(())
}

async fn pick(on: &Ground, by: &str, selector: &str) -> Result<Answer> {
    let selector: String = selector
        .bytes()
        .map(|byte| {
            if byte.is_ascii_alphanumeric() {
                char::from(byte).to_string()
            } else {
                format!("%{byte:02X}")
            }
        })
        .collect();
    on.get(&format!("{}?{by}={selector}", on.path(MAPS))).await
}

pub async fn field_selectors_pick(on: &Ground) -> Result<()> {
    five(on).await?;
    for (selector, names) in [
        ("metadata.name=b", &["b"] as &[&str]),
        ("metadata.name!=b", &["a", "c", "d", "e"]),
        ("metadata.name=b,metadata.name=c", &[]),
        ("metadata.name=nobody", &[]),
    ] {
        let list = pick(on, "fieldSelector", selector).await?;
        on.eq(selector, list.names(), names);
    }
    let list = pick(on, "fieldSelector", "data.colour=teal").await?;
    on.eq(
        "a field that cannot be asked for",
        list.outcome(),
        "400 BadRequest",
    );
    on.says(
        "a field that cannot be asked for: the words",
        list.message(),
        "\"data.colour\" is not a known field selector: only \"metadata.name\", \"metadata.namespace\"",
    );
    let list = pick(on, "fieldSelector", "metadata.name").await?;
    on.eq("no condition", list.outcome(), "400 BadRequest");
    let sets = on
        .get(&format!(
            "{}?fieldSelector=status.replicas=0",
            on.path("apps/v1/replicasets")
        ))
        .await?;
    on.eq("a ReplicaSet by its status", sets.code, 400);
    Ok(())
}

pub async fn pages_of_one_list_agree(on: &Ground) -> Result<()> {
    five(on).await?;
    let path = on.path(MAPS);
    let first = on.get(&format!("{path}?limit=2")).await?;
    on.eq("the first page", first.names(), ["a", "b"]);
    on.eq(
        "how many follow",
        first.at("/metadata/remainingItemCount"),
        json!(3),
    );
    on.delete(&on.at(MAPS, "d"), None).await?.success()?;
    on.create(MAPS, &map("c0")).await?;
    on.merge(MAPS, "c", &json!({"data": {"colour": "ochre"}}))
        .await?;
    let next = |page: &Answer, limit: usize| {
        format!(
            "{path}?limit={limit}&continue={}",
            page.text("/metadata/continue")
        )
    };
    let second = on.get(&next(&first, 2)).await?;
    on.eq("the second page, as it was", second.names(), ["c", "d"]);
    on.eq(
        "objects as they were",
        second.at("/items/0/data/colour"),
        json!("teal"),
    );
    on.eq(
        "one version for all pages",
        second.version(),
        first.version(),
    );
    let third = on.get(&next(&second, 2)).await?;
    on.eq("the last page", third.names(), ["e"]);
    on.eq(
        "and nothing follows",
        (
            third.text("/metadata/continue"),
            third.at("/metadata/remainingItemCount"),
        ),
        ("", Value::Null),
    );
    let exact = on.get(&format!("{path}?limit=5")).await?;
    on.eq(
        "a page that is just large enough",
        (exact.names().len(), exact.text("/metadata/continue")),
        (5, ""),
    );
    let picked = on
        .get(&format!("{path}?limit=1&labelSelector=track%3Dstable"))
        .await?;
    on.eq("with a selector", picked.names(), ["a"]);
    on.eq(
        "with a selector, nobody knows how many follow",
        picked.at("/metadata/remainingItemCount"),
        Value::Null,
    );
    let rest = on
        .get(&format!(
            "{path}?limit=9&labelSelector=track%3Dstable&continue={}",
            picked.text("/metadata/continue")
        ))
        .await?;
    on.eq("the selector's second page", rest.names(), ["c"]);
    let refused = on.get(&format!("{path}?limit=2&continue=nonsense")).await?;
    on.eq(
        "a continuation of nothing",
        refused.outcome(),
        "400 BadRequest",
    );
    on.says(
        "a continuation of nothing: the words",
        refused.message(),
        "continue key is not valid",
    );
    let refused = on
        .get(&format!("{}&resourceVersion=7", next(&first, 2)))
        .await?;
    on.eq("a continuation at another version", refused.code, 400);
    Ok(())
}

pub async fn a_list_can_be_asked_for_a_version(on: &Ground) -> Result<()> {
    on.create(MAPS, &map("a")).await?;
    let then = on.now(MAPS).await?;
    let made = on.create(MAPS, &map("b")).await?;
    let path = on.path(MAPS);
    let list = on
        .get(&format!(
            "{path}?resourceVersion={then}&resourceVersionMatch=Exact"
        ))
        .await?;
    on.eq(
        "exactly",
        (list.names(), list.version().to_owned()),
        (vec!["a".to_owned()], then.clone()),
    );
    let version = text(&made, "/metadata/resourceVersion");
    let list = on
        .get(&format!(
            "{path}?resourceVersion={version}&resourceVersionMatch=NotOlderThan"
        ))
        .await?;
    on.eq("or newer", list.names(), ["a", "b"]);
    let list = on.get(&format!("{path}?resourceVersion={version}")).await?;
    on.eq("or newer is the default", list.names(), ["a", "b"]);
    let list = on.get(&format!("{path}?resourceVersion=0")).await?;
    on.eq("any", list.code, 200);
    let list = on.get(&format!("{path}?resourceVersion=0&limit=1")).await?;
    on.eq(
        "any has no pages",
        (list.names().len(), list.text("/metadata/continue")),
        (2, ""),
    );
    let list = on
        .get(&format!(
            "{path}?resourceVersion={then}&resourceVersionMatch=Exact&limit=1"
        ))
        .await?;
    on.eq("a page of exactly", list.names(), ["a"]);
    let refused = on
        .get(&format!("{path}?resourceVersionMatch=Exact"))
        .await?;
    on.eq("exactly nothing", refused.outcome(), "422 Invalid");
    let refused = on
        .get(&format!(
            "{path}?resourceVersion=0&resourceVersionMatch=Exact"
        ))
        .await?;
    on.eq("exactly any", refused.outcome(), "422 Invalid");
    let refused = on
        .get(&format!(
            "{path}?resourceVersion=1&resourceVersionMatch=Roughly"
        ))
        .await?;
    on.eq("roughly", refused.outcome(), "422 Invalid");
    let refused = on.get(&format!("{path}?resourceVersion=soon")).await?;
    on.eq("no number", refused.code, 400);
    let refused = on
        .get(&format!(
            "{path}?resourceVersion=900000000000&resourceVersionMatch=NotOlderThan"
        ))
        .await?;
    on.eq("of the future", refused.outcome(), "504 Timeout");
    on.says(
        "of the future: the words",
        refused.message(),
        "Too large resource version: 900000000000, current: ",
    );
    Ok(())
}

pub async fn a_write_is_read_at_once(on: &Ground) -> Result<()> {
    for round in 0..5 {
        let name = format!("a{round}");
        let made = on.create(MAPS, &map(&name)).await?;
        on.eq("a creation", on.object(MAPS, &name).await?, made);
        let list = on.get(&on.path(MAPS)).await?;
        on.holds(
            "a creation in a list",
            list.names().contains(&name),
            list.names(),
        );
        let patched = on
            .merge(MAPS, &name, &json!({"data": {"round": round.to_string()}}))
            .await?;
        on.eq("a patch", on.object(MAPS, &name).await?, patched.clone());
        let list = on.get(&format!("{}?limit=500", on.path(MAPS))).await?;
        let item = entries(&list.body, "/items")
            .iter()
            .find(|item| text(item, "/metadata/name") == name)
            .cloned()
            .unwrap_or_default();
        on.eq(
            "a patch in a page",
            item["data"].clone(),
            patched["data"].clone(),
        );
        let deleted = on.delete(&on.at(MAPS, &name), None).await?;
        on.eq(
            "a deletion",
            (deleted.code, on.get(&on.at(MAPS, &name)).await?.code),
            (200, 404),
        );
        let list = on.get(&on.path(MAPS)).await?;
        on.holds(
            "a deletion in a list",
            !list.names().contains(&name),
            list.names(),
        );
    }
    Ok(())
}

pub async fn versions_only_grow(on: &Ground) -> Result<()> {
    let mut seen = vec![on.now(MAPS).await?.parse::<u64>()?];
    let made = on.create(MAPS, &map("a")).await?;
    seen.push(super::ground::version_of(&made));
    let made = on.create("apps/v1/replicasets", &set("a", 0)).await?;
    seen.push(super::ground::version_of(&made));
    let patched = on.merge(MAPS, "a", &json!({"data": {"x": "y"}})).await?;
    seen.push(super::ground::version_of(&patched));
    seen.push(on.now("v1/configmaps").await?.parse()?);
    on.holds("over all kinds", seen.is_sorted_by(|a, b| a <= b), &seen);
    on.holds(
        "with every write",
        seen[1] > seen[0] && seen[2] > seen[1] && seen[3] > seen[2],
        &seen,
    );
    Ok(())
}

async fn as_table(on: &Ground, path: &str) -> Result<Answer> {
    let accept = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";
    on.send(Method::GET, path, &[("accept", accept)], None)
        .await
}

pub async fn a_table_has_the_columns_that_kubectl_shows(on: &Ground) -> Result<()> {
    on.create(MAPS, &map("a")).await?;
    on.create("apps/v1/replicasets", &set("a", 0)).await?;
    on.create("v1/services", &json!({"metadata": {"name": "a"}, "spec": {"ports": [{"port": 80}], "selector": {"app": "a"}}})).await?;
    let columns = |table: &Answer| -> Vec<String> {
        entries(&table.body, "/columnDefinitions")
            .iter()
            .map(|column| text(column, "/name").to_owned())
            .collect()
    };
    for (resource, wanted) in [
        (MAPS, &["Name", "Data", "Age"] as &[&str]),
        (
            "apps/v1/replicasets",
            &[
                "Name",
                "Desired",
                "Current",
                "Ready",
                "Age",
                "Containers",
                "Images",
                "Selector",
            ],
        ),
        (
            "v1/services",
            &[
                "Name",
                "Type",
                "Cluster-IP",
                "External-IP",
                "Port(s)",
                "Age",
                "Selector",
            ],
        ),
        (
            "v1/pods",
            &[
                "Name",
                "Ready",
                "Status",
                "Restarts",
                "Age",
                "IP",
                "Node",
                "Nominated Node",
                "Readiness Gates",
            ],
        ),
        (
            "apps/v1/deployments",
            &[
                "Name",
                "Ready",
                "Up-to-date",
                "Available",
                "Age",
                "Containers",
                "Images",
                "Selector",
            ],
        ),
    ] {
        let table = as_table(on, &on.path(resource)).await?;
        on.eq(resource, columns(&table), wanted);
    }
    let table = as_table(on, &on.at(MAPS, "a")).await?;
    on.eq(
        "of one object",
        (table.text("/kind"), table.at("/rows/0/cells/0")),
        ("Table", json!("a")),
    );
    on.eq("how much data", table.at("/rows/0/cells/1"), json!(1));
    on.eq(
        "a row's object is its metadata",
        (
            table.at("/rows/0/object/kind"),
            table.at("/rows/0/object/metadata/name"),
        ),
        (json!("PartialObjectMetadata"), json!("a")),
    );
    let table = as_table(on, &on.path("apps/v1/replicasets")).await?;
    on.eq("counts are numbers", table.at("/rows/0/cells/1"), json!(0));
    on.eq(
        "a selector is text",
        table.at("/rows/0/cells/7"),
        json!("app=a"),
    );
    let none = as_table(on, &format!("{}?includeObject=None", on.path(MAPS))).await?;
    on.eq("rows alone", none.at("/rows/0/object"), Value::Null);
    Ok(())
}

pub async fn metadata_alone_can_be_asked_for(on: &Ground) -> Result<()> {
    on.create(MAPS, &map("a")).await?;
    let accept = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io";
    let list = on
        .send(Method::GET, &on.path(MAPS), &[("accept", accept)], None)
        .await?;
    on.eq(
        "of a list",
        (list.text("/kind"), list.text("/apiVersion")),
        ("PartialObjectMetadataList", "meta.k8s.io/v1"),
    );
    on.eq("without the rest", list.at("/items/0/data"), Value::Null);
    on.eq("with the name", list.names(), ["a"]);
    let accept = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io";
    let one = on
        .send(Method::GET, &on.at(MAPS, "a"), &[("accept", accept)], None)
        .await?;
    on.eq(
        "of an object",
        (one.text("/kind"), one.at("/data")),
        ("PartialObjectMetadata", Value::Null),
    );
    let refused = on
        .send(Method::GET, &on.path(MAPS), &[("accept", "text/csv")], None)
        .await?;
    on.eq(
        "in no form that is known",
        refused.outcome(),
        "406 NotAcceptable",
    );
    let both = on
        .send(
            Method::GET,
            &on.path(MAPS),
            &[("accept", &format!("text/csv, {JSON}"))],
            None,
        )
        .await?;
    on.eq("in one of two", both.code, 200);
    Ok(())
}
