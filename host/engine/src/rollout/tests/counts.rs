//! How many pods each set of a canary is to have.

use sluice_api::IntOrString;

use crate::rollout::counts::{
    Basic, Counts, Routed, Size, approximate, basic, routed, share_of, surge_and_unavailable,
};
use crate::rollout::steps::CanaryScale;

// CA-005, CA-006, CAN-001
#[test]
fn surge_rounds_up_unavailability_rounds_down_and_both_are_never_zero() {
    let text = |text: &str| IntOrString::from(text);
    let rows = [
        (text("25"), text("25"), 10, (3, 2)),
        (text("25%"), text("25%"), 10, (3, 2)),
        (text("25%"), text("25%"), 1, (1, 0)),
        (text("1%"), text("0"), 10, (1, 0)),
        (IntOrString::from(0), text("1%"), 10, (0, 1)),
        (IntOrString::from(0), IntOrString::from(5), 3, (0, 3)),
        (IntOrString::from(2), text("50%"), 5, (2, 2)),
        (text("25%"), text("25%"), 0, (0, 0)),
    ];
    for (surge, unavailable, replicas, expected) in rows {
        assert_eq!(
            surge_and_unavailable(&surge, &unavailable, replicas),
            expected,
            "{surge} {unavailable} of {replicas}"
        );
    }
    assert_eq!(share_of(&text("nonsense"), 10, true), 0);
    assert_eq!(share_of(&text("99999999999%"), 10, true), i32::MAX);
}

// CAN-004
#[test]
fn pods_come_as_close_to_the_weight_as_they_can() {
    // Replicas, weight, surge: canary, stable.
    let rows = [
        (0, 50, 1, (0, 0)),
        (1, 5, 0, (0, 1)),
        (1, 95, 0, (1, 0)),
        (1, 50, 1, (1, 1)),
        (3, 50, 0, (2, 1)),
        (3, 50, 1, (2, 2)),
        (4, 33, 1, (2, 3)),
        (10, 1, 0, (1, 9)),
        (10, 99, 0, (9, 1)),
        (10, 99, 1, (10, 1)),
        (10, 0, 1, (0, 10)),
        (10, 100, 1, (10, 0)),
        (5, 30, 1, (2, 4)),
    ];
    for (replicas, weight, surge, (canary, stable)) in rows {
        assert_eq!(
            approximate(replicas, weight, 100, surge),
            Counts { canary, stable },
            "{weight}% of {replicas}, surge {surge}"
        );
    }
}

fn basic_of(row: [i32; 11]) -> Counts {
    let [
        replicas,
        max_surge,
        max_unavailable,
        weight,
        new,
        new_available,
        has_stable,
        stable,
        stable_available,
        others,
        _,
    ] = row;
    basic(&Basic {
        replicas,
        max_surge,
        max_unavailable,
        weight,
        max_weight: 100,
        new: Some(Size {
            spec: new,
            available: new_available,
        }),
        stable: (has_stable == 1).then_some(Size {
            spec: stable,
            available: stable_available,
        }),
        others,
    })
}

// CAN-005
#[test]
fn the_documented_examples_hold() {
    let rows = [
        (10, 10, 1, 1, (1, 9)),
        (10, 30, 0, 3, (3, 10)),
        (10, 30, 5, 0, (0, 7)),
        (1, 5, 0, 1, (1, 1)),
        (1, 95, 0, 1, (1, 1)),
    ];
    for (replicas, weight, max_unavailable, max_surge, (canary, stable)) in rows {
        let counts = basic(&Basic {
            replicas,
            max_surge,
            max_unavailable,
            weight,
            max_weight: 100,
            new: Some(Size::default()),
            stable: Some(Size {
                spec: replicas,
                available: replicas,
            }),
            others: 0,
        });
        assert_eq!(counts, Counts { canary, stable }, "{weight}% of {replicas}");
    }
}

// An abort that finds no room for stable pods, since others serve and new ones never got ready.
#[test]
fn a_canary_that_never_got_ready_makes_room_for_the_stable_set() {
    let counts = basic_of([5, 2, 0, 0, 2, 0, 1, 1, 1, 4, 0]);
    assert_eq!((counts.canary, counts.stable), (0, 1));
    let counts = basic_of([5, 2, 0, 0, 0, 0, 1, 1, 1, 4, 0]);
    assert_eq!((counts.canary, counts.stable), (0, 3));
    // What is available stays for as long as others have to go first.
    let counts = basic_of([5, 2, 0, 0, 2, 1, 1, 1, 1, 4, 0]);
    assert_eq!((counts.canary, counts.stable), (1, 1));
}

// CAN-003, CAN-006, CAN-007, CAN-008, CAN-009, CAN-010
// Recorded from upstream's function.
#[test]
fn any_state_leads_to_the_sizes_that_upstream_computes() {
    // Replicas, surge, unavailable, weight, new and its available pods, whether there is another stable set, it and its
    // available pods, pods of other sets, nothing: new, stable.
    let rows = [
        ([9, 2, 3, 50, 0, 0, 1, 3, 3, 0, 0], (5, 5)),
        ([6, 3, 3, 95, 0, 0, 1, 6, 6, 0, 0], (3, 3)),
        ([9, 0, 2, 60, 2, 0, 1, 4, 0, 0, 0], (5, 4)),
        ([3, 3, 0, 75, 1, 0, 1, 1, 1, 0, 0], (3, 1)),
        ([6, 1, 2, 60, 3, 1, 1, 0, 0, 0, 0], (4, 3)),
        ([5, 2, 3, 30, 0, 0, 1, 1, 0, 0, 0], (2, 4)),
        ([7, 1, 3, 0, 8, 8, 1, 0, 0, 0, 0], (4, 0)),
        ([6, 3, 3, 5, 3, 3, 1, 7, 6, 0, 0], (1, 7)),
        ([8, 1, 1, 80, 9, 5, 1, 2, 1, 0, 0], (7, 2)),
        ([4, 1, 2, 5, 6, 6, 1, 0, 0, 0, 0], (2, 0)),
        ([3, 0, 2, 1, 5, 5, 1, 0, 0, 0, 0], (1, 0)),
        ([6, 2, 3, 60, 5, 5, 1, 2, 2, 0, 0], (4, 3)),
        ([4, 1, 0, 60, 1, 1, 1, 6, 2, 0, 0], (1, 3)),
        ([9, 1, 0, 75, 7, 7, 1, 5, 0, 0, 0], (7, 2)),
        ([6, 3, 3, 33, 3, 3, 1, 8, 4, 0, 0], (2, 7)),
        ([6, 2, 1, 60, 0, 0, 1, 6, 6, 0, 0], (2, 5)),
        ([4, 3, 0, 60, 0, 0, 1, 6, 6, 0, 0], (1, 4)),
        ([7, 3, 0, 30, 1, 1, 1, 7, 7, 0, 0], (2, 6)),
        ([12, 1, 0, 30, 2, 2, 1, 13, 11, 2, 0], (2, 13)),
        ([7, 2, 2, 60, 3, 0, 1, 2, 0, 2, 0], (4, 3)),
        ([3, 0, 1, 60, 1, 1, 1, 4, 4, 2, 0], (1, 4)),
        ([3, 2, 3, 75, 0, 0, 1, 2, 2, 3, 0], (0, 2)),
        ([4, 3, 1, 95, 5, 2, 1, 3, 3, 0, 0], (4, 3)),
        ([9, 3, 0, 50, 1, 0, 1, 9, 9, 0, 0], (3, 9)),
        ([6, 2, 3, 10, 0, 0, 1, 7, 2, 0, 0], (1, 6)),
        ([9, 0, 1, 80, 3, 2, 1, 3, 1, 0, 0], (6, 3)),
        ([12, 3, 1, 75, 2, 1, 1, 4, 3, 0, 0], (9, 4)),
        ([6, 2, 1, 95, 3, 0, 1, 1, 1, 0, 0], (6, 1)),
        ([5, 2, 1, 80, 7, 2, 0, 6, 1, 0, 0], (5, 0)),
        ([9, 3, 0, 100, 5, 3, 0, 3, 3, 0, 0], (9, 0)),
        ([7, 1, 2, 30, 9, 9, 0, 0, 0, 3, 0], (9, 0)),
        ([6, 3, 0, 1, 8, 8, 0, 8, 3, 3, 0], (8, 0)),
    ];
    for (row, (canary, stable)) in rows {
        assert_eq!(basic_of(row), Counts { canary, stable }, "{row:?}");
    }
}

// CAN-001, CAN-006, CAN-008: whatever the limits, the sizes get there, and never break the limits on the way.
#[test]
fn sizes_converge_within_the_limits() {
    for replicas in 1..=12 {
        for max_surge in 0..=3 {
            for max_unavailable in i32::from(max_surge == 0)..=3.min(replicas) {
                for weight in [0, 5, 10, 33, 50, 75, 95, 100] {
                    converge(replicas, max_surge, max_unavailable, weight);
                }
            }
        }
    }
}

fn converge(replicas: i32, max_surge: i32, max_unavailable: i32, weight: i32) {
    let mut new = Size::default();
    let mut stable = Size {
        spec: replicas,
        available: replicas,
    };
    for _ in 0..50 {
        let counts = basic(&Basic {
            replicas,
            max_surge,
            max_unavailable,
            weight,
            max_weight: 100,
            new: Some(new),
            stable: Some(stable),
            others: 0,
        });
        let case = format!(
            "{weight}% of {replicas}, surge {max_surge}, unavailable {max_unavailable}: {counts:?}"
        );
        let left = new.available.min(counts.canary) + stable.available.min(counts.stable);
        assert!(left >= replicas - max_unavailable, "too few pods: {case}");
        assert!(
            counts.canary + counts.stable <= replicas + max_surge,
            "too many pods: {case}"
        );
        if counts.canary == new.spec && counts.stable == stable.spec {
            assert_eq!(
                counts,
                approximate(replicas, weight, 100, max_surge),
                "stuck: {case}"
            );
            return;
        }
        new = Size {
            spec: counts.canary,
            available: counts.canary,
        };
        stable = Size {
            spec: counts.stable,
            available: counts.stable,
        };
    }
    panic!("{weight}% of {replicas} never settles");
}

// CAN-001: whatever sizes somebody has given both sets, what one gets fits beside what the other still has; and they get
// where they are to be.
#[test]
fn sets_of_any_size_never_grow_beyond_the_surge() {
    let (replicas, max_surge, max_unavailable, weight) = (6, 1, 1, 40);
    let sizes = || (0..=9).flat_map(|spec| (0..=9).map(move |available| Size { spec, available }));
    for (new, stable) in sizes().flat_map(|new| sizes().map(move |stable| (new, stable))) {
        let (mut new, mut stable) = (new, stable);
        let case = format!("{new:?}, {stable:?}");
        for pass in 0.. {
            let counts = basic(&Basic {
                replicas,
                max_surge,
                max_unavailable,
                weight,
                max_weight: 100,
                new: Some(new),
                stable: Some(stable),
                others: 0,
            });
            let grown = new.spec.max(counts.canary) + stable.spec.max(counts.stable);
            assert!(
                grown <= (replicas + max_surge).max(new.spec + stable.spec),
                "{grown} pods at once: {case}: {counts:?}"
            );
            if (counts.canary, counts.stable) == (new.spec, stable.spec)
                && (new.spec, stable.spec) == (new.available, stable.available)
            {
                assert_eq!(
                    counts,
                    approximate(replicas, weight, 100, max_surge),
                    "{case}"
                );
                break;
            }
            assert!(pass < 50, "never settles: {case}");
            // All pods become available, or those beyond the size go.
            let settled = |spec| Size {
                spec,
                available: spec,
            };
            (new, stable) = (settled(counts.canary), settled(counts.stable));
        }
    }
}

// CAN-020, CAN-022, CAN-023, CA-014
// Recorded from upstream's function.
#[test]
fn a_router_makes_sizes_follow_the_weight() {
    let none = None;
    // Replicas, weight, setCanaryScale, dynamic, aborted, recorded canary weight, least pods: canary, stable.
    let rows = [
        (3, 80, none, false, false, None, None, (3, 3)),
        (10, 95, none, false, false, None, None, (10, 10)),
        (
            3,
            50,
            Some(CanaryScale::Replicas(1)),
            false,
            false,
            None,
            Some(3),
            (1, 3),
        ),
        (
            10,
            33,
            Some(CanaryScale::Replicas(5)),
            false,
            false,
            None,
            None,
            (5, 10),
        ),
        (
            7,
            1,
            Some(CanaryScale::Weight(24)),
            false,
            false,
            None,
            Some(3),
            (3, 7),
        ),
        (
            10,
            60,
            Some(CanaryScale::Weight(24)),
            false,
            false,
            Some(0),
            Some(2),
            (3, 10),
        ),
        (
            10,
            60,
            Some(CanaryScale::MatchTrafficWeight),
            false,
            false,
            None,
            None,
            (6, 10),
        ),
        (6, 100, none, true, false, Some(1), Some(3), (6, 6)),
        (8, 95, none, true, false, Some(75), Some(2), (8, 2)),
        (9, 50, none, true, false, Some(33), Some(0), (5, 7)),
        (12, 33, none, true, false, Some(5), Some(2), (4, 12)),
        (9, 0, none, true, true, Some(95), None, (9, 9)),
        (3, 60, none, true, true, Some(100), Some(1), (3, 2)),
        (10, 50, none, true, true, Some(50), Some(1), (5, 10)),
        (5, 20, none, true, true, Some(95), Some(0), (5, 4)),
        (
            7,
            1,
            Some(CanaryScale::Replicas(7)),
            true,
            false,
            Some(75),
            Some(2),
            (7, 7),
        ),
        (
            4,
            33,
            Some(CanaryScale::Replicas(7)),
            true,
            false,
            None,
            Some(3),
            (7, 4),
        ),
    ];
    for (replicas, weight, scale, dynamic, aborted, actual, min_pods, (canary, stable)) in rows {
        // Row 14 was recorded half-way through an abort, where upstream computes the weight from available pods.
        let weight = if (replicas, weight, aborted) == (10, 50, true) {
            0
        } else {
            weight
        };
        let counts = routed(&Routed {
            replicas,
            weight,
            max_weight: 100,
            scale,
            dynamic,
            aborted,
            actual: actual.map(|canary: i32| (canary, 100 - canary)),
            min_pods,
        });
        assert_eq!(
            counts,
            Counts { canary, stable },
            "{weight}% of {replicas}, {scale:?}"
        );
    }
}

// CAN-023: upstream lets stable follow a large setCanaryScale down, and then waits for ever for its pods.
#[test]
fn a_large_canary_of_fixed_size_does_not_shrink_the_stable_set() {
    let counts = routed(&Routed {
        replicas: 10,
        weight: 20,
        max_weight: 100,
        scale: Some(CanaryScale::Weight(80)),
        dynamic: true,
        aborted: false,
        actual: Some((80, 20)),
        min_pods: None,
    });
    assert_eq!(
        counts,
        Counts {
            canary: 8,
            stable: 8
        }
    );
}
