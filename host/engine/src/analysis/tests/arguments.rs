//! Arguments in metrics.

use serde_json::{Value, json};

use super::world::run;
use crate::analysis::arguments::fill;
use crate::analysis::validate;

// ARG-001
#[test]
fn tags_are_replaced_by_values() {
    let known = |tag: &str| (tag == "args.var").then(|| "foo".to_owned());
    let check = |text: &str, expected: Result<&str, &str>| {
        assert_eq!(
            fill(text, known),
            expected.map(str::to_owned).map_err(str::to_owned),
            "{text}"
        );
    };
    check("test", Ok("test"));
    check("test-{{args.var}}", Ok("test-foo"));
    check("{{ args.var }}-{{args.var}}", Ok("foo-foo"));
    check("}} {{args.var}}", Ok("}} foo"));
    check("{{args.other}}", Err("failed to resolve {{args.other}}"));
    check(
        "{{ args.other }}{{args.last}}",
        Err("failed to resolve {{args.last}}"),
    );
    check(
        "{{args.var}",
        Err(
            "Cannot find end tag=\"}}\" in the template=\"{{args.var}\" starting from \"args.var}\"",
        ),
    );
    check(
        "a\"{{args.var",
        Err(
            "Cannot find end tag=\"}}\" in the template=\"a\\\"{{args.var\" starting from \"args.var\"",
        ),
    );
}

fn resolved(metric: Value, args: Value) -> Result<Value, String> {
    let valid = validate(&run(json!({ "metrics": [metric], "args": args })))?;
    Ok(serde_json::to_value(&valid.metrics[0].metric).unwrap())
}

// ARG-001: what a text contains survives, quotes and line breaks included
#[test]
fn any_text_can_be_a_value() {
    let texts = [
        "plain",
        "",
        "double quotes\"newline\nand tab\t",
        "back\\slash",
        "é 漢 \u{1f600} \u{200b} <&>",
        "bell \u{7} nul \u{0}",
        "{{args.v}}",
    ];
    for text in texts {
        let metric = json!({ "name": "m", "provider": { "web": { "url": "a{{args.v}}b" } } });
        let found = resolved(metric, json!([{ "name": "v", "value": text }])).unwrap();
        assert_eq!(
            found["provider"]["web"]["url"],
            format!("a{text}b"),
            "{text:?}"
        );
    }
}

// ARG-002
#[test]
fn every_text_field_can_have_arguments_numbers_included() {
    let metric = json!({
        "name": "m-{{args.n}}", "count": "{{args.n}}", "interval": "{{args.n}}s", "failureLimit": "{{ args.n }}",
        "successCondition": "result > {{args.n}}",
        "provider": { "job": { "spec": { "{{args.n}}": ["{{args.n}}"], "untouched": 4 } } },
    });
    let found = resolved(metric, json!([{ "name": "n", "value": "7" }])).unwrap();
    assert_eq!(
        found,
        json!({
            "name": "m-7", "count": "7", "interval": "7s", "failureLimit": "7", "successCondition": "result > 7",
            "provider": { "job": { "spec": { "7": ["7"], "untouched": 4 } } },
        })
    );
    // Braces in unrelated text are a mistake; here the closing ones are those of the JSON itself.
    let text = json!({ "name": "m", "provider": { "job": { "note": "a {{ in a text" } } });
    assert_eq!(
        resolved(text, json!([])).unwrap_err(),
        "Unable to resolve metric arguments: failed to resolve {{ in a text\"}}"
    );
}

// ARG-003
#[test]
fn the_same_secret_has_the_same_placeholder_and_another_has_another() {
    let metric = json!({ "name": "m", "provider": { "web": { "a": "{{args.a}}", "b": "{{args.b}}", "c": "{{args.c}}" } } });
    let secret = |name: &str, key: &str| {
        json!({
            "name": name, "value": "ignored", "valueFrom": { "secretKeyRef": { "name": "s", "key": key } },
        })
    };
    let spec = json!({
        "metrics": [metric, { "name": "other", "provider": { "web": { "a": "{{args.c}}" } } }],
        "args": [secret("a", "1"), secret("b", "1"), secret("c", "2")],
    });
    let valid = validate(&run(spec.clone())).unwrap();
    let config = &valid.metrics[0].config;
    assert_eq!(config["a"], config["b"]);
    assert_ne!(config["a"], config["c"]);
    assert_eq!(valid.metrics[0].secrets.len(), 2);
    assert_eq!(valid.metrics[1].secrets.len(), 1);
    assert_eq!(valid, validate(&run(spec.clone())).unwrap());
    let mut another = run(spec);
    another.metadata.uid = "another".to_owned();
    assert_ne!(
        valid.metrics[0].config,
        validate(&another).unwrap().metrics[0].config
    );
}
