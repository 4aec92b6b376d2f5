//! Tests of AnalysisRuns: tables for the rules, and stories of several passes with a clock that is moved by hand.

mod arguments;
mod assessment;
mod expressions;
mod stories;
mod templates;
mod validation;
mod world;
