//! Go's durations.

use jiff::SignedDuration;

use crate::*;

// STP-002
#[test]
fn durations_are_read_as_go_reads_them() {
    let check = |text: &str, nanoseconds: i64| {
        assert_eq!(
            parse_duration(text),
            Ok(SignedDuration::from_nanos(nanoseconds)),
            "{text}"
        );
    };
    check("0", 0);
    check("-0", 0);
    check("5s", 5_000_000_000);
    check("+5s", 5_000_000_000);
    check("-5s", -5_000_000_000);
    check("1h30m", 5_400_000_000_000);
    check("1.5h", 5_400_000_000_000);
    check(".5s", 500_000_000);
    check("5.s", 5_000_000_000);
    check("0.3333333333333333333h", 1_200_000_000_000 - 1);
    check("1us2ns", 1_002);
    check("1µs", 1_000);
    check("1μs", 1_000);
    check("3h2m1s4ms5us6ns", 10_921_004_005_006);
    check("1s1s", 2_000_000_000);
    check("9223372036854775807ns", i64::MAX);
    check("-9223372036854775808ns", i64::MIN);
}

// STP-002, AT-007
#[test]
fn what_is_no_duration_is_refused_in_the_words_of_go() {
    let check = |text: &str, message: &str| {
        assert_eq!(parse_duration(text).unwrap_err().to_string(), message);
    };
    check("", r#"time: invalid duration """#);
    check("-", r#"time: invalid duration "-""#);
    check("s", r#"time: invalid duration "s""#);
    check(".s", r#"time: invalid duration ".s""#);
    check("5", r#"time: missing unit in duration "5""#);
    check("1h5", r#"time: missing unit in duration "1h5""#);
    check("1d", r#"time: unknown unit "d" in duration "1d""#);
    check("1 s", r#"time: unknown unit " s" in duration "1 s""#);
    check(
        "9223372036854775808ns",
        r#"time: invalid duration "9223372036854775808ns""#,
    );
    check(
        "99999999999999999999999999999999999999999h",
        r#"time: invalid duration "99999999999999999999999999999999999999999h""#,
    );
    check(
        "{{args.interval}}",
        r#"time: invalid duration "{{args.interval}}""#,
    );
}

#[test]
fn durations_are_written_as_go_writes_them() {
    let check = |nanoseconds: i64, expected: &str| {
        assert_eq!(
            format_duration(SignedDuration::from_nanos(nanoseconds)),
            expected
        );
    };
    check(0, "0s");
    check(1, "1ns");
    check(1_100, "1.1µs");
    check(2_200_000, "2.2ms");
    check(3_300_000_000, "3.3s");
    check(-90_000_000_000, "-1m30s");
    check(245_000_000_000, "4m5s");
    check(18_367_001_000_000, "5h6m7.001s");
    check(3_600_000_000_000, "1h0m0s");
    check(i64::MIN, "-2562047h47m16.854775808s");
}
