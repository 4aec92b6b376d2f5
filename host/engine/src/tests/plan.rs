//! When to look again.

use jiff::Timestamp;

use crate::plan::Requeue;

#[test]
fn only_a_time_to_come_hurries_who_has_failed() {
    let at = |second| Requeue::At(Timestamp::from_second(second).expect("in range"));
    let now = Timestamp::from_second(5).expect("in range");
    for (asked, left) in [
        (at(4), Requeue::OnChange),
        (at(5), Requeue::OnChange),
        (at(6), at(6)),
        (Requeue::OnChange, Requeue::OnChange),
    ] {
        assert_eq!(asked.after(now), left, "{asked:?}");
    }
}
