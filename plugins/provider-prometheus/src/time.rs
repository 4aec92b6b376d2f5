//! Times and lengths of time: what the modules here mean by them, and how Prometheus takes them.

mod date;
mod duration;
mod expression;

pub use date::parse_rfc3339;
pub use duration::parse_duration;
pub use expression::evaluate;

/// Nanoseconds since the beginning of 1970.
pub type Moment = i128;

/// Nanoseconds.
pub type Span = i128;

/// In nanoseconds.
const SECOND: i128 = 1_000_000_000;

/// A time or a length of time as Prometheus takes it: seconds, in the shortest decimal text.
#[expect(
    clippy::cast_precision_loss,
    reason = "the API takes a float, and so does Argo Rollouts' client"
)]
pub fn seconds(nanoseconds: i128) -> String {
    let whole = nanoseconds.div_euclid(SECOND);
    let rest = nanoseconds.rem_euclid(SECOND);
    (whole as f64 + rest as f64 / 1e9).to_string()
}
