//! Every story of `scenarios/`, compared with its transcript. `UPDATE_EXPECT=1` writes the transcripts anew.

use std::path::Path;
use std::process::Command;
use std::{env, fs};

use sluice_tests::control_plane::workspace;
use sluice_tests::story;

use crate::hostile;

/// Each story is a test of its own, so that a name that fails says what broke.
macro_rules! stories {
    ($($name:ident)*) => {
        $(#[test]
        fn $name() {
            tell(concat!(stringify!($name), ".story"));
        })*

        /// A story that no test tells would never be missed.
        #[test]
        fn every_story_is_told() {
            let told: Vec<&str> = vec![$(stringify!($name)),*];
            let files = story::stories(&scenarios()).unwrap();
            let present: Vec<String> =
                files.iter().map(|file| file.file_stem().unwrap().to_string_lossy().into_owned()).collect();
            assert_eq!(told, present);
        }
    };
}

stories! {
    abort_and_retry
    abort_with_dynamic_stable_scale_and_no_router
    abort_with_subsets_and_no_router
    aborted_canary_is_kept_for_a_while
    at_rest_and_gone
    autoscaler_in_every_pass
    autoscaler_in_the_middle
    back_to_stable_in_the_middle
    back_to_stable_with_dynamic_stable_scale
    bad_version_is_taken_back
    blue_green_aborted
    blue_green_switches_when_asked
    broken_plugin_file_harms_nobody_else
    canary_is_promoted
    canary_of_fixed_size
    canary_without_a_router
    computing_router_holds_up_no_abort
    controller_killed_in_the_middle
    deleted_and_created_without_its_router
    deleted_rollout_is_let_go_of
    deleted_while_no_controller_runs
    deleted_while_no_controller_runs_and_one_kind_cannot_be_listed
    dropped_router_that_traps_is_waited_for_a_while
    failing_router_holds_up_no_abort
    hanging_metrics_hold_up_no_abort
    hanging_router_holds_up_no_abort
    metrics_cannot_be_reached
    missing_service_is_reported
    missing_virtual_service_is_reported
    new_version_while_the_router_fails
    new_version_with_dynamic_stable_scale
    new_version_with_subsets_while_the_router_fails
    nobody_provides_the_metrics
    nobody_provides_the_router
    old_sets_wait_and_are_forgotten
    pods_are_restarted
    pods_that_never_get_ready
    restart_that_nobody_lets_go_on
    rollout_is_deleted
    router_is_dropped
    router_is_dropped_while_another_traps
    router_is_swapped
    router_is_taken_away_in_the_middle
    sets_deleted_by_hand
    sets_edited_by_hand
    steps_are_skipped
    trapping_check_holds_up_no_abort
    trapping_provider_holds_up_no_abort
    trapping_provider_is_an_error
    trapping_router_holds_up_no_abort
    undo_finds_the_old_set
}

fn scenarios() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios")
}

fn tell(file: &str) {
    let plugins = sluice_tests::guest_plugins().unwrap();
    let file = scenarios().join(file);
    let told =
        story::play(&file, &plugins, hostile::plugin).unwrap_or_else(|error| panic!("{error:#}"));
    expect_test::expect_file![file.with_extension("transcript")].assert_eq(&told.transcript);
}

/// Where a process that the next test starts writes its log.
const LOG: &str = "SLUICE_TEST_STORY_LOG";

/// Hash maps are seeded anew in each process, and addresses differ: what depends on either shows here.
#[test]
fn a_story_has_the_same_requests_in_every_process() {
    if let Some(place) = env::var_os(LOG) {
        let plugins = sluice_tests::guest_plugins().unwrap();
        let mut log = String::new();
        for name in [
            "bad_version_is_taken_back",
            "controller_killed_in_the_middle",
        ] {
            let file = scenarios().join(name).with_extension("story");
            let told = story::play(&file, &plugins, hostile::plugin)
                .unwrap_or_else(|error| panic!("{error:#}"));
            log.extend(told.requests.iter().map(|request| format!("{request}\n")));
        }
        fs::write(place, log).unwrap();
        return;
    }
    let folder = workspace().join("target/story-logs");
    fs::create_dir_all(&folder).unwrap();
    let logs: Vec<String> = (1..=3)
        .map(|number| {
            let place = folder.join(format!("{}-{number}.log", std::process::id()));
            let told = Command::new(env::current_exe().unwrap())
                .args([
                    "--exact",
                    "stories::a_story_has_the_same_requests_in_every_process",
                ])
                .env(LOG, &place)
                .output()
                .unwrap();
            assert!(
                told.status.success(),
                "{}",
                String::from_utf8_lossy(&told.stdout)
            );
            let log = fs::read_to_string(&place).unwrap();
            fs::remove_file(&place).unwrap();
            log
        })
        .collect();
    let [first, others @ ..] = logs.as_slice() else {
        panic!("no log");
    };
    assert!(first.lines().count() > 200, "{first}");
    for other in others {
        let differs = first
            .lines()
            .zip(other.lines())
            .find(|(one, other)| one != other);
        assert!(first == other, "{differs:?}");
    }
}
