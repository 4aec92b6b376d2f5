//! What people do.

use serde_json::{Value, json};

use super::World;

impl World {
    /// A change of the specification by a merge patch.
    pub fn edit(&mut self, spec: Value) {
        self.patch("Rollout", "web", &json!({ "spec": spec }), false);
    }

    /// A new image, a second later: creation times have whole seconds.
    pub fn release(&mut self, image: &str) {
        self.advance(1);
        self.edit(json!({ "template": { "spec": { "containers": [{ "name": "main", "image": image }] } } }));
    }

    pub(super) fn edit_status(&mut self, status: Value) {
        self.patch("Rollout", "web", &json!({ "status": status }), true);
    }

    /// `kubectl argo rollouts promote` (CLI-005).
    pub fn promote(&mut self) {
        let status = self.status();
        if !status.pause_conditions.is_empty() {
            self.edit_status(json!({ "pauseConditions": null }));
        } else if let Some(index) = status.current_step_index {
            self.edit_status(json!({ "pauseConditions": null, "currentStepIndex": index + 1 }));
        }
        if self.spec()["paused"] == json!(true) {
            self.edit(json!({ "paused": false }));
        }
    }

    /// `kubectl argo rollouts promote` at a step whose analysis is inconclusive (CLI-005).
    pub fn promote_past_inconclusive(&mut self) {
        let index = self.status().current_step_index.unwrap();
        self.edit_status(json!({ "pauseConditions": null, "controllerPause": false, "currentStepIndex": index + 1 }));
    }

    /// `kubectl argo rollouts promote --full` (CLI-006).
    pub fn promote_full(&mut self) {
        self.edit_status(json!({ "promoteFull": true }));
    }

    /// `kubectl argo rollouts promote --skip-current-step` (CLI-007).
    pub fn skip_step(&mut self) {
        let index = self.status().current_step_index.unwrap();
        self.edit_status(json!({ "currentStepIndex": index + 1 }));
    }

    /// `kubectl argo rollouts abort` (CLI-001).
    pub fn abort(&mut self) {
        self.edit_status(json!({ "abort": true }));
    }

    /// `kubectl argo rollouts retry` (CLI-002).
    pub fn retry(&mut self) {
        self.edit_status(json!({ "abort": false }));
    }
}
