//! Flags, as settings.

use std::time::Duration;

use clap::Parser;

use super::{Arguments, check_election, own_namespace, settings};

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    arguments: Arguments,
}

pub(super) fn arguments(flags: &str) -> Arguments {
    Line::try_parse_from(std::iter::once("sluice").chain(flags.split_whitespace()))
        .unwrap_or_else(|error| panic!("{flags}: {error}"))
        .arguments
}

// CTL-007, CTL-008, CTL-011
#[test]
fn a_namespace_bounds_the_work_and_moves_no_lease() {
    for (flags, only) in [
        ("", None),
        ("-n shop", None),
        ("--namespaced", Some("of-the-kubeconfig")),
        ("--namespaced -n shop", Some("shop")),
    ] {
        let settings = settings(arguments(flags), "of-the-kubeconfig".to_owned());
        assert_eq!(settings.only_namespace.as_deref(), only, "{flags}");
        assert_eq!(settings.lease_namespace, own_namespace(), "{flags}");
    }
}

#[test]
fn a_request_may_take_as_long_as_is_said() {
    for (flags, expected) in [
        ("", None),
        ("--request-timeout 0", None),
        ("--request-timeout 20", Some(Duration::from_secs(20))),
        ("--request-timeout 1m", Some(Duration::from_secs(60))),
    ] {
        let settings = settings(arguments(flags), String::new());
        assert_eq!(settings.request_timeout, expected, "{flags}");
    }
}

#[test]
fn times_of_the_election_leave_room_for_each_other() {
    let check = |lease, deadline, retry| {
        check_election(&arguments(&format!(
            "--leader-election-lease-duration {lease} --leader-election-renew-deadline {deadline} \
             --leader-election-retry-period {retry}"
        )))
    };
    assert_eq!(check("15s", "10s", "2s"), Ok(()));
    assert_eq!(check("3s", "2s", "1s"), Ok(()));
    assert_eq!(
        check("10s", "10s", "2s").unwrap_err(),
        "--leader-election-lease-duration (10s) must be greater than --leader-election-renew-deadline (10s)"
    );
    // Exactly 1.2 times as long is not longer.
    assert_eq!(
        check("15s", "12s", "10s").unwrap_err(),
        "--leader-election-renew-deadline (12s) must be greater than 1.2 times --leader-election-retry-period (10s)"
    );
    assert_eq!(
        check("0s", "10s", "2s").unwrap_err(),
        "--leader-election-lease-duration must be greater than zero"
    );
    assert_eq!(
        check("15s", "10s", "0s").unwrap_err(),
        "--leader-election-retry-period must be greater than zero"
    );
}
