//! Flags, as settings.

use std::time::Duration;

use clap::Parser;

use super::{Arguments, own_namespace, settings};

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
