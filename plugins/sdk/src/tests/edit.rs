use serde_json::{Value, json};

use crate::edit::{Operation, difference, merge_difference, pointer};

/// The patch has this many operations, and applied to `before` it gives `after`.
fn check(before: &Value, after: &Value, operations: usize) {
    let patch = difference(before, after);
    assert_eq!(patch.len(), operations, "{patch:?}");
    let patch: json_patch::Patch = serde_json::from_value(json!(patch)).unwrap();
    let mut patched = before.clone();
    json_patch::patch(&mut patched, &patch).unwrap();
    assert_eq!(patched, *after);
}

#[test]
fn equal_documents_have_no_difference() {
    check(
        &json!({"a": [1, {"b": null}]}),
        &json!({"a": [1, {"b": null}]}),
        0,
    );
}

#[test]
fn a_changed_field_is_one_operation_and_names_no_neighbour() {
    let before = json!({"spec": {"http": [{"route": [{"weight": 100, "x": 1}, {"weight": 0}]}], "unknown": {"deep": [1]}}});
    let mut after = before.clone();
    after["spec"]["http"][0]["route"][0]["weight"] = json!(95);
    check(&before, &after, 1);
    assert_eq!(
        difference(&before, &after),
        [Operation::Replace {
            path: "/spec/http/0/route/0/weight".to_owned(),
            value: json!(95)
        }]
    );
}

#[test]
fn fields_come_and_go() {
    check(&json!({"a": 1, "b": 2}), &json!({"b": 2, "c": {"d": 3}}), 2);
}

#[test]
fn a_field_can_become_null() {
    check(&json!({"a": 1}), &json!({"a": null}), 1);
}

#[test]
fn the_type_of_a_document_can_change() {
    check(&json!({"a": [1]}), &json!({"a": {"0": 1}}), 1);
    check(&json!([1]), &json!("text"), 1);
}

#[test]
fn items_are_recognised_by_name_when_one_before_them_goes() {
    let before = json!([{"name": "mirror"}, {"name": "a", "w": 1}, {"name": "b", "w": 2}]);
    let after = json!([{"name": "a", "w": 5}, {"name": "b", "w": 2}]);
    check(&before, &after, 2);
}

#[test]
fn items_are_recognised_by_destination_when_one_is_deleted_and_others_change() {
    let before = json!([
        {"destination": {"host": "experiment"}, "weight": 20},
        {"destination": {"host": "stable"}, "weight": 60},
        {"destination": {"host": "canary"}, "weight": 20},
    ]);
    let after = json!([
        {"destination": {"host": "stable"}, "weight": 100},
        {"destination": {"host": "canary"}, "weight": 0},
    ]);
    check(&before, &after, 3);
}

#[test]
fn an_item_without_a_name_is_changed_in_its_place() {
    let before = json!([{"match": [1], "route": [{"weight": 1}]}]);
    let after = json!([{"match": [1], "route": [{"weight": 2}]}]);
    check(&before, &after, 1);
}

#[test]
fn an_item_that_moves_is_taken_out_and_put_in() {
    check(
        &json!([{"name": "a"}, {"name": "b"}, {"name": "c"}]),
        &json!([{"name": "c"}, {"name": "a"}, {"name": "b"}]),
        2,
    );
}

#[test]
fn lists_grow_and_shrink_at_every_place() {
    let lists = [
        json!([]),
        json!([1]),
        json!([1, 2, 3]),
        json!([3, 2, 1]),
        json!([2, 2, 2, 2]),
        json!([{"name": 1}, 1]),
    ];
    for before in &lists {
        for after in &lists {
            let patch: json_patch::Patch =
                serde_json::from_value(json!(difference(before, after))).unwrap();
            let mut patched = before.clone();
            json_patch::patch(&mut patched, &patch).unwrap();
            assert_eq!(patched, *after, "{before} to {after}");
        }
    }
}

#[test]
fn lists_too_long_to_be_aligned_are_compared_by_position() {
    let before: Vec<_> = (0..1100).collect();
    let after: Vec<_> = (1..1100).collect();
    check(&json!(before), &json!(after), 1100);
}

#[test]
fn pointers_escape_slashes_and_tildes() {
    assert_eq!(
        pointer("/metadata/annotations", "a~b/c"),
        "/metadata/annotations/a~0b~1c"
    );
    check(&json!({"x/y": {"~": 1}}), &json!({"x/y": {"~": 2}}), 1);
}

#[test]
fn a_merge_patch_has_only_what_differs_and_removes_with_null() {
    let patch = merge_difference(
        &json!({"a": {"b": 1, "c": 2}, "d": [1]}),
        &json!({"a": {"b": 1, "e": 3}, "d": [1, 2]}),
    );
    assert_eq!(patch, Some(json!({"a": {"c": null, "e": 3}, "d": [1, 2]})));
    assert_eq!(merge_difference(&json!({"a": 1}), &json!({"a": 1})), None);
}
