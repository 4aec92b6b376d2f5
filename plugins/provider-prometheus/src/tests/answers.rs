use super::*;
use sluice_plugin_sdk::provider::Value as Measured;
use sluice_plugin_sdk::{Disposition, Pair};

fn answer(status: u16, body: &str) -> Result<Measurement, PluginError> {
    let body = body.to_owned();
    measure(&mut given(simple()).answering(move |_| respond(status, &body)))
        .map(|(measured, _)| measured)
}

fn data(kind: &str, result: &str) -> Measurement {
    answer(
        200,
        &format!(
            r#"{{"status": "success", "data": {{"resultType": "{kind}", "result": {result}}}}}"#
        ),
    )
    .unwrap()
}

/// As `==`, but NaN is equal to itself.
fn same(measured: Option<Measured>, expected: &[f64]) {
    let Some(Measured::Numbers(numbers)) = measured else {
        panic!("{measured:?}")
    };
    assert_eq!(format!("{numbers:?}"), format!("{expected:?}"));
}

// MP-PROM-005
#[test]
fn a_scalar_is_a_number() {
    for (text, number, shown) in [
        ("0.5", 0.5, "0.5"),
        ("1", 1.0, "1"),
        ("-0.0000001", -0.000_000_1, "-0.0000001"),
        ("1e21", 1e21, "1000000000000000000000"),
        ("+Inf", f64::INFINITY, "+Inf"),
        ("-Inf", f64::NEG_INFINITY, "-Inf"),
    ] {
        let measured = data("scalar", &format!(r#"[1435781451.781, "{text}"]"#));
        assert_eq!(measured.value, Some(Measured::Number(number)));
        assert_eq!(measured.shown, shown);
        assert_eq!(measured.phase, None, "the host evaluates the conditions");
    }
    let measured = data("scalar", r#"[1, "NaN"]"#);
    assert!(matches!(measured.value, Some(Measured::Number(number)) if number.is_nan()));
    assert_eq!(measured.shown, "NaN");
}

// MP-PROM-005
#[test]
fn a_vector_is_a_list_without_its_labels() {
    let sample = |value: &str| format!(r#"{{"metric": {{"a": "b"}}, "value": [1, "{value}"]}}"#);
    let measured = data(
        "vector",
        &format!("[{}, {}, {}]", sample("0.25"), sample("NaN"), sample("10")),
    );
    assert_eq!(measured.shown, "[0.25,NaN,10]");
    same(measured.value, &[0.25, f64::NAN, 10.0]);

    let measured = data("vector", "[]");
    assert_eq!(
        (measured.value, measured.shown.as_str()),
        (Some(Measured::Numbers(Vec::new())), "[]")
    );

    let measured = data(
        "vector",
        r#"[{"metric": {}, "histogram": [1, {"count": "5"}]}]"#,
    );
    assert_eq!(measured.shown, "[0]", "a native histogram has no value");
}

// MP-PROM-005
#[test]
fn a_matrix_is_one_list_of_all_samples() {
    let measured = data(
        "matrix",
        r#"[{"metric": {}, "values": [[1, "1"], [2, "2.5"]]}, {"metric": {}, "histograms": []}, {"metric": {}, "values": [[1, "-3"]]}]"#,
    );
    assert_eq!(measured.shown, "[1,2.5,-3]");
    same(measured.value, &[1.0, 2.5, -3.0]);
}

// MP-PROM-006
#[test]
fn warnings_and_the_query_are_shown() {
    let measured = answer(
        200,
        r#"{"status": "success", "warnings": ["w1", "w2"], "infos": ["i"], "data": {"resultType": "vector", "result": []}}"#,
    )
    .unwrap();
    assert_eq!(measured.metadata, [Pair::new("warnings", r#""w1", "w2""#)]);
    assert_eq!(
        measured.metric_metadata,
        [Pair::new("ResolvedPrometheusQuery", "up{a=\"b c\"} + 1")]
    );

    let config = json!({"address": "http://prometheus:9090"});
    let (measured, _) = measure(&mut given(config).answering(|_| respond(200, ONE))).unwrap();
    assert!(measured.metadata.is_empty() && measured.metric_metadata.is_empty());
}

// MP-PROM-005, MP-PROM-006
#[test]
fn an_answer_without_numbers_is_an_error_that_keeps_the_query() {
    let cases = [
        (
            200,
            r#"{"status": "success", "data": {"resultType": "string", "result": [1, "x"]}}"#,
            "unexpected value type \"string\"",
        ),
        (
            200,
            r#"{"status": "success", "data": {"resultType": "scalar", "result": [1, "x"]}}"#,
            "strconv.ParseFloat: parsing \"x\": invalid syntax",
        ),
        (
            200,
            r#"{"status": "error", "errorType": "timeout", "error": "too slow"}"#,
            "timeout: too slow",
        ),
        (
            400,
            r#"{"status": "error", "errorType": "bad_data", "error": "parse error: x"}"#,
            "bad_data: parse error: x",
        ),
        (
            422,
            r#"{"status": "error", "errorType": "execution", "error": "x"}"#,
            "execution: x",
        ),
        (
            400,
            r#"{"status": "success"}"#,
            "bad_response: inconsistent body for response code",
        ),
        (
            400,
            "<html>",
            "bad_response: invalid character '<' looking for beginning of value",
        ),
        (401, "", "client_error: client error: 401"),
        (404, "<html>", "client_error: client error: 404"),
        (
            503,
            r#"{"status": "error", "errorType": "unavailable", "error": "x"}"#,
            "server_error: server error: 503",
        ),
        (302, "", "bad_response: bad response code 302"),
        (204, "", "unexpected end of JSON input"),
        (200, "", "bad_response: unexpected end of JSON input"),
        (
            200,
            "<html>",
            "bad_response: invalid character '<' looking for beginning of value",
        ),
        (
            200,
            r#"{"status": "success"}"#,
            "unexpected end of JSON input",
        ),
    ];
    for (status, body, message) in cases {
        let error = answer(status, body)
            .map(|measured| panic!("{measured:?}"))
            .unwrap_err();
        assert_eq!(error.message, message, "{status} {body}");
        assert_eq!(error.disposition, Disposition::Retry);
        assert_eq!(
            error.metadata,
            [Pair::new("ResolvedPrometheusQuery", "up{a=\"b c\"} + 1")]
        );
    }
}

#[test]
fn an_answer_of_a_wrong_shape_is_an_error() {
    for body in [
        "[]",
        "1",
        r#"{"status": "success", "data": {"resultType": "scalar", "result": "x"}}"#,
        r#"{"status": "success", "data": {"resultType": "vector", "result": {}}}"#,
        r#"{"status": "success", "data": {"resultType": "vector", "result": [{"value": [1]}]}}"#,
        r#"{"status": "success", "data": {"resultType": "matrix", "result": [{"values": {}}]}}"#,
        r#"{"status": "success", "data": []}"#,
        r#"{"status": "success", "data": {"resultType": "scalar"}}"#,
        r#"{"status": "success", "data": {"resultType": "scalar", "result": [1, "1"]}"#,
    ] {
        let error = answer(200, body)
            .map(|measured| panic!("{body}: {measured:?}"))
            .unwrap_err();
        assert_eq!(error.disposition, Disposition::Retry, "{body}");
        assert!(!error.message.is_empty());
    }
}

#[test]
fn a_failure_to_connect_is_told_as_go_tells_it_and_without_the_password() {
    let fail = |failure: HttpFailure| {
        let config = json!({"address": "http://user:secret@host:9090", "query": "up"});
        let error =
            measure(&mut given(config).answering(move |_| Err(failure.clone()))).unwrap_err();
        assert_eq!(error.disposition, Disposition::Retry);
        error.message.clone()
    };
    let prefix = "Post \"http://user:***@host:9090/api/v1/query\": ";
    let refused = "dial tcp 10.0.0.1:9090: connect: connection refused";
    assert_eq!(
        fail(HttpFailure::Unreachable(refused.to_owned())),
        format!("{prefix}{refused}")
    );
    assert_eq!(
        fail(HttpFailure::TimedOut),
        format!("{prefix}context deadline exceeded")
    );
    assert_eq!(
        fail(HttpFailure::Denied("not granted".to_owned())),
        format!("{prefix}not granted")
    );
    assert_eq!(
        fail(HttpFailure::Tls("unknown authority".to_owned())),
        format!("{prefix}unknown authority")
    );
    assert_eq!(
        fail(HttpFailure::TooLarge),
        format!("{prefix}the response is too large")
    );
}
