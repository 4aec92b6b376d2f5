//! Which set is which: the template's own set found again, names that are taken, sets that somebody edited or deleted.

use std::sync::Arc;

use expect_test::expect;
use serde_json::{Value, json};

use super::world::{Disturbance, Fault, How, World, default_template, merge};
use crate::observed::{Defaulted, Looked};
use crate::plan::{Action, Query, Role, WriteErrorKind};
use crate::rollout::{decide, validate};
use crate::{hash, keys};

fn steps() -> Value {
    json!({ "steps": [{ "setWeight": 20 }, { "pause": {} }, { "setWeight": 50 }, { "pause": {} }] })
}

/// Revision 1 runs.
fn deployed() -> World {
    let mut world = World::canary(steps());
    world.settle();
    world.events.clear();
    world
}

/// Revision 1 is stable, revision 2 waits at 20 %.
fn halfway() -> World {
    let mut world = deployed();
    world.release("web:2");
    world.settle();
    assert_eq!(world.phase(), "Paused: CanaryPauseStep");
    world.events.clear();
    world
}

fn name(world: &World, revision: usize) -> String {
    format!("web-{}", world.hash(revision))
}

/// Somebody edits a set.
fn edit(world: &mut World, revision: usize, change: impl FnOnce(&mut Value)) {
    let name = name(world, revision);
    let mut set = world.object("ReplicaSet", &name).clone();
    change(&mut set);
    world.replace("ReplicaSet", &name, set);
}

fn annotation<'a>(world: &'a World, revision: usize, key: &str) -> &'a Value {
    &world.object("ReplicaSet", &name(world, revision))["metadata"]["annotations"][key]
}

fn sets(world: &World) -> usize {
    world
        .objects
        .keys()
        .filter(|(kind, _)| kind == "ReplicaSet")
        .count()
}

/// What the next pass asks the API server.
fn asked(world: &World) -> Vec<Query> {
    let seen = world.observe();
    let made = decide(&validate(&seen.rollout, &seen), &seen);
    let actions = made.plan.actions.into_iter();
    actions
        .filter_map(|planned| match planned.action {
            Action::Look(query) => Some(query),
            Action::Write(_) | Action::Call(_) => None,
        })
        .collect()
}

/// The name that the set of this image would get.
fn name_of(image: &str) -> String {
    let template = json!({
        "metadata": { "labels": { "app": "web" } },
        "spec": { "containers": [{ "name": "main", "image": image }] },
    });
    format!("web-{}", hash::pod_template(&template, None))
}

// === the template's own set

// CLI-009, REC-011, REC-015, KEY-006
#[test]
fn undo_finds_the_set_and_its_revision_moves() {
    let mut world = World::canary(json!({}));
    world.settle();
    world.release("web:2");
    world.settle();
    assert_eq!(world.sizes(), "r1 0/0, r2 10/10");
    // As the client does: the template of the old set, without the hash label.
    let mut old = world.object("ReplicaSet", &name(&world, 1))["spec"]["template"].clone();
    old["metadata"]["labels"]
        .as_object_mut()
        .unwrap()
        .remove(keys::POD_TEMPLATE_HASH);
    world.advance(1);
    world.edit(json!({ "template": old }));
    assert_eq!(
        asked(&world),
        [],
        "a template that is complete needs no dry run"
    );
    world.settle();
    assert_eq!(world.sizes(), "r1 10/10, r2 0/0");
    assert_eq!(sets(&world), 2);
    assert_eq!(annotation(&world, 1, keys::REVISION), "3");
    assert_eq!(annotation(&world, 1, keys::REVISION_HISTORY), "1");
    assert_eq!(
        world.object("Rollout", "web")["metadata"]["annotations"][keys::REVISION],
        "3"
    );
    assert_eq!(world.status().stable_rs, world.hash(1));
    // The manifest in a repository has the short form; it is the same template.
    world.advance(1);
    world.release("web:1");
    world.edit(json!({ "template": { "spec": { "restartPolicy": null, "dnsPolicy": null, "securityContext": null } } }));
    world.settle();
    assert_eq!(world.sizes(), "r1 10/10, r2 0/0");
    assert_eq!(
        (sets(&world), annotation(&world, 1, keys::REVISION)),
        (2, &json!("3"))
    );
}

/// A set as Argo Rollouts leaves it: another hash, no annotation of ours.
fn taken_over(change: impl FnOnce(&mut Value)) -> World {
    let mut world = deployed();
    let ours = name(&world, 1);
    let mut set = world.object("ReplicaSet", &ours).clone();
    world.remove("ReplicaSet", &ours);
    set["metadata"]["name"] = json!("web-6b56c8cdb4");
    set["metadata"]["labels"][keys::POD_TEMPLATE_HASH] = json!("6b56c8cdb4");
    set["spec"]["template"]["metadata"]["labels"][keys::POD_TEMPLATE_HASH] = json!("6b56c8cdb4");
    set["metadata"]["annotations"]
        .as_object_mut()
        .unwrap()
        .remove(keys::TEMPLATE_SOURCE);
    change(&mut set);
    world.replace("ReplicaSet", "web-6b56c8cdb4", set);
    let mut rollout = world.object("Rollout", "web").clone();
    rollout["status"]["stableRS"] = json!("6b56c8cdb4");
    rollout["status"]["currentPodHash"] = json!("6b56c8cdb4");
    world.replace("Rollout", "web", rollout);
    world.restart();
    world
}

// REC-011, REC-012
#[test]
fn a_set_of_argo_rollouts_is_found_whatever_its_hash() {
    let mut world = taken_over(|_| {});
    world.settle();
    assert_eq!(sets(&world), 1);
    assert_eq!(world.status().stable_rs, "6b56c8cdb4");
    // A webhook has changed the set when it was made, and is gone: Argo Rollouts has found it for this generation.
    let mut world = taken_over(|set| {
        set["spec"]["template"]["spec"]["tolerations"] = json!([{ "key": "spot" }]);
    });
    world.settle();
    assert_eq!(sets(&world), 1);
    // It has not seen this template: a new revision.
    let mut world = taken_over(|_| {});
    world.release("web:2");
    world.settle();
    assert_eq!(sets(&world), 2);
    // What was taken out of the template since is a change, too.
    let mut world = taken_over(|set| {
        set["spec"]["template"]["spec"]["containers"][0]["env"] = json!([{ "name": "A" }]);
    });
    let mut rollout = world.object("Rollout", "web").clone();
    rollout["status"]["observedGeneration"] = json!("0");
    world.replace("Rollout", "web", rollout);
    world.settle();
    assert_eq!(sets(&world), 2);
    // A specification that was invalid until now: its template was never looked at.
    let mut world = taken_over(|set| {
        set["spec"]["template"]["spec"]["containers"][0]["env"] = json!([{ "name": "A" }]);
    });
    let mut rollout = world.object("Rollout", "web").clone();
    rollout["status"]["conditions"]
        .as_array_mut()
        .unwrap()
        .push(json!({
            "type": "InvalidSpec", "status": "True", "reason": "InvalidSpec", "message": "was",
            "lastUpdateTime": "2024-05-06T07:08:09Z", "lastTransitionTime": "2024-05-06T07:08:09Z",
        }));
    world.replace("Rollout", "web", rollout);
    world.settle();
    assert_eq!(sets(&world), 2);
}

// REC-011
#[test]
fn without_a_dry_run_what_the_template_sets_is_compared() {
    let mut world = taken_over(|_| {});
    world.dry_run_denied = true;
    world.settle();
    assert_eq!(
        (sets(&world), world.status().stable_rs.as_str()),
        (1, "6b56c8cdb4")
    );
    // New templates and old ones are told apart all the same.
    world.release("web:2");
    world.settle();
    assert_eq!(sets(&world), 2);
    let mut old = world.object("ReplicaSet", "web-6b56c8cdb4")["spec"]["template"].clone();
    old["metadata"]["labels"]
        .as_object_mut()
        .unwrap()
        .remove(keys::POD_TEMPLATE_HASH);
    world.advance(1);
    world.edit(json!({ "template": old }));
    world.settle();
    assert_eq!(sets(&world), 2);
    assert_eq!(world.status().current_pod_hash, "6b56c8cdb4");
}

// REC-011: what somebody takes out of a template is a release, also where nobody says what the API server adds to one.
#[test]
fn without_a_dry_run_less_is_another_template() {
    let block = |value: Value| json!({ "template": { "spec": { "nodeSelector": value } } });
    for taken_out in [json!(null), json!({ "zone": null })] {
        let mut world = World::canary(steps());
        world.edit(block(json!({ "zone": "a", "disk": "ssd" })));
        world.settle();
        world.dry_run_denied = true;
        world.edit(block(taken_out));
        world.settle();
        assert_eq!(sets(&world), 2);
        assert_eq!(world.phase(), "Paused: CanaryPauseStep");
    }
}

// REC-011: nor is the template that of an older set of another controller, which has more.
#[test]
fn without_a_dry_run_an_older_set_with_more_is_not_the_one() {
    let mut world = World::canary(steps());
    world.edit(json!({ "template": { "spec": { "nodeSelector": { "zone": "a" } } } }));
    world.settle();
    let of_argo = json!({ "metadata": { "annotations": { (keys::TEMPLATE_SOURCE): null } } });
    edit(&mut world, 1, |set| merge(set, &of_argo));
    world.release("web:2");
    world.settle();
    world.dry_run_denied = true;
    world.release("web:1");
    world.edit(json!({ "template": { "spec": { "nodeSelector": null } } }));
    world.settle();
    assert_eq!(sets(&world), 3);
    assert_eq!(world.status().current_pod_hash, world.hash(3));
}

// REC-012: nor is it another one because an autoscaler came in between before the first look at it.
#[test]
fn without_a_dry_run_a_set_is_taken_over_whatever_else_was_edited() {
    let mut world = taken_over(|_| {});
    world.dry_run_denied = true;
    world.edit(json!({ "replicas": 7 }));
    world.settle();
    assert_eq!(sets(&world), 1);
}

// VAL-007
#[test]
fn a_template_that_the_api_server_refuses_is_an_invalid_specification() {
    let mut world = halfway();
    world.release("web:3");
    let [query] = &asked(&world)[..] else {
        panic!("no dry run");
    };
    let mut seen = world.observe();
    let message = "spec.template.spec.containers[0].image: Required value";
    seen.looked.insert(
        query.clone(),
        Looked::Template(Defaulted::Invalid(message.to_owned())),
    );
    let spec = validate(&seen.rollout, &seen);
    let made = decide(&spec, &seen);
    assert_eq!(made.plan.actions, []);
    let settled = crate::rollout::settle(&spec, &seen, &made, &Default::default());
    assert_eq!(
        settled.next.message,
        format!("InvalidSpec: The Rollout \"web\" is invalid: {message}")
    );
}

// === names that are taken

// HASH-009, ST-012
#[test]
fn a_name_that_belongs_to_somebody_else_is_not_touched() {
    let mut world = deployed();
    let theirs = json!({
        "metadata": {
            "labels": { "app": "web", (keys::POD_TEMPLATE_HASH): "x" },
            "ownerReferences": [{ "kind": "Rollout", "name": "other", "uid": "uid-other", "controller": true }],
        },
        "spec": { "replicas": 1, "template": default_template(&json!({ "metadata": {}, "spec": { "containers": [] } })) },
    });
    let taken = name_of("web:2");
    world.put("ReplicaSet", &taken, theirs);
    let before = world.object("ReplicaSet", &taken)["spec"].clone();
    world.release("web:2");
    world.settle();
    assert_eq!(world.status().collision_count, Some(1));
    assert_eq!(world.phase(), "Paused: CanaryPauseStep");
    assert_eq!(world.sizes(), "r1 8/8, r2 2/2");
    assert_ne!(name(&world, 2), taken);
    assert_eq!(world.object("ReplicaSet", &taken)["spec"], before);
    // The count stays and is part of every later name.
    world.release("web:3");
    world.settle();
    assert_eq!(world.status().collision_count, Some(1));
    assert_ne!(name(&world, 3), name_of("web:3"));
}

// HASH-009
#[test]
fn two_templates_of_one_hash_get_two_sets() {
    let mut world = deployed();
    // An old revision of ours has the hash that the next template gets.
    let taken = name_of("web:2");
    let mut old = world.object("ReplicaSet", &name(&world, 1)).clone();
    let label = taken.trim_start_matches("web-").to_owned();
    merge(
        &mut old,
        &json!({
            "metadata": {
                "name": taken, "uid": "uid-old",
                "labels": { (keys::POD_TEMPLATE_HASH): label },
                "annotations": { (keys::TEMPLATE_SOURCE): "another" },
            },
            "spec": { "replicas": 0, "template": { "spec": { "containers": [{ "name": "main", "image": "web:0" }] } } },
            "status": { "replicas": 0, "readyReplicas": 0, "availableReplicas": 0 },
        }),
    );
    world.replace("ReplicaSet", &taken, old);
    world.release("web:2");
    world.settle();
    assert_eq!(world.status().collision_count, Some(1));
    assert_eq!(world.sizes(), "r1 8/8, r2 2/2");
    assert_eq!(sets(&world), 3);
}

// HASH-009
#[test]
fn a_creation_whose_answer_is_lost_is_no_collision() {
    // Which write it is: the creation is one of the first ten of an update.
    for first in [true, false] {
        for at in 1..10 {
            let mut world = if first {
                World::canary(steps())
            } else {
                deployed()
            };
            if !first {
                world.release("web:2");
            }
            let at = world.writes + at;
            world.disturbance = Some(Disturbance { at, how: How::Lose });
            world.settle();
            assert_eq!(world.status().collision_count, None, "{first} {at}");
            assert_eq!(sets(&world), if first { 1 } else { 2 }, "{first} {at}");
        }
    }
}

// === sets that somebody edited or deleted

// REC-007
#[test]
fn a_set_without_owner_is_taken_back_before_anything_is_decided() {
    for revision in [1, 2] {
        let mut world = halfway();
        edit(&mut world, revision, |set| {
            set["metadata"]
                .as_object_mut()
                .unwrap()
                .remove("ownerReferences");
        });
        let story = world.settle();
        let adopted = format!("write ReplicaSet web-r{revision}: adopt");
        assert_eq!(
            story,
            format!("{adopted}\nPaused: CanaryPauseStep | r1 8/8, r2 2/2\n")
        );
        let owners =
            &world.object("ReplicaSet", &name(&world, revision))["metadata"]["ownerReferences"];
        assert_eq!(owners[0]["uid"], "uid-web");
    }
}

// REC-007
#[test]
fn other_owners_stay_with_an_adopted_set() {
    let mut world = halfway();
    edit(&mut world, 2, |set| {
        set["metadata"]["ownerReferences"] =
            json!([{ "apiVersion": "v1", "kind": "ConfigMap", "name": "x", "uid": "uid-x" }]);
    });
    world.settle();
    let owners = &world.object("ReplicaSet", &name(&world, 2))["metadata"]["ownerReferences"];
    assert_eq!(
        (&owners[0]["uid"], &owners[1]["uid"]),
        (&json!("uid-x"), &json!("uid-web"))
    );
    assert_eq!(owners[1]["controller"], true);
}

// REC-007: a Rollout that was deleted, its sets orphaned, and made anew under its name.
#[test]
fn a_rollout_that_is_not_the_one_that_was_read_adopts_nothing() {
    let mut world = halfway();
    edit(&mut world, 1, |set| {
        set["metadata"]
            .as_object_mut()
            .unwrap()
            .remove("ownerReferences");
    });
    let rows = [
        Some(json!({ "metadata": { "uid": "uid-later" } })),
        Some(
            json!({ "metadata": { "uid": "uid-web", "deletionTimestamp": "2024-05-06T07:08:09Z" } }),
        ),
        None,
    ];
    for now in rows {
        let mut seen = world.observe();
        let key = crate::rollout::subject_of(&seen.rollout).key;
        seen.looked
            .insert(Query::Uncached(key), Looked::Object(now.map(Arc::new)));
        let spec = validate(&seen.rollout, &seen);
        assert_eq!(decide(&spec, &seen).plan.actions, []);
    }
}

// REC-007, HASH-008: everything waits for a set that cannot be taken back, so it is said why; an abort is heard all the same.
#[test]
fn a_set_that_cannot_be_taken_back_is_told() {
    let lost = [
        json!({ "metadata": { "ownerReferences": null } }),
        json!({ "metadata": { "labels": { (keys::POD_TEMPLATE_HASH): null } } }),
    ];
    for (lost, aborted) in lost.iter().flat_map(|lost| [(lost, false), (lost, true)]) {
        let mut world = halfway();
        edit(&mut world, 2, |set| merge(set, lost));
        world.faults.push(Fault {
            role: Some(Role::Annotate),
            kind: WriteErrorKind::Invalid,
            times: 1000,
        });
        if aborted {
            world.abort();
        }
        for _ in 0..3 {
            world.pass();
        }
        let told =
            "warning ReplicaSetAdoptError: Failed to take back replica set \"web-r2\": on purpose";
        let events = &world.events;
        assert!(events.iter().any(|event| event == told), "{events:?}");
        assert_eq!(world.status().aborted_at.is_some(), aborted);
        world.faults.clear();
        world.settle();
        let phase = if aborted { "Degraded" } else { "Paused" };
        assert!(world.phase().starts_with(phase), "{}", world.phase());
    }
}

// REC-007, ABT-001: what else fails meanwhile is not the set that is taken back.
#[test]
fn a_set_that_is_not_taken_back_yet_is_not_told_with_what_else_fails() {
    let mut world = halfway();
    edit(&mut world, 2, |set| {
        merge(set, &json!({ "metadata": { "ownerReferences": null } }));
    });
    world.faults.push(Fault {
        role: Some(Role::ScaleUp),
        kind: WriteErrorKind::Invalid,
        times: 1,
    });
    world.abort();
    world.settle();
    assert!(world.faults.iter().all(|fault| fault.times == 0));
    assert!(!world.reasons().contains("ReplicaSetAdoptError"));
}

// REC-007: nor is a set that takes no annotation one that is not taken back.
#[test]
fn a_set_that_takes_no_annotation_is_not_told_as_not_taken_back() {
    let mut world = taken_over(|_| {});
    world.edit(json!({ "progressDeadlineSeconds": 700 }));
    while !asked(&world).is_empty() {
        world.pass();
    }
    world.faults.push(Fault {
        role: Some(Role::Annotate),
        kind: WriteErrorKind::Invalid,
        times: 1,
    });
    world.meanwhile = Some(|world| world.release("web:2"));
    world.settle();
    assert!(world.faults.iter().all(|fault| fault.times == 0));
    assert!(!world.reasons().contains("ReplicaSetAdoptError"));
}

// REC-007: what somebody else has changed or removed meanwhile is no failure.
#[test]
fn a_set_that_is_another_one_by_now_is_not_told() {
    for kind in [WriteErrorKind::Conflict, WriteErrorKind::NotFound] {
        let mut world = halfway();
        edit(&mut world, 2, |set| {
            merge(set, &json!({ "metadata": { "ownerReferences": null } }));
        });
        world.faults.push(Fault {
            role: Some(Role::Annotate),
            kind,
            times: 1,
        });
        world.settle();
        assert_eq!(world.reasons(), "", "{kind:?}");
        assert_eq!(world.phase(), "Paused: CanaryPauseStep");
    }
}

// HASH-008
#[test]
fn a_set_that_loses_its_hash_label_gets_it_back() {
    for label in [Value::Null, json!(""), json!("other")] {
        for revision in [1, 2] {
            let mut world = halfway();
            let hash = world.hash(revision);
            edit(&mut world, revision, |set| {
                merge(
                    set,
                    &json!({ "metadata": { "labels": { (keys::POD_TEMPLATE_HASH): label } } }),
                );
            });
            let story = world.settle();
            let lines: Vec<&str> = story.lines().collect();
            assert_eq!(
                lines[0],
                format!("write ReplicaSet web-r{revision}: the hash label again")
            );
            assert_eq!(lines[1..], ["Paused: CanaryPauseStep | r1 8/8, r2 2/2"]);
            let labels = &world.object("ReplicaSet", &name(&world, revision))["metadata"]["labels"];
            assert_eq!(labels[keys::POD_TEMPLATE_HASH], json!(hash));
        }
    }
}

// REC-011: what Argo Rollouts does, too. Pods are not replaced because somebody tries something in a set.
#[test]
fn an_edited_template_of_a_set_starts_no_update() {
    for revision in [1, 2] {
        let mut world = halfway();
        edit(&mut world, revision, |set| {
            set["spec"]["template"]["spec"]["containers"][0]["image"] = json!("web:debug");
            set["metadata"]["generation"] = json!(9);
        });
        assert_eq!(world.settle(), "Paused: CanaryPauseStep | r1 8/8, r2 2/2\n");
        assert_eq!(sets(&world), 2);
    }
}

#[test]
fn edited_sizes_are_put_right() {
    for (stable, canary) in [(Some(3), None), (None, Some(5)), (Some(0), Some(0))] {
        let mut world = halfway();
        for (revision, size) in [(1, stable), (2, canary)] {
            if let Some(size) = size {
                edit(&mut world, revision, |set| {
                    set["spec"]["replicas"] = json!(size)
                });
            }
        }
        world.settle();
        assert_eq!(world.sizes(), "r1 8/8, r2 2/2", "{stable:?} {canary:?}");
    }
}

#[test]
fn a_deleted_set_of_the_update_is_made_again() {
    let mut world = halfway();
    let name = name(&world, 2);
    world.remove("ReplicaSet", &name);
    expect![[r#"
        write ReplicaSet web-r2: revision 2
        event NewReplicaSetCreated: Created ReplicaSet web-r2 (revision 2)
        event ScalingReplicaSet: Scaled up ReplicaSet web-r2 (revision 2) from 0 to 2
        Paused: CanaryPauseStep | r1 8/8, r2 2/2
    "#]]
    .assert_eq(&world.settle());
    assert_eq!(world.object("ReplicaSet", &name)["spec"]["replicas"], 2);
    assert_eq!(world.status().collision_count, None);
}

// PAU-004: there is nothing left to go back to.
#[test]
fn without_a_stable_set_the_new_one_takes_over() {
    let mut world = halfway();
    world.remove("ReplicaSet", &name(&world, 1));
    expect![[r#"
        write ReplicaSet web-r2: scale from 2 to 10
        event ScalingReplicaSet: Scaled up ReplicaSet web-r2 (revision 2) from 2 to 10
        event RolloutCompleted: Rollout completed update to revision 2 (r2): Initial deploy
        event RolloutResumed: Rollout is resumed
        Healthy | r2 10/10
    "#]]
    .assert_eq(&world.settle());
    assert_eq!(world.status().stable_rs, world.hash(2));
}

#[test]
fn a_deleted_only_set_is_made_again() {
    let mut world = deployed();
    let name = name(&world, 1);
    world.remove("ReplicaSet", &name);
    expect![[r#"
        write ReplicaSet web-r1: revision 1
        event NewReplicaSetCreated: Created ReplicaSet web-r1 (revision 1)
        event ScalingReplicaSet: Scaled up ReplicaSet web-r1 (revision 1) from 0 to 10
        event RolloutCompleted: Rollout completed update to revision 1 (r1): Initial deploy
        Healthy | r1 10/10
    "#]]
    .assert_eq(&world.settle());
    assert_eq!(world.object("ReplicaSet", &name)["spec"]["replicas"], 10);
    assert_eq!(world.status().collision_count, None);
}

// A set that the status names counts as gone only when the API server says so.
#[test]
fn a_stable_set_that_is_not_seen_is_looked_for_first() {
    let world = halfway();
    let mut seen = world.observe();
    let stable = world.hash(1);
    seen.replica_sets.retain(|set| set.hash() != stable);
    let spec = validate(&seen.rollout, &seen);
    let made = decide(&spec, &seen);
    let asked: Vec<&Action> = made
        .plan
        .actions
        .iter()
        .map(|planned| &planned.action)
        .collect();
    let key =
        |name: &str| crate::object::ObjectKey::namespaced("apps/v1", "ReplicaSet", "shop", name);
    assert_eq!(
        asked,
        [&Action::Look(Query::Uncached(key(&name(&world, 1))))]
    );
    // The answer does not come: nothing is decided.
    let query = Query::Uncached(key(&name(&world, 1)));
    seen.looked
        .insert(query, Looked::Failed("timeout".to_owned()));
    assert_eq!(decide(&spec, &seen).plan.writes().count(), 0);
}
