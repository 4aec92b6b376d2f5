use crate::time::{evaluate, parse_duration, parse_rfc3339, seconds};

const NOW: i128 = 1_773_051_300_000_000_000;

fn check(expression: &str, expected: Result<&str, &str>) {
    let found = evaluate(expression, NOW).map(seconds);
    assert_eq!(
        found.as_deref().map_err(String::as_str),
        expected,
        "{expression}"
    );
}

// EXPR-009
#[test]
fn expressions_that_mean_a_time() {
    check("now()", Ok("1773051300"));
    check(" now ( ) - duration( '1h' ) ", Ok("1773047700"));
    check(
        "duration(`90s`) + now() - (duration(\"1m\") + duration(\"30s\"))",
        Ok("1773051300"),
    );
    check("now() - 2 * duration(\"1m\")", Ok("1773051180"));
    check("now() + -duration(\"1.5s\") * 2", Ok("1773051297"));
    check("now() - (now() - date(\"2026-03-09\"))", Ok("1773014400"));
    check("date(\"2026-03-09T10:15:00.5+02:00\")", Ok("1773044100.5"));
    check("date(\"2026-03-09 10:15:00\")", Ok("1773051300"));
    check("date(\"2026-03-0\" + '9')", Ok("1773014400"));
    check(
        "date(\"2023-08-14 00:00:00\", \"2006-01-02 15:04:05\", \"UTC\") - duration(\"1h\")",
        Ok("1691967600"),
    );
    check(
        "date(\"14/08/2023 +0200\", \"02/01/2006 -0700\")",
        Ok("1691964000"),
    );
    check("date(\"1969-12-31T23:59:59.75Z\")", Ok("-0.25"));
    check("date(\"2024-02-29\")", Ok("1709164800"));
}

// EXPR-009
#[test]
fn expressions_that_do_not() {
    let supported = "; a time is written with now(), date(), duration(), + - * and parentheses";
    check("", Err("unexpected token EOF"));
    check("now() -", Err("unexpected token EOF"));
    check("(now()", Err("unexpected token EOF"));
    check("now", Err(&format!("unknown name now{supported}")));
    check("today()", Err(&format!("unknown name today{supported}")));
    check(
        "now().Add(1)",
        Err(&format!("unexpected token '.'{supported}")),
    );
    check(
        "now() now()",
        Err(&format!("unexpected token 'n'{supported}")),
    );
    check("now(1)", Err("invalid arguments for now"));
    check("5", Err("expected time.Time, but got int"));
    check("'now'", Err("expected time.Time, but got string"));
    check(
        "now() - now()",
        Err("expected time.Time, but got time.Duration"),
    );
    check(
        "now() + now()",
        Err("invalid operation: + (mismatched types time.Time and time.Time)"),
    );
    check(
        "duration('1h') - now()",
        Err("invalid operation: - (mismatched types time.Duration and time.Time)"),
    );
    check(
        "now() * 2",
        Err("invalid operation: * (mismatched types time.Time and int)"),
    );
    check("-now()", Err("invalid operation: - time.Time"));
    check("'now", Err("literal not terminated"));
    check("date('2023-02-29')", Err("invalid date 2023-02-29"));
    check("date('2023-13-01')", Err("invalid date 2023-13-01"));
    check("date('x', 'é')", Err("invalid date x"));
    check(
        "date('2023-01-01', '2006-01-02', 'Europe/Paris')",
        Err("the time zone \"Europe/Paris\" is not known; use UTC or an offset in the date"),
    );
    check(
        "99999999999999999999",
        Err("99999999999999999999 is too large"),
    );
    check("9223372036854775807 * 2", Err("the number is too large"));
    check(
        "now() + duration('2562047h') * 9000",
        Err("the time is out of range"),
    );
    check(
        &"(".repeat(10_000),
        Err("the expression is nested too deeply"),
    );
}

#[test]
fn durations_are_go_s() {
    for (text, nanoseconds) in [
        ("0", 0),
        ("5s", 5_000_000_000),
        ("-1h1m", -3_660_000_000_000),
        ("+1.5ms", 1_500_000),
        (".5us", 500),
        ("1µs1ns", 1_001),
        ("1.h", 3_600_000_000_000),
        ("0.1234567890123456789s", 123_456_789),
    ] {
        assert_eq!(parse_duration(text), Ok(nanoseconds), "{text}");
    }
    for (text, why) in [
        ("", "time: invalid duration \"\""),
        ("-", "time: invalid duration \"-\""),
        (".s", "time: invalid duration \".s\""),
        ("1.2.3s", "time: invalid duration \"1.2.3s\""),
        ("s", "time: invalid duration \"s\""),
        ("5", "time: missing unit in duration \"5\""),
        ("5d", "time: unknown unit \"d\" in duration \"5d\""),
        ("9999999999h", "time: invalid duration \"9999999999h\""),
        (
            "99999999999999999999h",
            "time: invalid duration \"99999999999999999999h\"",
        ),
    ] {
        assert_eq!(parse_duration(text), Err(why.to_owned()), "{text}");
    }
}

#[test]
fn the_clock_is_rfc_3339() {
    assert_eq!(parse_rfc3339("2026-03-09T10:15:00Z"), Some(NOW));
    assert_eq!(
        parse_rfc3339("2026-03-09T12:15:00.000000001+02:00"),
        Some(NOW + 1)
    );
    assert_eq!(parse_rfc3339("1970-01-01T00:00:00Z"), Some(0));
    assert_eq!(
        parse_rfc3339("0000-02-29T00:00:00Z"),
        Some(-62_162_121_600_000_000_000)
    );
    for wrong in [
        "",
        "2026-03-09",
        "2026-03-09T24:00:00Z",
        "2026-03-09T10:15:00",
        "2026-03-09T10:15:00.Z",
        "2026-03-09T10:15:00Zx",
    ] {
        assert_eq!(parse_rfc3339(wrong), None, "{wrong}");
    }
}
