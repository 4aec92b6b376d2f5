//! Conditions, against what the language of Argo Rollouts answers.

use serde_json::{Value, json};
use sluice_api as api;

use super::world::{START, at};
use crate::analysis::expression::{condition, evaluate};
use crate::plugin::MeasuredValue;

fn value(kind: &str, text: &str) -> Option<MeasuredValue> {
    match kind {
        "nil" => None,
        "num" => Some(MeasuredValue::Number(text.parse().unwrap())),
        "nums" => Some(MeasuredValue::Numbers(serde_json::from_str(text).unwrap())),
        "text" => Some(MeasuredValue::Text(text.to_owned())),
        "doc" => Some(MeasuredValue::Document(serde_json::from_str(text).unwrap())),
        other => panic!("{other}"),
    }
}

fn outcome(value: Option<&MeasuredValue>, text: &str) -> String {
    match condition(value, text, at(START)) {
        Ok(holds) => holds.to_string(),
        Err(error) => format!("ERR {}", error.replace('\n', "\\n")),
    }
}

/// Conditions that differ from the record on purpose or for lack of the same words.
const DIFFERENT: &[(&str, &str)] = &[
    // Upstream takes what is left of `and` for its value.
    ("result.s and true", "ERR Invalid operands for operator and"),
    (
        "result.s ? true : false",
        "ERR Invalid condition for if: String(\"ok\")",
    ),
    (
        "count([1,2]) == 2",
        "ERR predicate should return boolean (got int)",
    ),
    ("sum([\"a\"]) == 1", "ERR sum() values must be numbers"),
    // The type of the elements of a measured list is known before evaluation only.
    (
        "asFloat(result) > 1",
        "ERR asFloat() not supported on []interface {} [0.5, 0.25]",
    ),
    (
        "default(result, 0) > 1",
        "ERR invalid operation: []interface {} > int",
    ),
    // Where upstream's words are those of Go's libraries, or no words at all.
    (
        "len(result) == 0",
        "ERR invalid argument for len (type unknown)",
    ),
    (
        "result matches \"(\"",
        "ERR error parsing regexp: unclosed group",
    ),
    (
        "string(result) matches \"[\"",
        "ERR error parsing regexp: unclosed character class",
    ),
    (
        "let p = \"[\"; \"a\" matches p",
        "ERR error parsing regexp: unclosed character class",
    ),
    (
        "fromJSON(\"nope\") == nil",
        "ERR expected ident at line 1 column 2",
    ),
    ("result.a.b == 1", "ERR cannot fetch b from []interface {}"),
    // What we reckon and upstream does not.
    (
        "len(map(1..1000, {map(1..1000, {#})})) > 1",
        "ERR the condition takes too much: what a predicate names is copied for every element, so compute what is the \
         same for all of them before, with let",
    ),
    // Functions are no values, and the whole environment is none.
    ("isNaN", "ERR isNaN must be called"),
    ("len == 1", "ERR len must be called"),
    ("$env?.foo == nil", "ERR unknown name foo"),
    ("\"result\" in $env", "ERR $env must be followed by a name"),
    ("$env", "ERR $env must be followed by a name"),
];

// EXPR-001, EXPR-002, EXPR-003, EXPR-004, EXPR-005, EXPR-006
#[test]
fn conditions_answer_as_the_language_of_argo_rollouts_does() {
    let mut wrong = Vec::new();
    for line in include_str!("expressions.tsv")
        .lines()
        .filter(|line| !line.starts_with("# "))
    {
        let (kind, rest) = line.split_once('\t').unwrap();
        let (text, rest) = rest.split_once('\t').unwrap();
        let (condition, expected) = rest.rsplit_once('\t').unwrap();
        let found = outcome(value(kind, text).as_ref(), condition);
        // Where upstream has an answer ours is the same; only what is said about a mistake may differ.
        let words = expected.starts_with("ERR") || condition.contains("$env");
        let ours = DIFFERENT
            .iter()
            .find(|(known, _)| words && *known == condition);
        let expected = ours.map_or(expected, |(_, ours)| ours);
        if found != expected {
            wrong.push(format!(
                "{kind} {text}: {condition}\n     ours: {found}\n upstream: {expected}"
            ));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} differ:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

// EXPR-007
#[test]
fn what_cannot_be_evaluated_is_an_error_that_names_the_condition() {
    let check = |value: Option<MeasuredValue>, success: &str, failure: &str, expected: &str| {
        let metric = api::Metric {
            success_condition: success.to_owned(),
            failure_condition: failure.to_owned(),
            ..api::Metric::default()
        };
        assert_eq!(
            evaluate(value.as_ref(), &metric, at(START)).unwrap_err(),
            expected
        );
    };
    let number = || Some(MeasuredValue::Number(5.0));
    check(
        number(),
        "a == true",
        "true",
        "could not evaluate successCondition \"a == true\": unknown name a",
    );
    check(
        number(),
        "true",
        "a == true",
        "could not evaluate failureCondition \"a == true\": unknown name a",
    );
    check(
        number(),
        "1",
        "",
        "could not evaluate successCondition \"1\": expected bool, but got int",
    );
    let empty = "could not evaluate successCondition \"result[0] >= 0.95\": metric result is nil or empty: no data \
                 returned from the metric provider";
    check(None, "result[0] >= 0.95", "", empty);
    check(
        Some(MeasuredValue::Numbers(Vec::new())),
        "result[0] >= 0.95",
        "",
        empty,
    );
    check(
        Some(MeasuredValue::Document(Value::Null)),
        "result[0] >= 0.95",
        "",
        empty,
    );
    check(
        Some(MeasuredValue::Document(json!([]))),
        "result[0] >= 0.95",
        "",
        empty,
    );
    // An error about an empty object is its own.
    check(
        Some(MeasuredValue::Document(json!({}))),
        "result.a >= 0.95",
        "",
        "could not evaluate successCondition \"result.a >= 0.95\": invalid operation: <nil> >= float64",
    );
}

// EXPR-008, AT-010
#[test]
fn conditions_decide_over_a_measurement_alone_or_together() {
    let check = |success: &str, failure: &str, expected: &str| {
        let metric = api::Metric {
            success_condition: success.to_owned(),
            failure_condition: failure.to_owned(),
            ..api::Metric::default()
        };
        let value = MeasuredValue::Number(5.0);
        assert_eq!(
            evaluate(Some(&value), &metric, at(START)).unwrap().as_str(),
            expected,
            "{success:?} {failure:?}"
        );
    };
    check("", "", "Successful");
    check("true", "", "Successful");
    check("false", "", "Failed");
    check("", "true", "Failed");
    check("", "false", "Successful");
    check("true", "true", "Failed");
    check("false", "true", "Failed");
    check("false", "false", "Inconclusive");
    check("true", "false", "Successful");
}

// Design 11: no clock, no zone
#[test]
fn conditions_see_the_clock_of_the_decision_and_no_zone() {
    let check = |text: &str| {
        assert_eq!(
            condition(None, text, at("2031-02-03T04:05:06.5Z")),
            Ok(true),
            "{text}"
        )
    };
    check("now() == date(\"2031-02-03T04:05:06.5Z\")");
    check("now().Year() == 2031 and now().Location().String() == \"UTC\"");
    check("timezone(\"Local\").String() == \"UTC\"");
    check("date(\"2031-02-03\", \"2006-01-02\", \"Local\").Location().String() == \"UTC\"");
    check("now().Local() == now()");
}

const TOO_MUCH: &str = "the condition takes too much: what a predicate names is copied for every element, so compute \
                        what is the same for all of them before, with let";

#[test]
fn no_condition_runs_without_bounds() {
    let check = |text: &str, expected: &str| {
        let numbers = MeasuredValue::Numbers((0..2_000).map(f64::from).collect());
        let found = condition(Some(&numbers), text, at(START)).unwrap_err();
        assert_eq!(found, expected, "{text:.60}");
    };
    check("len(1..9223372036854775807) > 1", "memory budget exceeded");
    check(
        "len(-9223372036854775807..9223372036854775807) > 1",
        "memory budget exceeded",
    );
    check("len(map(1..2000, {map(1..2000, {#})})) > 1", TOO_MUCH);
    check(
        "all(result, {all(result, {all(result, {# >= 0})})})",
        TOO_MUCH,
    );
    check(
        "len(repeat(repeat(\"x\", 100000), 100000)) > 1",
        "memory budget exceeded",
    );
    check(
        &format!("{}true{}", "(".repeat(100_000), ")".repeat(100_000)),
        "expression is nested too deeply",
    );
    check(
        &format!("{}true", "!".repeat(100_000)),
        "expression is nested too deeply",
    );
    check(&"[".repeat(100_000), "expression is nested too deeply");
    check(
        &format!("1{}", " + 1".repeat(100_000)),
        "expression is too long",
    );
    check(
        &format!("result{}", "[0]".repeat(100_000)),
        "expression is too long",
    );
    check(
        &format!("1{}", " + 1".repeat(100)),
        "expression is nested too deeply",
    );
}

// Each of these went on for seconds to hours, or until the memory or the stack was used up.
#[test]
fn what_a_condition_copies_makes_and_compares_is_reckoned() {
    let numbers = MeasuredValue::Numbers((0..50_000).map(f64::from).collect());
    let text = MeasuredValue::Text("x".repeat(500_000));
    let long = format!("all(1..90000, {{# >= 0{}}})", " and # >= 0".repeat(400));
    let sorted = format!("len({}result{}) > 0", "sort(".repeat(50), ")".repeat(50));
    let check = |value: &MeasuredValue, text: &str, expected: &str| {
        let found = condition(Some(value), text, at(START)).unwrap_err();
        assert_eq!(found, expected, "{text:.60}");
    };
    // Copies.
    check(&numbers, "all(1..90000, {len(result) > 0})", TOO_MUCH);
    check(
        &numbers,
        "let x = result; all(1..90000, {len(x) > 0})",
        TOO_MUCH,
    );
    check(
        &numbers,
        "len(reduce(1..90000, {#acc}, result)) > 0",
        TOO_MUCH,
    );
    check(
        &numbers,
        "all([result], {let x = #; all(1..90000, {len(x) > 0})})",
        TOO_MUCH,
    );
    check(
        &numbers,
        "all(1..90000, {len(default(1, 2)) > 0})",
        TOO_MUCH,
    );
    check(&numbers, "all(1..90000, {0 in result})", TOO_MUCH);
    check(&numbers, &format!("all(1..90000, {{{sorted}}})"), TOO_MUCH);
    check(&text, "all(1..90000, {len(result) > 0})", TOO_MUCH);
    check(
        &MeasuredValue::Document(json!({ "a": vec![0; 50_000] })),
        "all(1..90000, {len(result.a) > 0})",
        TOO_MUCH,
    );
    // Bodies.
    check(&numbers, &long, TOO_MUCH);
    // What is made.
    check(
        &numbers,
        "len(reduce(1..60, {concat(#acc, #acc)}, [1])) > 0",
        TOO_MUCH,
    );
    check(
        &numbers,
        "len(reduce(1..60, {#acc + #acc}, \"x\")) > 0",
        TOO_MUCH,
    );
    check(
        &numbers,
        "len(reduce(1..90000, {[#acc]}, 1)) > 0",
        "a value is nested too deeply",
    );
    check(
        &text,
        "len(map(1..90000, {split(result, \"\")})) > 0",
        TOO_MUCH,
    );
    check(
        &text,
        "len(replace(result, \"\", repeat(\"y\", 400000))) > 0",
        "replace() would take too much",
    );
    check(
        &numbers,
        "len(join(map(1..50000, {\"a\"}), repeat(\"x\", 100000))) > 0",
        "join() would take too much",
    );
    // Comparisons and patterns.
    check(
        &numbers,
        "len(uniq(result)) > 0",
        "uniq() would take too much",
    );
    check(
        &numbers,
        "len(uniq(1..900000)) > 0",
        "uniq() would take too much",
    );
    check(
        &numbers,
        "len(groupBy(result, {#})) > 0",
        "groupBy() would take too much",
    );
    check(
        &numbers,
        "len(fromPairs(map(result, {[#, 1]}))) > 0",
        "fromPairs() would take too much",
    );
    check(
        &numbers,
        "let g = groupBy(result[:5000], {#}); all(1..9000, {g == g})",
        TOO_MUCH,
    );
    check(
        &numbers,
        "none(result, {\"a\" matches (\"b\" + string(#))})",
        "the condition has too many patterns",
    );
}

#[test]
fn what_conditions_usually_do_is_well_within_the_budget() {
    let check = |value: &MeasuredValue, text: &str| {
        // As much again for good measure.
        let twice = format!("({text}) and ({text})");
        assert_eq!(condition(Some(value), text, at(START)), Ok(true), "{text}");
        assert_eq!(
            condition(Some(value), &twice, at(START)),
            Ok(true),
            "{text}"
        );
    };
    let numbers = MeasuredValue::Numbers((0..5_000).map(|at| f64::from(at % 8) / 10.0).collect());
    check(&numbers, "all(result, # < 0.9)");
    check(&numbers, "len(result) > 0");
    check(&numbers, "not any(result, {# > 1})");
    check(&numbers, "result[1] <= 0.95");
    check(&numbers, "sum(result) / len(result) < 1");
    check(
        &numbers,
        "count(result, {# > 0.5 and # < 0.9 and not isNaN(#)}) > 10",
    );
    check(&numbers, "len(uniq(result)) == 8 and 0.5 in result");
    check(&numbers, "let m = mean(result); all(result, {# < 3 * m})");
    check(&numbers, "all(filter(result, {not isNaN(#)}), {# >= 0})");
    check(&numbers, "sort(result)[0] == 0 and median(result) < 1");
    let pods: Vec<_> = (0..3_000)
        .map(|at| json!({ "pod": format!("p{at}"), "version": format!("v{}", at % 3), "errors": at % 7 }))
        .collect();
    let pods = MeasuredValue::Document(json!(pods));
    check(
        &pods,
        "all(result, {.errors < 10 and .version matches \"^v[0-9]$\"})",
    );
    check(
        &pods,
        "let g = groupBy(result, {.version}); all(keys(g), {len(get(g, #)) == 1000})",
    );
    check(&pods, "sum(map(result, {.errors})) < 30000");
    let metric = MeasuredValue::Numbers((0..90_000).map(f64::from).collect());
    assert_eq!(
        condition(Some(&metric), "all(result, # >= 0)", at(START)),
        Ok(true)
    );
}

// What is written twice by the language must not be written twice by us: nested it would double at every level.
#[test]
fn nested_shorthands_stay_short() {
    let check =
        |text: String| assert_eq!(condition(None, &text, at(START)), Ok(true), "{text:.60}");
    check(format!("{}true{}", "(".repeat(25), " ?: false)".repeat(25)));
    check(format!(
        "{}true{}",
        "(".repeat(25),
        " in [true, false])".repeat(25)
    ));
    check(format!(
        "{}1{} == 1",
        "len([0 < ".repeat(15),
        " < 3])".repeat(15)
    ));
}

// The deepest expression that is allowed must not need more stack than a thread of the runtime has.
#[test]
fn the_deepest_and_the_longest_expression_fit_on_the_stack() {
    let deep = format!("{}true{}", "[".repeat(60), "]".repeat(60));
    let calls = format!("{}1{} == 1", "abs(".repeat(60), ")".repeat(60));
    let predicates = format!("{}true{}", "all([1], {".repeat(30), "})".repeat(30));
    let conditions = format!("{}true{}", "true ? ".repeat(30), " : false".repeat(30));
    let long = format!("true{}", " and 1 == 1".repeat(600));
    let sums = format!("0{} == 60", " + 1".repeat(60));
    let wrong = format!("fromJSON(\"null\"){} == 60", " + 1".repeat(60));
    let thread = std::thread::Builder::new().stack_size(1 << 20);
    let found = thread.spawn(move || {
        let texts = [deep, calls, predicates, conditions, long, sums, wrong];
        texts.map(|text| outcome(None, &text))
    });
    let found = found.unwrap().join().unwrap();
    let expected = [
        "ERR expected bool, but got []interface {}",
        "true",
        "true",
        "true",
        "true",
        "true",
        "ERR invalid operation: <nil> + int",
    ];
    assert_eq!(found, expected);
}

/// Well-formed expressions that mean nothing, the same in every run.
struct Nonsense(u64);

impl Nonsense {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % u64::try_from(bound).unwrap()).unwrap()
    }

    fn one_of(&mut self, words: &[&str]) -> String {
        words[self.below(words.len())].to_owned()
    }

    fn list(&mut self, depth: usize) -> String {
        let items: Vec<_> = (0..self.below(4)).map(|_| self.expression(depth)).collect();
        items.join(", ")
    }

    fn expression(&mut self, depth: usize) -> String {
        if depth == 0 {
            return self.one_of(&[
                "result",
                "result.a",
                "result.b",
                "result.b[0]",
                "#",
                ".a",
                "#acc",
                "#index",
                "1",
                "-2",
                "0.5",
                "\"x\"",
                "nil",
                "'2024-01-02'",
                "\"-\"",
                "true",
                "b\"\\xff\"",
                "\"\\u{1F600}\"",
                "9223372036854775807",
                "1e308",
                "1_0",
                "\"é\"",
                "\"2006-01-02\"",
                "\"Local\"",
                "-9223372036854775807",
                "\"[\"",
                "\"YQ==\"",
                "\"1h\"",
                "$env.result",
                "\"\"",
            ]);
        }
        let inner = depth - 1;
        match self.below(12) {
            0 | 1 => {
                let operator = self.one_of(&[
                    "+",
                    "-",
                    "*",
                    "/",
                    "%",
                    "**",
                    "==",
                    "!=",
                    "<",
                    ">=",
                    "and",
                    "or",
                    "in",
                    "not in",
                    "matches",
                    "contains",
                    "startsWith",
                    "..",
                    "??",
                    "|| true &&",
                ]);
                format!(
                    "({} {operator} {})",
                    self.expression(inner),
                    self.expression(inner)
                )
            }
            2 => format!(
                "{}({})",
                self.one_of(&["not ", "!", "-", "+"]),
                self.expression(inner)
            ),
            3 => format!(
                "({} ? {} : {})",
                self.expression(inner),
                self.expression(inner),
                self.expression(inner)
            ),
            4 => format!("[{}]", self.list(inner)),
            5 => format!(
                "{{\"a\": {}, (string({})): {}}}",
                self.expression(inner),
                self.expression(0),
                self.expression(0)
            ),
            6 => {
                let step = self.one_of(&[
                    ".a", "?.b", "[0]", "[-1]", "?.[1]", "[1:]", "[:1]", "[1:-1]", "[\"a\"]",
                ]);
                format!("{}{step}", self.expression(inner))
            }
            7 => format!("{}[{}]", self.expression(inner), self.expression(inner)),
            8 => {
                let function = self.one_of(&[
                    "all",
                    "any",
                    "none",
                    "one",
                    "filter",
                    "map",
                    "find",
                    "findIndex",
                    "findLast",
                    "findLastIndex",
                    "count",
                    "sum",
                    "groupBy",
                    "sortBy",
                    "reduce",
                ]);
                format!(
                    "{function}({}, {{{}}})",
                    self.expression(inner),
                    self.expression(inner)
                )
            }
            9 => format!(
                "(let v{depth} = {}; {} + v{depth})",
                self.expression(inner),
                self.expression(inner)
            ),
            10 => {
                let method = self.one_of(&[
                    "Format", "Round", "Truncate", "AddDate", "Add", "Sub", "In", "Year", "Month",
                    "String", "Location", "Local", "Weekday", "Compare", "UnixNano", "Abs",
                    "Hours", "IsDST",
                ]);
                let base = self.one_of(&[
                    "now()",
                    "date('2024-03-10')",
                    "duration(\"-1.5h\")",
                    "date('0001-01-01')",
                ]);
                format!("{base}.{method}({})", self.list(inner))
            }
            _ => {
                let function = self.one_of(&[
                    "abs",
                    "bitand",
                    "bitnot",
                    "bitshl",
                    "bitshr",
                    "bitushr",
                    "ceil",
                    "concat",
                    "date",
                    "duration",
                    "first",
                    "flatten",
                    "float",
                    "floor",
                    "fromBase64",
                    "fromJSON",
                    "fromPairs",
                    "get",
                    "hasPrefix",
                    "indexOf",
                    "int",
                    "join",
                    "keys",
                    "last",
                    "lastIndexOf",
                    "len",
                    "lower",
                    "max",
                    "mean",
                    "median",
                    "min",
                    "repeat",
                    "replace",
                    "reverse",
                    "round",
                    "sort",
                    "split",
                    "splitAfter",
                    "string",
                    "take",
                    "timezone",
                    "toBase64",
                    "toJSON",
                    "toPairs",
                    "trim",
                    "trimPrefix",
                    "type",
                    "uniq",
                    "upper",
                    "values",
                    "asInt",
                    "asFloat",
                    "isNaN",
                    "isInf",
                    "isNil",
                    "default",
                ]);
                format!("{function}({})", self.list(inner))
            }
        }
    }
}

// I7: whatever a user writes, the worst is an error.
#[test]
fn no_text_makes_the_evaluation_panic() {
    let values = [
        None,
        Some(MeasuredValue::Number(f64::NAN)),
        Some(MeasuredValue::Numbers(vec![1.0, f64::INFINITY])),
        Some(MeasuredValue::Text("2024-01-02".to_owned())),
        Some(MeasuredValue::Document(
            json!({ "a": 1, "b": [{ "a": "x" }, null, [1, 2]] }),
        )),
    ];
    let mut nonsense = Nonsense(0x2545_f491_4f6c_dd1d);
    for round in 0..ROUNDS {
        let text = nonsense.expression(1 + round % 4);
        let found = outcome(values[round % values.len()].as_ref(), &text);
        assert_ne!(found, "ERR the condition cannot be evaluated", "{text}");
        // A mistake of ours, not of the text: the crate could not read what we wrote.
        assert!(!found.contains(" --> "), "{text}\n{found}");
        assert!(
            !found.starts_with("ERR unknown variable")
                && !found.starts_with("ERR Unknown function"),
            "{text}\n{found}"
        );
    }
}

const ROUNDS: usize = 20_000;
