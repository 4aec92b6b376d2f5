//! Amounts, whatever they are written like.

use serde_json::{Value, json};

use crate::quantity::same_amount;

#[test]
fn amounts_are_the_same_however_they_are_written() {
    let rows: [(bool, Value, Value); 22] = [
        (true, json!("500m"), json!("0.5")),
        (true, json!("700m"), json!(0.7)),
        (true, json!(1), json!("1000m")),
        (true, json!("1Ki"), json!(1024)),
        (true, json!("1.5Gi"), json!("1536Mi")),
        (true, json!("1k"), json!("1e3")),
        (true, json!("1E3"), json!("1000")),
        (true, json!("1E"), json!("1000P")),
        (true, json!("-1"), json!("-1000m")),
        (true, json!("-.5"), json!("-500m")),
        (true, json!("1u"), json!("1000n")),
        (true, json!("0.1n"), json!("1n")),
        (false, json!("1M"), json!("1Mi")),
        (false, json!("1"), json!("2")),
        (false, json!("1x"), json!("1x")),
        (false, json!(""), json!("")),
        (false, json!("."), json!("0")),
        (false, json!("1e999"), json!("1e999")),
        (false, json!("1e-99"), json!("0")),
        (
            false,
            json!("99999999999999999999999999999999999999999"),
            json!("1"),
        ),
        (false, json!(true), json!(true)),
        (
            false,
            json!("1.0000000000000000000000000000000000000000001"),
            json!("1"),
        ),
    ];
    for (expected, left, right) in rows {
        assert_eq!(same_amount(&left, &right), expected, "{left} {right}");
        assert_eq!(same_amount(&right, &left), expected, "{right} {left}");
    }
}
