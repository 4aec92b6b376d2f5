//! Every contract, and where the simulation differs on purpose.

use futures::FutureExt as _;

use super::{
    Contract, custom, deletion, latencies, lists, objects, patches, pods, subresources, watches,
    workloads,
};

/// Lines of the table: what a contract is called is what its function is called.
macro_rules! contracts {
    ($($module:ident { $($name:ident,)* })*) => {
        pub const CONTRACTS: &[Contract] = &[
            $($(Contract {
                name: concat!(stringify!($module), "::", stringify!($name)),
                run: |ground| $module::$name(ground).boxed_local(),
            },)*)*
        ];
    };
}

contracts! {
    objects {
        a_created_object_gets_what_only_the_server_gives,
        a_generated_name_is_the_prefix_and_five_characters,
        what_cannot_be_created_is_refused_with_its_reason,
        labels_and_annotations_have_rules,
        what_is_not_there_is_not_found,
        an_update_needs_the_version_that_it_was_made_from,
        what_changes_nothing_is_not_written,
        generation_counts_changes_of_the_spec,
        a_dry_run_answers_and_writes_nothing,
        unknown_fields_are_refused_only_if_asked,
        a_service_keeps_what_it_was_given,
        a_lease_is_created_by_replacing_it,
        an_event_belongs_where_its_object_is,
    }
    patches {
        a_merge_patch_removes_what_is_null,
        a_version_in_a_patch_is_a_precondition,
        a_json_patch_does_what_it_says_or_nothing,
        a_strategic_patch_merges_lists_by_their_keys,
        ports_of_a_service_merge_by_number,
        a_patch_cannot_change_what_an_object_is,
        server_side_apply_creates_and_owns_fields,
    }
    lists {
        a_list_is_ordered_and_tells_its_version,
        label_selectors_pick,
        field_selectors_pick,
        pages_of_one_list_agree,
        a_list_can_be_asked_for_a_version,
        a_write_is_read_at_once,
        versions_only_grow,
        a_table_has_the_columns_that_kubectl_shows,
        metadata_alone_can_be_asked_for,
    }
    watches {
        a_watch_tells_what_came_after_its_version,
        a_watch_goes_on_where_another_ended,
        a_watch_without_a_version_tells_what_is_there,
        what_leaves_a_selection_is_deleted_for_its_watch,
        one_object_can_be_watched,
        a_watch_ends_when_it_was_told_to_with_a_bookmark_before,
        a_version_that_is_too_old_is_gone,
        a_list_can_be_a_watch_that_says_when_it_is_complete,
        a_deletion_with_finalizers_is_a_change_first,
        two_watches_are_told_the_same,
    }
    deletion {
        a_deletion_tells_what_it_did,
        a_deletion_has_preconditions,
        finalizers_hold_an_object,
        a_collection_is_deleted_by_selector,
        in_the_background_the_owner_goes_first,
        in_the_foreground_the_owner_waits,
        orphans_stay_without_their_owner,
        garbage_is_collected_when_no_owner_is_left,
        an_object_has_one_controller,
        a_namespace_is_emptied_before_it_goes,
    }
    subresources {
        status_is_written_through_its_subresource,
        a_built_in_status_takes_labels_along,
        the_scale_of_a_set_is_its_replicas,
        the_scale_of_a_custom_kind_is_where_its_definition_says,
    }
    custom {
        unknown_fields_are_pruned_and_defaults_set,
        wrong_values_are_refused_by_field,
        a_time_has_the_form_of_one,
        custom_objects_have_their_own_rules,
        a_rule_can_compare_with_what_was_before,
        a_table_of_custom_objects_has_the_columns_of_its_definition,
        a_definition_takes_its_objects_along,
    }
    pods {
        a_template_is_filled_in,
        a_pod_template_kind_defaults_like_a_set,
        templates_that_cannot_run_are_refused,
        a_pod_gets_ready,
        a_deleted_pod_terminates,
        an_eviction_is_a_polite_deletion,
        a_budget_says_how_many_pods_may_go,
        a_budget_can_be_a_percentage,
    }
    workloads {
        a_set_makes_and_counts_its_pods,
        a_set_that_shrinks_keeps_pods_that_serve,
        a_set_adopts_and_releases_pods,
        a_set_waits_until_pods_are_available,
        a_set_that_is_deleted_takes_its_pods_along,
        a_deployment_rolls_from_set_to_set,
        a_job_ends_as_its_pods_do,
        a_slice_follows_the_pods_of_its_service,
    }
    latencies {
        a_write_and_its_event_are_close,
        events_of_many_writers_keep_the_order_of_versions,
        a_read_sees_what_was_answered_before,
        conflicting_writers_take_turns,
        pods_of_a_set_take_their_time,
        a_watch_that_is_late_is_told_what_it_missed,
    }
}

/// A claim that does not hold on the simulation, and why that is on purpose.
#[derive(Debug)]
pub struct Difference {
    pub contract: &'static str,
    pub claim: &'static str,
    pub reason: &'static str,
}

pub const DIFFERENCES: &[Difference] = &[
    Difference {
        contract: "objects::a_created_object_gets_what_only_the_server_gives",
        claim: "who manages which fields",
        reason: "managedFields serve server-side apply, which nobody uses here, and would double the size of every object",
    },
    Difference {
        contract: "patches::server_side_apply_creates_and_owns_fields",
        claim: "it creates",
        reason: "server-side apply is left out: neither Sluice nor kubectl argo rollouts uses it",
    },
    Difference {
        contract: "patches::server_side_apply_creates_and_owns_fields",
        claim: "another manager is refused",
        reason: "as above",
    },
    Difference {
        contract: "patches::server_side_apply_creates_and_owns_fields",
        claim: "unless it insists",
        reason: "as above",
    },
];
