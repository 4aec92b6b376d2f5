//! Owner references: reading them and writing them.

use serde_json::{Value, json};

use crate::json;

/// The reference to the object's controller.
pub(super) fn controller(object: &Value) -> Option<&Value> {
    json::entries(object, "/metadata/ownerReferences")
        .iter()
        .find(|owner| json::flag(owner, "/controller"))
}

/// Whether an object is controlled by the one with this UID.
pub(super) fn is_controlled_by(object: &Value, uid: &str) -> bool {
    controller(object).is_some_and(|owner| json::text(owner, "/uid") == uid)
}

/// A reference that makes its holder controlled by an object.
pub(super) fn reference(owner: &Value) -> Value {
    json!({
        "apiVersion": json::text(owner, "/apiVersion"),
        "kind": json::text(owner, "/kind"),
        "name": json::text(owner, "/metadata/name"),
        "uid": json::text(owner, "/metadata/uid"),
        "controller": true,
        "blockOwnerDeletion": true,
    })
}
