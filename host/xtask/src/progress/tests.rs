use super::*;

#[test]
fn lengths_of_time_read_well() {
    for (milliseconds, expected) in [
        (440, "0.4 s"),
        (9_960, "10.0 s"),
        (12_900, "12 s"),
        (60_000, "1 min 0 s"),
        (185_000, "3 min 5 s"),
    ] {
        assert_eq!(duration(Duration::from_millis(milliseconds)), expected);
    }
}

#[test]
fn a_line_that_is_too_long_ends_in_an_ellipsis_before_the_edge() {
    for (text, columns, expected) in [
        ("abc", 10, "abc"),
        ("abcdefghi", 10, "abcdefghi"),
        ("abcdefghij", 10, "abcdefgh…"),
        ("äöüäöü", 5, "äöü…"),
        ("abc", 0, "…"),
    ] {
        assert_eq!(fit(text, columns), expected, "{text} in {columns}");
    }
}
