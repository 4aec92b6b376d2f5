//! The namespace controller: empties a namespace that is being deleted, then lets it go.

use std::time::Duration;

use super::hands::Hands;
use crate::json;
use crate::server::delete::Propagation;
use crate::server::is_terminating;

const ACTOR: &str = "namespace-controller";

/// Deletes what is in the namespace; the last deletion brings the look that lets the namespace go.
pub(super) fn reconcile(hands: &mut Hands<'_>, name: &str) -> Option<Duration> {
    let namespace = hands.get("", "namespaces", &(String::new(), name.to_owned()))?;
    if !is_terminating(&namespace) {
        return None;
    }
    let mut left = 0;
    for kind in hands.kinds().iter().filter(|kind| kind.namespaced) {
        for object in hands.list(&kind.group, &kind.plural, name) {
            if !is_terminating(&object) {
                hands.delete(ACTOR, &object, Some(Propagation::Background), None);
            }
        }
        left += hands.list(&kind.group, &kind.plural, name).len();
    }
    if left == 0 && !json::entries(&namespace, "/spec/finalizers").is_empty() {
        hands.finalize(ACTOR, &namespace);
    }
    None
}
